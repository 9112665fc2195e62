"""Many units on one, ten and a hundred hosts, in virtual time, with farm's own scheduler.

What decides is the real thing: who goes first (`longest_paths`), who is let in (`Resources`,
with what a run gives and a build takes), and what goes to which host (`farm matrix`'s packing).
What is simulated is the work (`tests.bench.simulated`).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from farm.ci.missing import Missing
from farm.ci.packing import pack
from farm.run.options import BuildOptions
from farm.run.resources import Resource, Resources
from farm.run.share import capacity_of
from farm.run.units import longest_paths
from tests.bench.simulated import HOST, Host, Turn, VirtualLoop, make_units

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from farm.ci.packing import Job
    from farm.plan.plan import Plan
    from tests.bench.simulated import Simulated

PACKAGES, VARIANTS = 1200, 6
FEW, SEEDS = 24, 8
"""Packages of small runs on one host, where the end counts for much; the worst of so many."""
HOSTS = (1, 10, 100)
FEWER_AT_ONCE = (2, 8)
GOAL = 1.1
"""How much longer than the lower bound a run may take."""


@dataclass(frozen=True, slots=True)
class _Units:
    """What `longest_paths` asks of a plan."""

    units: tuple[Simulated, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """One simulated run; seconds of virtual time, but ``scheduler_s``, which is real."""

    how: str
    hosts: int
    units: int
    work_bound_s: float
    path_s: float
    makespan_s: float
    most_at_once: int
    scheduler_s: float

    @property
    def ratio(self) -> float:
        """How much longer than the lower bound it takes."""
        return self.makespan_s / max(self.work_bound_s, self.path_s)

    @property
    def met(self) -> bool:
        return self.ratio <= GOAL

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "ratio": self.ratio, "met": self.met}


def measure(
    packages: int = PACKAGES, hosts: Iterable[int] = HOSTS, few: int = FEW
) -> list[Scaled]:
    """Simulate each number of hosts, handed out by ``farm matrix`` and from one queue."""
    units = make_units(packages, VARIANTS)
    found = []
    for turn in Turn:
        small = (_one_queue(make_units(few, VARIANTS, seed), 1, turn) for seed in range(SEEDS))
        found.append(max(small, key=lambda run: run.ratio))
    found += [_one_queue(units, 1, parallel=parallel) for parallel in FEWER_AT_ONCE]
    for count in hosts:
        found.append(_one_queue(units, count))
        if count > 1:
            found.append(_packed(units, count))
    return found


def _bounds(units: tuple[Simulated, ...], hosts: int) -> tuple[float, float]:
    """What no schedule can beat: all work on all cores, and the longest path."""
    alone = {unit.label: unit.alone_s for unit in units}
    work = sum(unit.work_s for unit in units) / (hosts * HOST.cores)
    return work, max(_paths(units, alone).values())


def _paths(units: Collection[Simulated], seconds: Mapping[str, float]) -> dict[str, float]:
    return longest_paths(cast("Plan", _Units(tuple(units))), seconds)


def _one_queue(
    units: tuple[Simulated, ...],
    hosts: int,
    turn: Turn = Turn.AS_THEY_COME,
    parallel: int | None = None,
) -> Scaled:
    """One run over all hosts; a unit goes where least is to do.  With one host: ``farm build``."""
    how = "farm build" if hosts == 1 else "one queue"
    how += ", slots by path" if turn is Turn.BY_PATH else ""
    how += f" -j {parallel}" if parallel else ""
    options = BuildOptions(parallel=parallel)
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        run = runner.run(_farm_build(units, [Host(turn) for _ in range(hosts)], options))
    return _scaled(how, units, hosts, run, run.scheduler_s)


def _packed(units: tuple[Simulated, ...], hosts: int) -> Scaled:
    """A run on each host of what ``farm matrix --jobs`` hands it, level by level."""
    started = time.perf_counter()
    missing = tuple(
        Missing(
            label=unit.label,
            why="",
            seconds=unit.recorded_s,
            recorded=True,
            memory_bytes=unit.call_bytes,
            needs=tuple(need.label for need in unit.needs),
        )
        for unit in units
    )
    jobs = pack(_closed(missing), jobs=hosts, levels=None)
    packing_s = time.perf_counter() - started
    by_label = {unit.label: unit for unit in units}

    async def all_jobs() -> list[_Run]:
        free: asyncio.Queue[Host] = asyncio.Queue()
        for _ in range(hosts):
            free.put_nowait(Host())
        ended = [asyncio.Event() for _ in jobs]

        async def one(index: int) -> _Run:
            job = jobs[index]
            for need in job.needs:
                await ended[need].wait()
            host = await free.get()
            run = await _farm_build(_own(job, by_label), [host], BuildOptions())
            ended[index].set()
            free.put_nowait(host)
            return run

        return await asyncio.gather(*(one(index) for index in range(len(jobs))))

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runs = runner.run(all_jobs())
    whole = _Run(
        ended_s=max(run.ended_s for run in runs), most=max(run.most for run in runs), scheduler_s=0
    )
    scheduler_s = packing_s + sum(run.scheduler_s for run in runs)
    return _scaled("farm matrix", units, hosts, whole, scheduler_s)


def _own(job: Job, by_label: Mapping[str, Simulated]) -> tuple[Simulated, ...]:
    """A job's units; what they need of other jobs is built by then."""
    inside = {unit.label for unit in job.units}
    units = [by_label[unit.label] for unit in job.units]
    return tuple(
        replace(unit, needs=tuple(need for need in unit.needs if need.label in inside))
        for unit in units
    )


def _closed(missing: tuple[Missing, ...]) -> tuple[Missing, ...]:
    """Units with all that they need, over however many others, as `pack` wants them."""
    found: dict[str, Missing] = {}
    for unit in missing:  # those that it needs come before it
        every = {label for need in unit.needs for label in (need, *found[need].needs)}
        found[unit.label] = Missing(
            label=unit.label,
            why="",
            seconds=unit.seconds,
            recorded=True,
            memory_bytes=unit.memory_bytes,
            needs=tuple(label for label in found if label in every),
        )
    return tuple(found.values())


def _scaled(
    how: str, units: tuple[Simulated, ...], hosts: int, run: _Run, scheduler_s: float
) -> Scaled:
    work_s, path_s = _bounds(units, hosts)
    return Scaled(
        how=how,
        hosts=hosts,
        units=len(units),
        work_bound_s=work_s,
        path_s=path_s,
        makespan_s=run.ended_s,
        most_at_once=run.most,
        scheduler_s=scheduler_s,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """When a run was over, how many units were at work at once, what deciding took."""

    ended_s: float
    most: int
    scheduler_s: float


async def _farm_build(
    units: tuple[Simulated, ...], hosts: list[Host], options: BuildOptions
) -> _Run:
    """All units on their ways, as in `farm.run.units`."""
    loop, started = asyncio.get_running_loop(), time.perf_counter()
    priorities = _paths(units, {unit.label: unit.recorded_s for unit in units})
    deciding = time.perf_counter() - started
    each = capacity_of(HOST, options)
    resources = _Timed({resource: size * len(hosts) for resource, size in each.items()})
    over = {unit.label: asyncio.Event() for unit in units}
    inside = most = 0

    async def way(unit: Simulated) -> None:
        nonlocal inside, most
        for need in unit.needs:
            await over[need.label].wait()
        takes = {Resource.ENGINE: 1, Resource.MEMORY: unit.call_bytes}
        async with resources.take(takes, priorities[unit.label]):
            inside += 1
            most = max(most, inside)
            await min(hosts, key=lambda host: host.given_s).build(unit, priorities[unit.label])
            inside -= 1
        over[unit.label].set()

    await asyncio.gather(*map(way, units))
    return _Run(ended_s=loop.time(), most=most, scheduler_s=deciding + resources.deciding_s)


class _Timed(Resources):
    """Resources that know how long deciding took, in real seconds."""

    deciding_s = 0.0

    def _grant(self) -> None:
        started = time.perf_counter()
        super()._grant()
        self.deciding_s += time.perf_counter() - started
