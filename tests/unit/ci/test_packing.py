"""Units in jobs: each once, after what it needs, in jobs that take about equally long."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.ci.missing import Missing
from farm.ci.packing import Job, pack, spread
from farm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def unit(
    name: str, seconds: float = 60, *needs: str, runner: Sequence[str] = (), gib: int = 1
) -> Missing:
    return Missing(
        label=name, why="", seconds=seconds, recorded=True, memory_bytes=gib << 30,
        runner=tuple(runner), needs=needs,
    )  # fmt: skip


def labels(jobs: Sequence[Job]) -> list[list[str]]:
    return [[each.label for each in job.units] for job in jobs]


def by_level(jobs: Sequence[Job]) -> list[list[Job]]:
    return [list(found) for _, found in groupby(jobs, key=lambda job: job.level)]


def test_what_has_to_do_with_no_other_is_built_where_it_lengthens_nothing() -> None:
    """A long unit would hold up all that needs another, though it has time until the end."""
    units = (unit("long", 1000), unit("root", 50), unit("leaf", 900, "root"), unit("short", 40))
    first, second = by_level(pack(units, jobs=2, levels=None))
    assert labels(first) == [["root"], ["short"]]
    assert labels(second) == [["long"], ["leaf"]]


@st.composite
def some_units(draw: st.DrawFn) -> tuple[Missing, ...]:
    """Units in plan order, each with all that it needs, over however many others."""
    made: list[Missing] = []
    for index in range(draw(st.integers(0, 40))):
        direct = draw(st.sets(st.integers(0, index - 1), max_size=3)) if index else set()
        every = {str(n) for n in direct} | {n for d in direct for n in made[d].needs}
        in_order = (each.label for each in made if each.label in every)
        seconds = draw(st.floats(0, 1e5))
        runner = draw(st.sampled_from(["", "big"]))
        made.append(unit(str(index), seconds, *in_order, runner=[runner] if runner else []))
    return tuple(made)


@settings(deadline=None)
@given(some_units(), st.none() | st.integers(1, 12), st.none() | st.integers(1, 4))
def test_each_unit_is_built_once_after_what_it_needs(
    units: tuple[Missing, ...], jobs: int | None, levels: int | None
) -> None:
    try:
        made = pack(units, jobs=jobs, levels=levels)
    except UsageError:
        assert levels is not None
        made = pack(units, jobs=jobs, levels=None)
    flat = [each.label for job in made for each in job.units]
    assert sorted(flat) == sorted(each.label for each in units)
    where = {label: number for number, job in enumerate(made) for label in
             (each.label for each in job.units)}  # fmt: skip
    for number, job in enumerate(made):
        assert len({each.runner for each in job.units}) == 1
        inside = [each.label for each in job.units]
        for each in job.units:
            for need in each.needs:
                if where[need] == number:
                    assert inside.index(need) < inside.index(each.label)
                else:
                    assert made[where[need]].level < job.level
                    assert where[need] in job.needs
    for level in by_level(made):
        kinds = {job.runner for job in level}
        assert jobs is None or len(level) <= max(jobs, len(kinds))
    assert (
        levels is None or len({each.runner for each in units}) > 1 or len(by_level(made)) <= levels
    )


@settings(deadline=None)
@given(st.lists(st.floats(1, 1e5), min_size=1, max_size=60), st.integers(1, 8))
def test_the_spread_is_a_fifth_at_most_where_no_unit_is_longer_than_that(
    times: list[float], jobs: int
) -> None:
    made = pack(tuple(unit(str(n), t) for n, t in enumerate(times)), jobs=jobs, levels=None)
    assert max(job.seconds for job in made) <= (sum(times) / jobs + max(times)) * 1.0001
    if max(times) <= sum(times) / jobs / 5:
        assert len(made) == jobs
        assert spread(made) <= 0.2


@pytest.mark.parametrize(
    ("times", "jobs", "loads"),
    [
        ((3, 3, 2, 2, 2), 2, [6, 6]),  # where the longest first alone ends with 7 and 5
        ((4, 4, 4, 4), 3, [8, 8]),  # a third job would end no sooner
        ((9, 1, 1), 3, [2, 9]),
        ((5, 5, 5), 9, [5, 5, 5]),
        ((7, 6, 5, 4, 3, 2, 1), 1, [28]),
    ],
)
def test_jobs_are_no_more_than_it_takes(
    times: Sequence[float], jobs: int, loads: list[float]
) -> None:
    units = tuple(unit(str(n), t) for n, t in enumerate(times))
    assert sorted(job.seconds for job in pack(units, jobs=jobs, levels=None)) == loads


def test_without_a_number_each_unit_has_a_job() -> None:
    units = (unit("a", 9), unit("b", 1), unit("c", 1, "a"))
    made = pack(units, jobs=None, levels=None)
    assert labels(made) == [["a"], ["b"], ["c"]]
    assert [job.level for job in made] == [0, 0, 1]
    assert [job.needs for job in made] == [(), (), (0,)]


def test_what_would_come_after_the_last_level_is_built_with_what_it_needs() -> None:
    units = (
        unit("a"), unit("b", 60, "a"), unit("x"), unit("c", 60, "a", "b"),
        unit("d", 60, "a", "b", "c"), unit("y", 60, "x"),
    )  # fmt: skip
    assert labels(pack(units, jobs=None, levels=2)) == [["a"], ["x"], ["b", "c", "d"], ["y"]]
    assert labels(pack(units, jobs=None, levels=1)) == [["a", "b", "c", "d"], ["x", "y"]]


def test_another_runner_is_another_job_and_no_level_can_join_the_two() -> None:
    units = (unit("a"), unit("b", 60, "a", runner=["gpu"]), unit("c", runner=["gpu"]))
    made = pack(units, jobs=1, levels=None)
    assert labels(made) == [["a"], ["c"], ["b"]]
    assert [job.runner for job in made] == [(), ("gpu",), ("gpu",)]
    with pytest.raises(UsageError, match="b needs a, after the last level"):
        pack(units, jobs=1, levels=1)


def test_who_has_most_to_do_gets_most_jobs() -> None:
    units = [unit(f"s{n}", 10) for n in range(4)]
    units += [unit(f"l{n}", 100, runner=["big"]) for n in range(6)]
    made = pack(tuple(units), jobs=4, levels=None)
    assert sorted((job.runner, len(job.units)) for job in made) == [
        ((), 4), (("big",), 2), (("big",), 2), (("big",), 2),
    ]  # fmt: skip


def test_a_job_needs_the_memory_of_its_largest_unit() -> None:
    (job,) = pack((unit("a", gib=2), unit("b", gib=7)), jobs=1, levels=None)
    assert job.memory_bytes == 7 << 30


def test_thousands_of_units_are_packed_at_once() -> None:
    units = tuple(unit(str(n), 60 + n % 97) for n in range(4000))
    for jobs in (2, 64, 200):
        assert spread(pack(units, jobs=jobs, levels=1)) <= 0.2
