"""The units that a unit needs, with a check that their wheels can serve it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from farm.load.nearest import advise
from farm.plan.scope import is_loaded, key_of, scope_of
from farm.plan.select import VariantChoice
from farm.plan.settings import joined, last_expectation

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.load.library import Library
    from farm.model.recipe import Need, Recipe
    from farm.model.unit import UnitKey
    from farm.plan.scope import Scope
    from farm.plan.settings import Path

SAME = "same"
"""What a need says for the architectures or the Python of the unit that needs it."""
_ANY_PYTHON = ("py3-none", "py2.py3-none")


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Resolves the needs of one unit; ``tell`` hears of each problem and its place."""

    library: Library
    scope: Scope
    tell: Callable[[Path, str, str], None]

    def keys(self) -> tuple[UnitKey, ...]:
        """The needed units that there can be, each with the choices that its need makes."""
        found: dict[str, UnitKey] = {}
        need: Need
        for path, need in joined(self.scope.layers, "needs"):
            loaded = self.library.recipes.get(need.package)
            if loaded and self._is_known(path, need, loaded.recipe):
                key = self._key(path, need, loaded.recipe)
                if found.setdefault(need.package, key) != key:
                    what = f"needs {key.label}, and {found[need.package].label} besides"
                    self.tell(path, what, "a build environment has one wheel of a package")
        return tuple(found.values())

    def _key(self, path: Path, need: Need, recipe: Recipe) -> UnitKey:
        needed = scope_of(self.library, recipe, need.version, self._choice(need, recipe))
        if not self.library.recipes[need.package].lost:
            self._check_archs(path, need, needed)
            self._check_python(path, need, needed)
        return key_of(recipe, need.version, needed)

    def _is_known(self, path: Path, need: Need, recipe: Recipe) -> bool:
        """Whether the recipe has all that the need names."""
        if not self._has(path, need, "version", need.version, tuple(recipe.versions)):
            return False
        if not self._has(path, need, "variant", need.variant, tuple(recipe.variants)):
            return False
        if not is_loaded(self.library, recipe, need.variant):
            return False
        toolchain = self.library.toolchains[recipe.variants[need.variant].toolchain]
        pythons = () if need.python in {None, SAME} else (need.python,)
        asked = [
            *(("feature", name.lstrip("~"), tuple(recipe.features)) for name in need.features),
            *(
                ("architecture", arch, toolchain.archs)
                for arch in self._archs(need, toolchain.archs)
            ),
            *(("Python", str(python), recipe.python) for python in pythons),
        ]
        return all([self._has(path, need, *each) for each in asked])  # noqa: C419 - tells of all

    def _has(self, path: Path, need: Need, kind: str, name: str, known: tuple[str, ...]) -> bool:
        if name in known:
            return True
        self.tell(path, f"{need.package} has no {kind} {name!r}", advise(name, known, "it has"))
        return False

    def _archs(self, need: Need, known: tuple[str, ...]) -> tuple[str, ...]:
        """The architectures that a need says; those of the unit where the needed one has any."""
        if need.archs == SAME:
            return self.scope.archs if known else ()
        return cast("tuple[str, ...]", need.archs)

    def _choice(self, need: Need, recipe: Recipe) -> VariantChoice:
        toolchain = self.library.toolchains[recipe.variants[need.variant].toolchain]
        return VariantChoice(
            name=need.variant,
            archs=self._archs(need, toolchain.archs),
            features=tuple((name.lstrip("~"), not name.startswith("~")) for name in need.features),
            python=self.scope.python if need.python == SAME else need.python,
        )

    def _check_archs(self, path: Path, need: Need, needed: Scope) -> None:
        """Device code of the needed wheel must be there for all that this one is built for."""
        own = self.scope
        if own.toolchain.accelerator != needed.toolchain.accelerator or _is_pure(needed):
            return
        lacks = [arch for arch in own.archs if arch not in needed.archs]
        if lacks:
            has = ", ".join(needed.archs)
            self.tell(
                path,
                f"is for {', '.join(lacks)}, but {need.package}:{need.variant} for {has} alone",
                "say archs: same, or those that it is to have",
            )

    def _check_python(self, path: Path, need: Need, needed: Scope) -> None:
        tag = _tag(needed)
        if needed.python == self.scope.python or tag.startswith(_ANY_PYTHON) or "abi3" in tag:
            return
        self.tell(
            path,
            f"is for Python {self.scope.python}, but {need.package}:{need.variant} "
            f"for {needed.python}",
            "say python: same, or expect.tag there if its wheel is for every Python",
        )


def _tag(scope: Scope) -> str:
    expected = last_expectation(scope.layers)
    return (expected.tag if expected else None) or ""


def _is_pure(scope: Scope) -> bool:
    """Whether the wheel is expected to hold no extension, and so no device code."""
    expected = last_expectation(scope.layers)
    return _tag(scope).endswith("-none-any") or (
        expected is not None and expected.extensions == ()
    )
