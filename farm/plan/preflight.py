"""What is known not to work, refused before anything is staged or built.

Each rule is data: a toolchain says which host compilers and C libraries it
takes and which architectures it knows, a base which compilers it has, a recipe
or source for which Pythons it builds.  Here they are held against what is asked
for, and the nearest combination that breaks none of them is looked up among all
toolchains and bases that the project knows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from farm.errors import Problem
from farm.load.locks import inputs_digest
from farm.load.places import dotted
from farm.plan import settings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from packaging.requirements import Requirement

    from farm.errors import Place
    from farm.load.library import Catalogue, LoadedRecipe
    from farm.model.source import PythonLimits
    from farm.model.strict import Reasoned
    from farm.model.toolchain import Base, Toolchain
    from farm.model.unit import Unit
    from farm.plan.scope import Scope


class Rule(StrEnum):
    """What a refusal rests on."""

    HOST_COMPILER = "host compiler"
    COMPILER_OF_BASE = "compilers of the base"
    C_LIBRARY = "C library"
    ARCHITECTURE = "architectures"
    PYTHON = "Pythons"
    LOCK = "locked requirements"


@dataclass(frozen=True, slots=True, kw_only=True)
class Combination:
    """What a unit brings together.

    ``pythons`` are those that the recipe lists, of which ``python`` is one; ``limits`` those
    that something can be built for, by its name.
    """

    toolchain: Toolchain
    base: Base
    compiler: tuple[str, str]
    archs: tuple[str, ...]
    python: str
    pythons: tuple[str, ...] = ()
    limits: tuple[tuple[str, PythonLimits], ...] = ()

    def __str__(self) -> str:
        return (
            f"toolchain {self.toolchain.toolchain} with {'-'.join(self.compiler)} "
            f"on {self.base.base} (Python {self.python})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A rule that a combination breaks: what is asked of whom, why not, and who says so.

    ``nearest`` tells the nearest combination that works; ``place`` and ``where`` are the
    recipe's.
    """

    rule: Rule
    what: str
    reason: str
    source: str
    nearest: str = ""
    place: Place | None = None
    where: str = ""

    def __str__(self) -> str:
        reason = f": {self.reason}" if self.reason else ""
        return f"{self.what}{reason} ({self.rule}; source: {self.source}); {self.nearest}"

    @property
    def problem(self) -> Problem:
        """As it is told among all other problems of a plan."""
        return Problem(what=str(self), place=self.place, where=self.where)


def refuse(
    unit: Unit, loaded: LoadedRecipe, scope: Scope, catalogue: Catalogue
) -> tuple[Refusal, ...]:
    """What is known not to work of a unit that is right otherwise."""
    asked = Combination(
        toolchain=scope.toolchain,
        base=scope.base,
        compiler=unit.host_compiler,
        # One that nobody knows is a slip, which is told as such.
        archs=tuple(a for a in unit.archs if a in scope.toolchain.archs or catalogue.knowing(a))
        if scope.toolchain.archs
        else (),
        python=unit.python,
        pythons=loaded.recipe.python,
        limits=tuple(settings.python_limits(scope.layers, loaded.recipe.package)),
    )
    requires = {item.value: item for _, item in settings.joined(scope.layers, "requires")}
    found = (*refusals(asked, catalogue), *lock_refusals(unit, requires))
    path: settings.Path = ("variants", scope.variant, "toolchain")
    return tuple(replace(each, place=loaded.place(*path), where=dotted(path)) for each in found)


def violations(asked: Combination) -> Iterator[Refusal]:
    """Every rule that a combination breaks."""
    yield from _host_compiler(asked)
    yield from _compiler_of_base(asked)
    yield from _c_library(asked)
    yield from _architectures(asked)
    yield from _pythons(asked)


def refusals(asked: Combination, catalogue: Catalogue) -> tuple[Refusal, ...]:
    """Why a combination is refused, each with the nearest that is not."""
    found = tuple(violations(asked))
    if not found:
        return ()
    near = nearest(asked, catalogue)
    advice = f"nearest that works: {near}" if near else "no toolchain here can do that"
    return tuple(replace(_knowing(each, asked, catalogue), nearest=advice) for each in found)


def _knowing(found: Refusal, asked: Combination, catalogue: Catalogue) -> Refusal:
    """A refused architecture with the toolchains that know it."""
    if found.rule is not Rule.ARCHITECTURE:
        return found
    unknown = [arch for arch in asked.archs if arch not in asked.toolchain.archs]
    told = [f"{arch} is known to {', '.join(catalogue.knowing(arch))}" for arch in unknown]
    return replace(found, reason="; ".join(told))


def nearest(asked: Combination, catalogue: Catalogue) -> Combination | None:
    """The combination that breaks no rule and differs least from what is asked for.

    The toolkit is what one parts with last, then the Python, the base, the host compiler;
    another toolkit is best taken as its file describes it.
    """

    def distance(other: Combination) -> tuple[bool, bool, bool, bool, int, str]:
        toolchain = other.toolchain
        same = toolchain.toolchain == asked.toolchain.toolchain
        own = toolchain.host_compiler
        base = asked.base.base if same else toolchain.base
        family, version = asked.compiler if same else (own.family, own.version)
        return (
            not same,
            other.python != asked.python,
            other.base.base != base,
            other.compiler[0] != family,
            abs(int(other.compiler[1]) - int(version)),
            str(other),
        )

    works = (each for each in _candidates(asked, catalogue) if not any(violations(each)))
    return min(works, key=distance, default=None)


def _candidates(asked: Combination, catalogue: Catalogue) -> Iterator[Combination]:
    for toolchain in catalogue.toolchains.values():
        if toolchain.accelerator != asked.toolchain.accelerator:
            continue
        for base in _bases(toolchain, catalogue):
            if asked.pythons and base.python not in asked.pythons:
                continue
            for compiler in _compilers(toolchain, base):
                yield replace(
                    asked, toolchain=toolchain, base=base, compiler=compiler, python=base.python
                )


def _bases(toolchain: Toolchain, catalogue: Catalogue) -> Iterator[Base]:
    """Its own base; any other too where nothing of the toolkit is the distribution's."""
    movable = toolchain.toolkit is not None and not toolchain.packages
    for base in catalogue.bases.values():
        if base.base == toolchain.base or (movable and base.suite):
            yield base


def _compilers(toolchain: Toolchain, base: Base) -> Iterator[tuple[str, str]]:
    own = toolchain.host_compiler
    if base.base == toolchain.base:
        yield own.family, own.version
    for version in getattr(base.host_compilers, own.family):
        yield own.family, version


def _host_compiler(asked: Combination) -> Iterator[Refusal]:
    rule = asked.toolchain.accepts.host_compilers
    family, version = asked.compiler
    taken = getattr(rule, family) if rule else None
    if rule is None or taken is None:
        return
    oldest, newest = taken.oldest, taken.newest
    if (oldest and int(version) < int(oldest)) or (newest and int(version) > int(newest)):
        words = _range(*(f"{family}-{end}" if end else "" for end in (oldest, newest)))
        yield Refusal(
            rule=Rule.HOST_COMPILER,
            what=f"{asked.toolchain.toolchain} does not take {family}-{version}, only {words}",
            reason=rule.reason,
            source=rule.source,
        )


def _compiler_of_base(asked: Combination) -> Iterator[Refusal]:
    family, version = asked.compiler
    has = getattr(asked.base.host_compilers, family)
    if has and version not in has:
        listed = ", ".join(f"{family}-{each}" for each in has)
        yield Refusal(
            rule=Rule.COMPILER_OF_BASE,
            what=f"base {asked.base.base} has no {family}-{version}",
            reason=f"it has {listed}",
            source=f"host_compilers of base {asked.base.base}",
        )


def _c_library(asked: Combination) -> Iterator[Refusal]:
    rule, has = asked.toolchain.accepts.glibc, asked.base.glibc
    if rule and _numbers(has) >= _numbers(rule.below):
        yield Refusal(
            rule=Rule.C_LIBRARY,
            what=(
                f"{asked.toolchain.toolchain} does not work on glibc {has} of base "
                f"{asked.base.base}, only below {rule.below}"
            ),
            reason=rule.reason,
            source=rule.source,
        )


def _architectures(asked: Combination) -> Iterator[Refusal]:
    toolchain = asked.toolchain
    unknown = [arch for arch in asked.archs if arch not in toolchain.archs]
    if unknown:
        yield Refusal(
            rule=Rule.ARCHITECTURE,
            what=f"{toolchain.toolchain} cannot compile for {', '.join(unknown)}",
            reason="",
            source=toolchain.archs_source or f"archs of toolchain {toolchain.toolchain}",
        )


def _pythons(asked: Combination) -> Iterator[Refusal]:
    has = _numbers(asked.python)
    for name, limits in asked.limits:
        oldest, newest = limits.oldest, limits.newest
        if (oldest and has < _numbers(oldest)) or (newest and has > _numbers(newest)):
            words = _range(oldest or "", newest or "")
            yield Refusal(
                rule=Rule.PYTHON,
                what=f"{name} cannot be built for Python {asked.python}, only {words}",
                reason=limits.reason,
                source=limits.source,
            )


def lock_refusals(unit: Unit, reasons: Mapping[str, Reasoned[str]]) -> Iterator[Refusal]:
    """Locked build requirements that are not what the recipe requires.

    ``reasons`` maps each of the recipe's requirements to the setting that it stands in.
    A lock that was made from other inputs is told by `farm.plan.resolve.lock_problem` instead.
    """
    if unit.lock is None or unit.lock.inputs != inputs_digest(unit.lock_inputs):
        return
    # Only here: it takes as long as planning a recipe does, and most plans need none of it.
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    pins = {pin.name: pin.version for pin in unit.lock.pins}
    for text in unit.lock_inputs.requires:
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        if name in unit.lock_inputs.provided or not _applies(requirement, unit.python):
            continue
        has = pins.get(name)
        if has and requirement.specifier.contains(has, prereleases=True):
            continue
        setting = reasons.get(text)
        yield Refusal(
            rule=Rule.LOCK,
            what=f"{name} {has} is locked" if has else f"{name} is not locked",
            reason=f"{text} is required"
            + (f", {setting.reason}" if setting and setting.reason else ""),
            source=(setting.verified if setting else "") or "requires of the recipe",
            nearest=f"lock it anew: farm lock {unit.label}",
        )


def _applies(requirement: Requirement, python: str) -> bool:
    environment = {"python_version": python, "python_full_version": f"{python}.0", "extra": ""}
    return requirement.marker is None or requirement.marker.evaluate(environment)


def _range(oldest: str, newest: str) -> str:
    if oldest and newest:
        return oldest if oldest == newest else f"{oldest} to {newest}"
    return f"{oldest} or newer" if oldest else f"{newest} or older"


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
