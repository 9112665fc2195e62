"""MAX_JOBS = min(cores, budget ÷ memory per job), at least 1, and the user's own wins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.host.machine import Machine
from farm.model.unit import JobRule
from farm.plan.jobs import GIB, JobPlan, share

MACHINE = Machine(cores=24, memory_bytes=31 * GIB)


def jobs(
    gib: float = 5.0,
    *,
    machine: Machine = MACHINE,
    units: int = 1,
    max_jobs: int | None = None,
    nvcc_threads: int | None = None,
) -> JobPlan:
    rule = JobRule(memory_per_job_bytes=int(gib * GIB), reason="measured")
    rules = {f"unit {number}": rule for number in range(units)}
    found = share(rules, machine, parallel=units, max_jobs=max_jobs, nvcc_threads=nvcc_threads)
    return found["unit 0"]


def test_memory_limits_the_jobs_and_the_arithmetic_is_shown() -> None:
    plan = jobs()
    assert plan.max_jobs == 6
    assert plan.arithmetic == "MAX_JOBS=6 = min(24 cores, 31.0 GiB ÷ 5.0 GiB per job = 6)"


def test_cores_limit_the_jobs_where_there_is_memory_enough() -> None:
    assert jobs(0.5).max_jobs == 24


def test_units_that_build_at_once_share_the_memory() -> None:
    plan = jobs(units=2)
    assert plan.max_jobs == 3
    assert "÷ 2 units at once ÷" in plan.arithmetic


def test_less_memory_than_one_job_needs_is_one_job_and_said() -> None:
    plan = jobs(40)
    assert plan.max_jobs == 1
    assert "less memory than one job needs" in plan.arithmetic


def test_the_users_max_jobs_wins_over_memory_and_cores() -> None:
    plan = jobs(40, max_jobs=99)
    assert (plan.max_jobs, plan.arithmetic) == (99, "MAX_JOBS=99, as you asked")


@pytest.mark.parametrize("max_jobs", [None, 8])
def test_nvcc_threads_never_divide_silently(max_jobs: int | None) -> None:
    plain, threaded = jobs(max_jobs=max_jobs), jobs(max_jobs=max_jobs, nvcc_threads=4)
    assert threaded.max_jobs == plain.max_jobs
    assert threaded.nvcc_threads == 4
    assert f"runs {max(1, plain.max_jobs // 4)} at a time" in threaded.arithmetic
    assert "NVCC_THREADS" not in plain.arithmetic


@st.composite
def shared(draw: st.DrawFn) -> tuple[Machine, dict[str, JobRule], int]:
    machine = Machine(cores=draw(st.integers(1, 256)), memory_bytes=draw(st.integers(0, 2**42)))
    sizes = draw(st.lists(st.integers(1, 2**40), min_size=1, max_size=8))
    rules = {
        f"p{number}": JobRule(memory_per_job_bytes=size, reason="")
        for number, size in enumerate(sizes)
    }
    return machine, rules, draw(st.integers(1, 10))


@given(shared(), st.none() | st.integers(1, 64), st.data())
def test_units_that_fit_together_never_take_more_than_there_is(
    world: tuple[Machine, dict[str, JobRule], int], threads: int | None, data: st.DataObject
) -> None:
    machine, rules, parallel = world
    plans = share(rules, machine, parallel=parallel, nvcc_threads=threads)
    assert list(plans) == list(rules)
    running: list[str] = []  # any that a scheduler would let build at once, in any order
    for label in data.draw(st.permutations(sorted(rules))):
        together = [plans[each] for each in (*running, label)]
        fits = sum(each.cores for each in together) <= machine.cores and (
            sum(each.memory_bytes for each in together) <= max(1, machine.memory_bytes)
        )
        if fits and len(together) <= parallel:
            running.append(label)
    needs = {each: plans[each].max_jobs * rules[each].memory_per_job_bytes for each in running}
    assert running
    assert sum(plans[each].max_jobs for each in running) <= machine.cores
    if sum(needs.values()) > machine.memory_bytes:
        (alone,) = running
        assert rules[alone].memory_per_job_bytes > machine.memory_bytes


@given(shared())
def test_units_that_each_fit_into_a_share_build_at_once(
    world: tuple[Machine, dict[str, JobRule], int],
) -> None:
    machine, rules, parallel = world
    at_once = min(parallel, len(rules))
    plans = share(rules, machine, parallel=parallel)
    small = [
        plan for label, plan in plans.items()
        if rules[label].memory_per_job_bytes * at_once <= machine.memory_bytes
    ][:at_once]  # fmt: skip
    assert sum(plan.memory_bytes for plan in small) <= max(1, machine.memory_bytes)
    assert machine.cores < at_once or sum(plan.cores for plan in small) <= machine.cores


@given(shared(), st.integers(1, 512))
def test_the_users_jobs_win_and_no_more_is_set_aside_than_there_is(
    world: tuple[Machine, dict[str, JobRule], int], jobs: int
) -> None:
    machine, rules, parallel = world
    for plan in share(rules, machine, parallel=parallel, max_jobs=jobs).values():
        assert plan.max_jobs == jobs
        assert plan.cores == min(jobs, machine.cores)
        assert 1 <= plan.memory_bytes <= max(1, machine.memory_bytes)


@pytest.mark.parametrize(
    ("cores", "gib", "per_job", "parallel", "expected"),
    [
        (2, 8, 4, 3, [1, 1, 1]),  # two of the three fit, the third waits
        (4, 8, 3, 3, [1, 1, 1]),
        (2, 24, 2, 3, [1, 1, 1]),
        (32, 64, 4, 3, [5, 5, 5]),
        (32, 64, 4, 1, [16, 16, 16]),
        (24, 31, 5, 2, [3, 3, 3]),
    ],
)
def test_three_units_on_machines_that_were_overcommitted(
    cores: int, gib: int, per_job: int, parallel: int, expected: list[int]
) -> None:
    rule = JobRule(memory_per_job_bytes=per_job * GIB, reason="")
    machine = Machine(cores=cores, memory_bytes=gib * GIB)
    plans = share(dict.fromkeys("abc", rule), machine, parallel=parallel)
    assert [plan.max_jobs for plan in plans.values()] == expected
    assert {plan.memory_bytes for plan in plans.values()} == {expected[0] * per_job * GIB}


@pytest.mark.parametrize(
    ("per_job", "parallel", "told"),
    [
        (5, 1, "MAX_JOBS=1 = min(2 cores, 8.0 GiB ÷ 5.0 GiB per job = 1)"),
        (2, 2, "min(2 cores ÷ 2 units at once, 8.0 GiB ÷ 2 units at once ÷ 2.0 GiB per job = 2)"),
        (5, 2, "= 0); one job needs more than this share, so others wait where it does not fit"),
        (9, 2, "= 0); less memory than one job needs, so it builds alone, one job at a time"),
    ],
)
def test_the_arithmetic_says_what_will_be(per_job: int, parallel: int, told: str) -> None:
    rule = JobRule(memory_per_job_bytes=per_job * GIB, reason="")
    machine = Machine(cores=2, memory_bytes=8 * GIB)
    plan = share({"a": rule, "b": rule}, machine, parallel=parallel)["a"]
    assert plan.arithmetic.endswith(told)


def test_where_no_memory_is_left_units_still_build_one_at_a_time() -> None:
    rule = JobRule(memory_per_job_bytes=GIB, reason="")
    plans = share({"a": rule, "b": rule}, Machine(cores=8, memory_bytes=0), parallel=2)
    assert {(plan.max_jobs, plan.memory_bytes) for plan in plans.values()} == {(1, 1)}


def test_nvcc_threads_are_told_and_divide_nothing() -> None:
    rule = JobRule(memory_per_job_bytes=GIB, reason="")
    machine = Machine(cores=8, memory_bytes=8 * GIB)
    plan = share({"a": rule}, machine, parallel=1, nvcc_threads=4)["a"]
    assert (plan.max_jobs, plan.nvcc_threads) == (8, 4)
    assert "runs 2 at a time" in plan.arithmetic
