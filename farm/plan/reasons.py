"""Why each setting is as it is: what ``farm show`` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.load.places import dotted
from farm.plan.scope import scope_of
from farm.plan.select import VariantChoice

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.load.library import Library
    from farm.model.recipe import Expectation, Layer, Recipe, SmokeTest, Target
    from farm.model.source import StagedSource
    from farm.model.strict import Reasoned
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
    reasons += _version_reasons(recipe, scope.variant)
    if recipe.target:
        reasons += _target_reasons(recipe.target)
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
    compiler = toolchain.host_compiler
    pinned = f"{compiler.family}-{compiler.version}"
    yield Reason(setting="host_compiler", value=pinned, reason=compiler.reason, verified="")
    for name, setting in toolchain.env.items():
        yield _reason(f"{toolchain.toolchain}.env.{name}", setting.value, setting)
    for kind in ("cmake_args", "packages", "run_packages", "drivers", "exclude_paths"):
        for item in getattr(toolchain, kind):
            yield _reason(f"{toolchain.toolchain}.{kind}", item.value, item)
    for kind in ("packages", "run_packages"):
        for item in getattr(base, kind):
            yield _reason(f"{base.base}.{kind}", item.value, item)
    for each in base.further_suites:
        where, names = f"{base.base}.further_suites", f"{each.suite}: {' '.join(each.packages)}"
        yield Reason(setting=where, value=names, reason=each.reason, verified="")


def _target_reasons(target: Target) -> Iterator[Reason]:
    """The variable by which the package chooses its device."""
    label, values = f"target ({target.variable})", " | ".join(target.values)
    yield Reason(setting=label, value=values, reason=target.reason, verified="")


def _version_reasons(recipe: Recipe, variant: str) -> Iterator[Reason]:
    """The version that a variant is built in where none is asked for, if it says so itself."""
    default = recipe.variants[variant].default_version
    if default is not None:
        yield _reason(f"variants.{variant}.default_version", default.value, default)


def _layer_reasons(placed: PlacedLayer) -> Iterator[Reason]:
    """Every setting of a recipe's layer that can carry a reason."""
    layer = placed.layer
    prefix = dotted(placed.path)
    prefix = f"{prefix}." if prefix else ""
    for name, setting in layer.env.items():
        yield _reason(f"{prefix}env.{name}", setting.value, setting)
    for kind in ("cmake_args", "requires", "system_packages", "exclude_paths", "forbid_output"):
        for item in getattr(layer, kind):
            yield _reason(f"{prefix}{kind}", item.value, item)
    yield from _source_reasons(layer, prefix)
    yield from _change_reasons(layer, prefix)
    if layer.jobs:
        where, size = f"{prefix}jobs.memory_per_job", layer.jobs.memory_per_job
        yield Reason(setting=where, value=size, reason=layer.jobs.reason, verified="")
    if layer.expect:
        yield from _expectation_reasons(layer.expect, f"{prefix}expect.")
    if layer.smoke_test:
        yield from _smoke_test_reasons(layer.smoke_test, f"{prefix}smoke_test.")
    if layer.unlocked:
        yield Reason(setting=f"{prefix}unlocked", value="yes", reason=layer.unlocked, verified="")


def _source_reasons(layer: Layer, prefix: str) -> Iterator[Reason]:
    for name, staged in layer.sources.items():
        yield _reason(f"{prefix}sources.{name}", _origin(staged.source), staged)
    for each in layer.crates:
        value = f"{each.of}: {each.lock}" if each.of else each.lock
        yield Reason(setting=f"{prefix}crates", value=value, reason=each.reason, verified="")


def _change_reasons(layer: Layer, prefix: str) -> Iterator[Reason]:
    for edit in layer.edits:
        value = f"{edit.file}: {edit.replace!r} → {edit.by!r}"
        yield Reason(setting=f"{prefix}edits", value=value, reason=edit.reason, verified="")
    for need in layer.needs:
        chosen = {"archs": need.archs, "features": need.features, "python": need.python}
        value = f"{need.package}@{need.version}:{need.variant}" + "".join(
            f", {name} {each if isinstance(each, str) else ' '.join(each)}"
            for name, each in chosen.items()
            if each
        )
        yield Reason(setting=f"{prefix}needs", value=value, reason=need.reason, verified="")


def _expectation_reasons(expect: Expectation, prefix: str) -> Iterator[Reason]:
    for each in expect.extensions or ():
        if each.device_code or each.reason:
            value = f"{each.name}: {each.device_code or 'by the accelerator'}"
            setting = f"{prefix}extensions"
            yield Reason(setting=setting, value=value, reason=each.reason, verified="")
    for kind in ("libraries", "isa"):
        for item in getattr(expect, kind):
            yield _reason(f"{prefix}{kind}", item.value, item)


def _smoke_test_reasons(test: SmokeTest, prefix: str) -> Iterator[Reason]:
    if test.skip:
        yield Reason(setting=f"{prefix}skip", value="yes", reason=test.skip, verified="")
    for kind in ("requires", "system_packages", "stubs"):
        for item in getattr(test, kind):
            yield _reason(f"{prefix}{kind}", item.value, item)


def _reason(setting: str, value: str, item: Reasoned[str] | StagedSource) -> Reason:
    return Reason(setting=setting, value=value, reason=item.reason, verified=item.verified)


def _origin(spec: object) -> str:
    for name in ("archive", "git", "tree", "wheel"):
        if hasattr(spec, name):
            return f"{getattr(spec, name)}{'@' + spec.commit if hasattr(spec, 'commit') else ''}"
    return ""
