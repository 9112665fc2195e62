"""The layers of a recipe that apply to one unit, joined from general to specific."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from farm.load.nearest import advise
from farm.model.strict import parse_size
from farm.model.unit import JobRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farm.model.recipe import Expectation, Layer, Recipe, Variant, Version
    from farm.model.source import PythonLimits

Path = tuple[str | int, ...]
DEFAULT_JOBS = JobRule(
    memory_per_job_bytes=2 * 2**30, reason="the default; the recipe says nothing about memory"
)
_PLACEHOLDER = re.compile(r"\$\{([^}]*)\}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedLayer:
    """A layer and where it stands in the recipe."""

    path: Path
    layer: Layer


def layers_of(
    recipe: Recipe, version: str, variant: str, features: Mapping[str, bool]
) -> tuple[PlacedLayer, ...]:
    """The layers that apply, from general to specific."""
    chosen: list[PlacedLayer] = [PlacedLayer(path=(), layer=recipe)]
    spec: Version = recipe.versions[version]
    own: Variant = recipe.variants[variant]
    chosen.append(PlacedLayer(path=("versions", version), layer=spec))
    chosen.append(PlacedLayer(path=("variants", variant), layer=own))
    if variant in spec.variants:
        path = ("versions", version, "variants", variant)
        chosen.append(PlacedLayer(path=path, layer=spec.variants[variant]))
    for name, on in features.items():
        feature = recipe.features[name]
        side = "on" if on else "off"
        chosen.append(
            PlacedLayer(path=("features", name, side), layer=feature.on if on else feature.off)
        )
    return tuple(chosen)


def joined(layers: tuple[PlacedLayer, ...], name: str) -> Iterator[tuple[Path, Any]]:
    """Items of a list setting of all layers, each with its path."""
    for placed in layers:
        for index, item in enumerate(getattr(placed.layer, name)):
            yield (*placed.path, name, index), item


def values(layers: tuple[PlacedLayer, ...], name: str) -> list[str]:
    """What a list setting of all layers says, without the reasons."""
    return [item.value for _, item in joined(layers, name)]


def merged(layers: tuple[PlacedLayer, ...], name: str) -> dict[str, tuple[Path, Any]]:
    """Items of a mapping setting, the most specific layer winning."""
    found: dict[str, tuple[Path, Any]] = {}
    for placed in layers:
        for key, item in getattr(placed.layer, name).items():
            found[key] = ((*placed.path, name, key), item)
    return found


def job_rule(layers: tuple[PlacedLayer, ...]) -> JobRule:
    """The most specific memory rule, or the default one."""
    jobs = next((p.layer.jobs for p in reversed(layers) if p.layer.jobs), None)
    return _rule(jobs.memory_per_job, jobs.reason) if jobs else DEFAULT_JOBS


@lru_cache(maxsize=256)
def _rule(memory_per_job: str, reason: str) -> JobRule:
    """One rule for all units that share it."""
    return JobRule(memory_per_job_bytes=parse_size(memory_per_job), reason=reason)


def last_expectation(layers: tuple[PlacedLayer, ...]) -> Expectation | None:
    """The most specific expectation."""
    return next((p.layer.expect for p in reversed(layers) if p.layer.expect), None)


def last_unlocked(layers: tuple[PlacedLayer, ...]) -> str:
    """The most specific reason why requirements are not locked; empty if they are."""
    return next((p.layer.unlocked for p in reversed(layers) if p.layer.unlocked), "")


def last_runner(layers: tuple[PlacedLayer, ...]) -> tuple[str, ...]:
    """The most specific labels of a CI machine; none if no layer names any."""
    return next((p.layer.runner for p in reversed(layers) if p.layer.runner), ())


def python_limits(
    layers: tuple[PlacedLayer, ...], package: str
) -> Iterator[tuple[str, PythonLimits]]:
    """Pythons that the package, and each of its staged sources, can be built for, by name."""
    for placed in layers:
        if placed.layer.python_limits:
            yield package, placed.layer.python_limits
    for name, (_, staged) in merged(layers, "sources").items():
        if staged.python_limits:
            yield name, staged.python_limits


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace ``${name}`` by its value.

    Raises:
        ValueError: an unknown name, with the nearest known one.
    """
    if "${" not in text:
        return text

    def replace(match: re.Match[str]) -> str:
        name = match[1]
        if name not in values:
            hint = advise(name, sorted(values), "known:")
            raise ValueError(f"unknown placeholder ${{{name}}}; {hint}")
        return values[name]

    return _PLACEHOLDER.sub(replace, text)


@lru_cache(maxsize=256)
def arch_values(archs: tuple[str, ...]) -> Mapping[str, str]:
    """Placeholders for the architectures, joined by ``;`` as CMake lists are.

    ``${archs}`` is ``sm_86;sm_90a``, ``${archs.number}`` ``86;90a`` (what
    CMAKE_CUDA_ARCHITECTURES takes), ``${archs.dotted}`` ``8.6;9.0a`` (what
    TORCH_CUDA_ARCH_LIST takes).
    """
    numbers = [arch.removeprefix("sm_") for arch in archs]
    dotted = [re.sub(r"^([0-9]+)([0-9])([a-z]?)$", r"\1.\2\3", number) for number in numbers]
    return MappingProxyType(
        {
            "archs": ";".join(archs),
            "archs.number": ";".join(numbers),
            "archs.dotted": ";".join(dotted),
        }
    )
