"""From a recipe, a version and a variant's name to a unit, with every problem at once."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from farm.errors import Problem
from farm.load.locks import inputs_digest
from farm.load.nearest import advise, perhaps
from farm.load.places import dotted
from farm.model.strict import parse_size
from farm.model.unit import Expected, LockInputs, TextEdit, Unit
from farm.plan import crates, settings
from farm.plan.environment import Environment, placeholders
from farm.plan.lockstep import lockstep_pins
from farm.plan.needs import Needs
from farm.plan.preflight import refuse
from farm.plan.scope import key_of, scope_of
from farm.plan.smoke_test import smoke_test_of
from farm.plan.sources import main_source, resolve_source
from farm.plan.toolchains import toolkit_parts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.load.library import Library, LoadedRecipe
    from farm.model.recipe import Edit, Patch
    from farm.model.source import StagedSource
    from farm.model.unit import PatchFile, SmokeTest, Source, UnitKey
    from farm.plan.preflight import Refusal
    from farm.plan.scope import Scope
    from farm.plan.select import VariantChoice
    from farm.plan.toolchains import Toolchains

ANYTHING = Expected(extensions=None, tag=None)


class Resolver:
    """Resolves units of one recipe and version; ``problems`` grows, nothing is raised.

    ``refusals`` are what is known not to work, though all files are right.
    """

    def __init__(
        self, library: Library, toolchains: Toolchains, loaded: LoadedRecipe, version: str
    ) -> None:
        self.library = library
        self.toolchains = toolchains
        self.loaded = loaded
        self.recipe = loaded.recipe
        self.version = version
        self.problems: list[Problem] = []
        self.refusals: list[Refusal] = []
        self.refused: dict[str, tuple[str, ...]] = {}
        self._main = main_source(self.recipe, version, library)

    def unit(self, choice: VariantChoice) -> Unit | None:
        """The unit that a variant's name means, or None after adding to ``problems``."""
        before = len(self.problems)
        scope = scope_of(self.library, self.recipe, self.version, choice)
        self._check_archs(scope)
        self._check_python(scope)
        self._check_parts(scope)
        self._check_components(scope)
        unit = self._assemble(scope)
        refused = refuse(unit, self.loaded, scope, self.library.catalogue)
        self.refusals += refused
        if len(self.problems) != before:
            return None
        if refused:
            self.refused[unit.label] = tuple(map(str, refused))
        return unit

    def _assemble(self, scope: Scope) -> Unit:
        key = key_of(self.recipe, self.version, scope)
        layers, toolchain = scope.layers, scope.toolchain
        sources = tuple(self._sources(layers))
        needs = Needs(library=self.library, scope=scope, tell=self._problem).keys()
        name, parts = toolchain.toolchain, self.recipe.variants[scope.variant].toolkit_parts
        holder = partial(self._target, sources=sources)
        stem = lock_stem(scope.variant, scope.features, scope.python)
        shared = self.toolchains.shared
        lock_inputs = shared(_lock_inputs(scope, self._main, needs, sources))
        base = self.toolchains.base(
            name,
            tuple(settings.values(layers, "system_packages")),
            tuple(settings.values(layers, "exclude_paths")),
        )
        tried = smoke_test_of(
            scope, self.library, key=key, base=base, lock_inputs=lock_inputs, lock_stem=stem
        )
        return Unit(
            key=key,
            base_variant=scope.variant,
            python=scope.python,
            accelerator=str(toolchain.accelerator),
            archs=scope.archs,
            features=tuple(sorted(name for name, on in scope.features.items() if on)),
            toolchain=name,
            host_compiler=(toolchain.host_compiler.family, toolchain.host_compiler.version),
            base=base,
            toolkit=self.toolchains.toolkit(name, parts),
            source=self._main,
            sources=sources,
            patches=tuple(self._patches(layers, sources)),
            edits=tuple(self._edits(layers, sources)),
            lock_inputs=lock_inputs,
            lock=self.library.locks.get((key.package, key.version, stem)),
            lock_stem=stem,
            unlocked=settings.last_unlocked(layers),
            env=self._env(scope, sources),
            forbid_output=tuple(dict.fromkeys(settings.values(layers, "forbid_output"))),
            needs=needs,
            jobs=settings.job_rule(layers),
            expected=shared(_expected(layers)),
            lockstep=tuple(lockstep_pins(layers, self.loaded, holder)),
            crates=tuple(
                crates.crate_sets(layers, key, (self._main, *sources), holder, self.library.crates)
            ),
            smoke_test=None if isinstance(tried, str) else tried,
            untried=tried if isinstance(tried, str) else "",
            runner=settings.last_runner(layers),
        )

    def _problem(self, path: settings.Path, what: str, hint: str = "") -> None:
        where = dotted(path)
        self.problems.append(
            Problem(place=self.loaded.place(*path), where=where, what=what, hint=hint)
        )

    def _check_archs(self, scope: Scope) -> None:
        path: settings.Path = ("variants", scope.variant, "archs")
        known, name = scope.toolchain.archs, scope.toolchain.toolchain
        if known and not scope.archs and path[:-1] not in self.loaded.lost:
            self._problem(path, f"names no architecture, but {name} needs one")
        for index, arch in enumerate(scope.archs):
            if arch not in known:
                if known and self.library.catalogue.knowing(arch):
                    continue  # no slip: preflight tells who knows it
                hint = advise(arch, known, f"known to {name}:")
                where = path if scope.narrowed else (*path, index)
                self._problem(where, f"unknown architecture {arch!r}", hint)
            elif scope.archs.index(arch) != index:
                self._problem(path, f"{arch!r} is asked for twice")

    def _check_python(self, scope: Scope) -> None:
        if () in self.loaded.lost:
            return  # a key may be lost that says Pythons
        if scope.python != scope.base.python:
            what = (
                f"Python {scope.python} is asked for, but base {scope.base.base} of toolchain "
                f"{scope.toolchain.toolchain} has {scope.base.python}"
            )
            self._problem(("python",), what, "choose a toolchain with another base")
        elif scope.python not in self.recipe.python:
            listed = ", ".join(self.recipe.python)
            self._problem(("python",), f"Python {scope.python} is not listed", f"it has {listed}")

    def _check_parts(self, scope: Scope) -> None:
        parts = self.recipe.variants[scope.variant].toolkit_parts
        name, known = scope.toolchain.toolchain, sorted(toolkit_parts(scope.toolchain))
        for index, part in enumerate(parts):
            if part not in known and name not in self.library.lacking:
                path: settings.Path = ("variants", scope.variant, "toolkit_parts", index)
                hint = advise(part, known, f"{name} has")
                self._problem(path, f"unknown part {part!r} of the toolkit", hint)

    def _check_components(self, scope: Scope) -> None:
        toolchain, base = scope.toolchain, scope.base
        if toolchain.components and base.image:
            what = (
                f"{toolchain.toolchain} takes packages from {', '.join(toolchain.components)}, "
                f"but its base {base.base} is an image, whose archive is its own"
            )
            path: settings.Path = ("variants", scope.variant, "toolchain")
            self._problem(path, what, "use a base with a suite, or an image that has them")

    def _sources(self, layers: tuple[settings.PlacedLayer, ...]) -> Iterator[Source]:
        # In the order of their names: what the order of keys in a file says changes nothing.
        staged: StagedSource
        for name, (path, staged) in sorted(settings.merged(layers, "sources").items()):
            if name == self.recipe.package:
                what = "a staged source cannot have the package's own name"
                self._problem(path, what, "the package's own source is the one of its version")
            yield resolve_source(name, staged.source, self.library)

    def _patches(
        self, layers: tuple[settings.PlacedLayer, ...], sources: tuple[Source, ...]
    ) -> Iterator[PatchFile]:
        patch: Patch
        for path, patch in settings.joined(layers, "patches"):
            target = self._target(path, patch.to, sources)
            found = self.library.patches.get((self.recipe.package, self.version, patch.file))
            if found:
                yield replace(found, source=target)

    def _edits(
        self, layers: tuple[settings.PlacedLayer, ...], sources: tuple[Source, ...]
    ) -> Iterator[TextEdit]:
        edit: Edit
        for path, edit in settings.joined(layers, "edits"):
            yield TextEdit(
                source=self._target(path, edit.to, sources),
                file=edit.file,
                replace=edit.replace,
                by=edit.by,
                count=edit.count,
            )

    def _target(self, path: settings.Path, name: str | None, sources: tuple[Source, ...]) -> str:
        known = [source.name for source in sources if source.kind != "wheel"]
        if name is None:
            return str(self.recipe.package)
        if name not in known and not self.loaded.lost:
            self._problem(path, f"no staged source is called {name!r}", perhaps(name, known))
        return name

    def _env(self, scope: Scope, sources: tuple[Source, ...]) -> tuple[tuple[str, str], ...]:
        found = Environment(
            recipe=self.recipe,
            scope=scope,
            values=placeholders(scope.toolchain, scope.archs, sources),
            lacking=(
                *(["sources"] if self.loaded.lost else []),
                *(["toolkit"] if scope.toolchain.toolchain in self.library.lacking else []),
            ),
            tell=self._problem,
        ).variables()
        return tuple(map(self.toolchains.shared, found))


def lock_stem(variant: str, features: dict[str, bool], python: str) -> str:
    """The file name of a unit's lock, without suffix; architectures share one."""
    chosen = "".join(f"+{name}" for name, on in sorted(features.items()) if on)
    return f"{variant}{chosen}-py{python}"


def lock_problem(unit: Unit) -> str:
    """Why the unit's requirements are not locked; empty if they are."""
    if unit.lock is None:
        return unit.unlocked or "its build requirements are not locked"
    if unit.lock.inputs != inputs_digest(unit.lock_inputs):
        return "its lock was made from other inputs than the recipe now says"
    tried = _smoke_test_problem(unit.smoke_test) if unit.smoke_test else ""
    return crates.crates_problem(unit.crates) or tried


def _smoke_test_problem(test: SmokeTest) -> str:
    if test.lock is None:
        return "what its smoke test installs is not locked"
    if test.lock.inputs != inputs_digest(test.lock_inputs):
        return "what its smoke test installs was locked from other inputs than the recipe now says"
    return ""


def _lock_inputs(
    scope: Scope, main: Source, needs: tuple[UnitKey, ...], sources: tuple[Source, ...]
) -> LockInputs:
    provided = {need.package for need in needs}
    provided |= {source.name for source in sources if source.kind == "wheel"}
    return LockInputs(
        source=main.digest,
        requires=tuple(sorted(set(settings.values(scope.layers, "requires")))),
        provided=tuple(sorted(provided)),
        python=scope.python,
        glibc=scope.base.glibc,
    )


def _expected(layers: tuple[settings.PlacedLayer, ...]) -> Expected:
    expected = settings.last_expectation(layers)
    if expected is None:
        return ANYTHING
    named = expected.extensions
    return Expected(
        extensions=None if named is None else tuple(each.name for each in named),
        tag=expected.tag,
        device_code=tuple(
            (each.name, str(each.device_code)) for each in named or () if each.device_code
        ),
        libraries=tuple(each.value for each in expected.libraries),
        isa=tuple(each.value for each in expected.isa),
        manylinux=expected.manylinux,
        max_bytes=parse_size(expected.max_size) if expected.max_size else None,
    )
