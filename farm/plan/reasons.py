"""Why each setting is as it is: what ``farm show`` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from farm.load.places import dotted
from farm.plan.scope import scope_of
from farm.plan.select import VariantChoice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.load.library import Library
    from farm.model.recipe import Expectation, Layer, Need, Recipe, SmokeTest
    from farm.model.toolchain import Base, Toolchain
    from farm.model.unit import Unit
    from farm.plan.settings import PlacedLayer


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a setting is as it is."""

    setting: str
    value: str
    reason: str
    verified: str


class _Reasoned(Protocol):
    """What says why it is so, and may say when that was verified."""

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What the files of a unit say of themselves, as (of what, text), and why of each setting."""

    about: tuple[tuple[str, str], ...]
    reasons: tuple[Reason, ...]


def explain(library: Library, unit: Unit) -> Explanation:
    """Every setting of a unit that can carry a reason, with the reason or an empty one."""
    recipe = library.recipes[unit.key.package].recipe
    features = tuple((name, name in unit.features) for name in recipe.features)
    choice = VariantChoice(
        name=unit.base_variant, archs=unit.archs, features=features, python=unit.python
    )
    scope = scope_of(library, recipe, unit.key.version, choice)
    reasons = [*_toolchain_reasons(scope.toolchain, scope.base)]
    reasons += (reason for placed in scope.layers for reason in _layer_reasons(placed))
    default, target = recipe.variants[scope.variant].default_version, recipe.target
    if default:
        where = f"variants.{scope.variant}.default_version"
        reasons.append(_reason(where, default.value, default))
    if target:
        label = f"target ({target.variable})"
        reasons.append(_reason(label, " | ".join(target.values), target))
    about = _about(recipe, scope.variant, scope.toolchain, scope.base)
    return Explanation(about=tuple(about), reasons=tuple(reasons))


def _about(
    recipe: Recipe, variant: str, toolchain: Toolchain, base: Base
) -> Iterator[tuple[str, str]]:
    """What the files say of themselves, as (of what, text)."""
    told = [
        ("package", recipe.summary),
        ("homepage", recipe.homepage),
        ("variant", recipe.variants[variant].summary),
        *((f"+{name}", feature.summary) for name, feature in recipe.features.items()),
        (toolchain.toolchain, toolchain.summary),
        (base.base, base.summary),
    ]
    return ((of_what, text) for of_what, text in told if text)


def _toolchain_reasons(toolchain: Toolchain, base: Base) -> Iterator[Reason]:
    """Every setting of a toolchain and its base, with its reason or an empty one."""
    compiler, name = toolchain.host_compiler, toolchain.toolchain
    yield _reason("host_compiler", f"{compiler.family}-{compiler.version}", compiler)
    yield from _env(f"{name}.", toolchain)
    kinds = ("cmake_args", "packages", "run_packages", "drivers", "exclude_paths")
    yield from _lists(f"{name}.", toolchain, *kinds)
    yield from _lists(f"{base.base}.", base, "packages", "run_packages")
    for each in base.further_suites:
        names = f"{each.suite}: {' '.join(each.packages)}"
        yield _reason(f"{base.base}.further_suites", names, each)


def _layer_reasons(placed: PlacedLayer) -> Iterator[Reason]:
    """Every setting of a recipe's layer that can carry a reason."""
    layer = placed.layer
    prefix = dotted(placed.path)
    prefix = f"{prefix}." if prefix else ""
    yield from _env(prefix, layer)
    kinds = ("cmake_args", "requires", "system_packages", "exclude_paths", "forbid_output")
    yield from _lists(prefix, layer, *kinds)
    for name, staged in layer.sources.items():
        yield _reason(f"{prefix}sources.{name}", _origin(staged.source), staged)
    for crates in layer.crates:
        where = f"{crates.of}: {crates.lock}" if crates.of else crates.lock
        yield _reason(f"{prefix}crates", where, crates)
    for edit in layer.edits:
        yield _reason(f"{prefix}edits", f"{edit.file}: {edit.replace!r} → {edit.by!r}", edit)
    for need in layer.needs:
        yield _reason(f"{prefix}needs", _needed(need), need)
    if layer.jobs:
        yield _reason(f"{prefix}jobs.memory_per_job", layer.jobs.memory_per_job, layer.jobs)
    if layer.expect:
        yield from _expectation_reasons(layer.expect, f"{prefix}expect.")
    if layer.smoke_test:
        yield from _smoke_test_reasons(layer.smoke_test, f"{prefix}smoke_test.")
    if layer.unlocked:
        yield Reason(setting=f"{prefix}unlocked", value="yes", reason=layer.unlocked, verified="")


def _needed(need: Need) -> str:
    chosen = {"archs": need.archs, "features": need.features, "python": need.python}
    return f"{need.package}@{need.version}:{need.variant}" + "".join(
        f", {name} {each if isinstance(each, str) else ' '.join(each)}"
        for name, each in chosen.items()
        if each
    )


def _expectation_reasons(expect: Expectation, prefix: str) -> Iterator[Reason]:
    for each in expect.extensions or ():
        if each.device_code or each.reason:
            value = f"{each.name}: {each.device_code or 'by the accelerator'}"
            yield _reason(f"{prefix}extensions", value, each)
    yield from _lists(prefix, expect, "libraries", "isa")


def _smoke_test_reasons(test: SmokeTest, prefix: str) -> Iterator[Reason]:
    if test.skip:
        yield Reason(setting=f"{prefix}skip", value="yes", reason=test.skip, verified="")
    yield from _lists(prefix, test, "requires", "system_packages", "stubs")


def _env(prefix: str, holder: Toolchain | Layer) -> Iterator[Reason]:
    for name, setting in holder.env.items():
        yield _reason(f"{prefix}env.{name}", setting.value, setting)


def _lists(prefix: str, holder: object, *kinds: str) -> Iterator[Reason]:
    """Settings of which each is a list of `Reasoned`."""
    for kind in kinds:
        for item in getattr(holder, kind):
            yield _reason(f"{prefix}{kind}", item.value, item)


def _reason(setting: str, value: str, item: _Reasoned) -> Reason:
    verified = getattr(item, "verified", "")
    return Reason(setting=setting, value=value, reason=item.reason, verified=verified)


def _origin(spec: object) -> str:
    for name in ("archive", "git", "tree", "wheel"):
        if hasattr(spec, name):
            return f"{getattr(spec, name)}{'@' + spec.commit if hasattr(spec, 'commit') else ''}"
    return ""
