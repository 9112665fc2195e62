"""What a run may take, from what its units took before, with the arithmetic behind it.

No schedule ends before its longest path does, before all processor time is spent, or before
all units had their turn.  Simulated runs end within a few per cent of the longest of these
(docs/benchmarks.md), so that is what is forecast.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from farm.run.share import at_once

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from farm.host.machine import Machine
    from farm.plan.plan import Plan
    from farm.run.estimates import Estimate
    from farm.run.options import BuildOptions
    from farm.run.settle import Settled


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What the units that will be built may take together.

    ``guessed`` are those of them that were never built here.  ``path`` are the units that must
    follow each other and take longest.  ``compilers`` is how many may run at once, ``largest``
    the unit with the largest of them.
    """

    units: tuple[str, ...]
    guessed: tuple[str, ...]
    path: tuple[str, ...]
    path_s: float
    cpu_s: float
    cores: int
    units_s: float
    at_once: int
    compilers: int
    largest: str
    largest_bytes: int
    memory_bytes: int
    results_bytes: int

    @property
    def seconds(self) -> float:
        """How long the run may last."""
        return max(self.path_s, self.cpu_s / self.cores, self.units_s / self.at_once)

    @property
    def peak_bytes(self) -> int:
        """The most that all compilers may take together: the gate lets in no more than fits."""
        return min(self.memory_bytes, self.compilers * self.largest_bytes)

    @property
    def disk_bytes(self) -> int:
        """What results may take: each is kept, and shown below ``out``."""
        return 2 * self.results_bytes

    @property
    def as_json(self) -> dict[str, object]:
        """All of it, with what comes of it."""
        told = ("seconds", "peak_bytes", "disk_bytes")
        return asdict(self) | {name: getattr(self, name) for name in told}


def to_build(plan: Plan, settled: Mapping[str, Settled], options: BuildOptions) -> list[str]:
    """The units that will be built, in plan order; all where nothing is settled."""
    return [
        unit.label
        for unit in plan.units
        if unit.label not in settled
        or not settled[unit.label].built
        or options.again_for(unit.label in plan.requested)
    ]


def outlook(
    plan: Plan,
    building: Collection[str],
    estimates: Mapping[str, Estimate],
    machine: Machine,
    options: BuildOptions,
) -> Outlook | None:
    """What building these units may take on what is given of a machine; None where it is none."""
    units = tuple(unit.label for unit in plan.units if unit.label in building)
    if not units:
        return None
    path = _longest_path(plan, building, estimates)
    largest = max(units, key=lambda label: estimates[label].peak_bytes)
    places = min(at_once(machine, options), len(units))
    return Outlook(
        units=units,
        guessed=tuple(label for label in units if not estimates[label].recorded),
        path=path,
        path_s=sum(estimates[label].seconds for label in path),
        cpu_s=sum(estimates[label].cpu_s for label in units),
        cores=machine.cores,
        units_s=sum(estimates[label].seconds for label in units),
        at_once=places,
        compilers=min(machine.cores, places * (options.max_jobs or machine.cores)),
        largest=largest,
        largest_bytes=estimates[largest].peak_bytes,
        memory_bytes=machine.memory_bytes,
        results_bytes=sum(estimates[label].result_bytes for label in units),
    )


def _longest_path(
    plan: Plan, building: Collection[str], estimates: Mapping[str, Estimate]
) -> tuple[str, ...]:
    """The units that take longest one after the other, each needed by the next."""
    paths: dict[str, tuple[float, tuple[str, ...]]] = {}
    for unit in plan.units:  # those that it needs come before it
        before = max((paths[need.label] for need in unit.needs), default=(0.0, ()))
        if unit.label in building:
            seconds = before[0] + estimates[unit.label].seconds
            before = (seconds, (*before[1], unit.label))
        paths[unit.label] = before
    return max(paths.values())[1]
