"""Pack units into jobs that take about equally long, each after those that it needs.

Longest first, each into the job that has least (Graham 1969: at most 4/3 of the best), then
exchanges between the fullest and the emptiest job as long as they help.  The spread, what the
fullest job has more than the emptiest as a share of its own, is at most 20 % wherever no
single unit is longer than a fifth of a job.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from heapq import heapreplace
from itertools import groupby
from math import ceil
from typing import TYPE_CHECKING

from farm.ci.missing import chain
from farm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.ci.missing import Missing

_GOOD_ENOUGH = 0.02
"""A spread from which on nothing is exchanged any more: forecasts are less exact."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What one job of a CI service builds, in this order.

    ``level`` counts from 0; ``needs`` are the indices of jobs of lower levels whose results
    it takes, over however many others.
    """

    level: int
    units: tuple[Missing, ...]
    needs: tuple[int, ...] = ()

    @property
    def seconds(self) -> float:
        """What its units take one after the other."""
        return sum(unit.seconds for unit in self.units)

    @property
    def memory_bytes(self) -> int:
        """The most that one compile job of it takes."""
        return max(unit.memory_bytes for unit in self.units)

    @property
    def runner(self) -> tuple[str, ...]:
        """Labels of the machine: all its units have the same."""
        return self.units[0].runner


@dataclass(frozen=True, slots=True, kw_only=True)
class _Atom:
    """Units that one job must build together."""

    units: tuple[Missing, ...]
    seconds: float


def pack(units: tuple[Missing, ...], *, jobs: int | None, levels: int | None) -> tuple[Job, ...]:
    """Jobs for all units, by level: at most ``jobs`` in each, or one for each unit.

    Fewer where that takes no longer.  Units with other runner labels get a job of their own,
    also where that makes more.  With ``levels``, what would come after the last of these is
    built in it, by the job that builds what it needs.

    Raises:
        UsageError: for that, units for different runners would have to be in one job.
    """
    last = None if levels is None else levels - 1
    found = {u.label: level if last is None else min(level, last) for u, level in chain(units)}
    if jobs:
        found |= _anywhere(units, found, jobs)
    made: list[Job] = []
    for level in sorted(set(found.values())):
        here = [unit for unit in units if found[unit.label] == level]
        made += [Job(level=level, units=each) for each in _pack_level(here, jobs)]
    return _with_needs(made)


def _anywhere(units: tuple[Missing, ...], levels: dict[str, int], jobs: int) -> dict[str, int]:
    """Levels for what needs nothing and nothing needs: where each lengthens the run least.

    A level lasts as long as its longest unit at least: the next one waits for all of it.
    """
    needed = {label for unit in units for label in unit.needs}
    free = [unit for unit in units if not unit.needs and unit.label not in needed]
    loads = [0.0] * (max(levels.values(), default=0) + 1)
    longest = list(loads)

    def put(unit: Missing, level: int) -> None:
        loads[level] += unit.seconds
        longest[level] = max(longest[level], unit.seconds)

    for unit in units:
        if unit.needs or unit.label in needed:
            put(unit, levels[unit.label])
    found = {}
    for unit in sorted(free, key=lambda unit: -unit.seconds):
        lengthened = [
            max((load + unit.seconds) / jobs, most, unit.seconds) - max(load / jobs, most)
            for load, most in zip(loads, longest, strict=True)
        ]
        found[unit.label] = lengthened.index(min(lengthened))
        put(unit, found[unit.label])
    return found


def spread(jobs: Sequence[Job]) -> float:
    """What the fullest of these has more than the emptiest, as a share of its own."""
    loads = [job.seconds for job in jobs]
    return (max(loads) - min(loads)) / max(loads) if any(loads) else 0.0


def _pack_level(units: list[Missing], jobs: int | None) -> list[tuple[Missing, ...]]:
    atoms = sorted(_atoms(units), key=lambda atom: atom.units[0].runner)
    kinds = [list(each) for _, each in groupby(atoms, key=lambda atom: atom.units[0].runner)]
    order = {unit.label: index for index, unit in enumerate(units)}
    packed = []
    for kind, count in zip(kinds, _shares(kinds, jobs), strict=True):
        for bunch in _fewest(kind, count) if jobs else [[atom] for atom in kind]:
            inside = [unit for atom in bunch for unit in atom.units]
            packed.append(tuple(sorted(inside, key=lambda unit: order[unit.label])))
    return sorted(packed, key=lambda inside: order[inside[0].label])


def _atoms(units: list[Missing]) -> list[_Atom]:
    """Units of one level; those that need each other, in a level that ends a chain, together."""
    here = {unit.label: unit for unit in units}
    group = {unit.label: {unit.label: unit} for unit in units}
    for unit in units:
        for need in unit.needs:
            if need in here:
                if here[need].runner != unit.runner:
                    raise _apart(unit, here[need])
                joined = group[need] | group[unit.label]
                group.update(dict.fromkeys(joined, joined))
    found = {id(members): tuple(members.values()) for members in group.values()}
    return [
        _Atom(units=members, seconds=sum(unit.seconds for unit in members))
        for members in found.values()
    ]


def _apart(unit: Missing, need: Missing) -> UsageError:
    return UsageError(
        f"{unit.label} needs {need.label}, after the last level, on another runner",
        hint="have more levels: --levels N, and as many in the workflow file",
    )


def _shares(kinds: list[list[_Atom]], jobs: int | None) -> list[int]:
    """How many jobs each kind of runner gets: one, and the more the longer it has to work."""
    counts = [1 if jobs else len(kind) for kind in kinds]
    loads = [sum(atom.seconds for atom in kind) for kind in kinds]
    while jobs and sum(counts) < jobs:
        free = [index for index, kind in enumerate(kinds) if counts[index] < len(kind)]
        if not free:
            break
        counts[max(free, key=lambda index: loads[index] / counts[index])] += 1
    return counts


def _fewest(atoms: list[_Atom], most: int) -> list[list[_Atom]]:
    """The fewest jobs that are over as soon as ``most`` jobs would be."""
    best = _balanced(atoms, most)
    longest = max(map(_load, best)) * (1 + 1e-9)
    least = ceil(sum(map(_load, best)) / longest) if longest else 1
    for count in range(max(1, least), len(best)):
        found = _balanced(atoms, count)
        if max(map(_load, found)) <= longest:
            return found
    return best


def _balanced(atoms: list[_Atom], count: int) -> list[list[_Atom]]:
    """At most ``count`` jobs, the longest atoms first, then exchanged."""
    bunches: list[list[_Atom]] = [[] for _ in range(min(count, len(atoms)))]
    loads = [(0.0, index) for index in range(len(bunches))]
    for atom in sorted(atoms, key=lambda atom: -atom.seconds):
        load, index = loads[0]
        bunches[index].append(atom)
        heapreplace(loads, (load + atom.seconds, index))
    while _improved(bunches):
        pass
    return bunches


def _improved(bunches: list[list[_Atom]]) -> bool:
    """Move one atom from the fullest to the emptiest job, or exchange two, if that helps."""
    full, empty = max(bunches, key=_load), min(bunches, key=_load)
    gap = _load(full) - _load(empty)
    if gap <= _GOOD_ENOUGH * _load(full):
        return False
    nothing = _Atom(units=(), seconds=0.0)
    others = sorted([nothing, *empty], key=lambda atom: atom.seconds)
    times = [atom.seconds for atom in others]
    best, pair = gap, None
    for mine in full:
        at = bisect_left(times, mine.seconds - gap / 2)
        for theirs in others[max(0, at - 1) : at + 1]:
            left = abs(gap - 2 * (mine.seconds - theirs.seconds))
            if left < best * (1 - 1e-9):
                best, pair = left, (mine, theirs)
    if pair is None or (pair[1] is nothing and len(full) == 1):
        return False
    full.remove(pair[0])
    empty.append(pair[0])
    if pair[1] is not nothing:
        empty.remove(pair[1])
        full.append(pair[1])
    return True


def _load(bunch: list[_Atom]) -> float:
    return sum(atom.seconds for atom in bunch)


def _with_needs(jobs: list[Job]) -> tuple[Job, ...]:
    """The jobs, each with those of lower levels that build what its units need."""
    builder = {unit.label: index for index, job in enumerate(jobs) for unit in job.units}
    return tuple(
        Job(
            level=job.level,
            units=job.units,
            needs=tuple(sorted({builder[n] for unit in job.units for n in unit.needs} - {index})),
        )
        for index, job in enumerate(jobs)
    )
