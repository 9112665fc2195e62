"""MAX_JOBS = min(cores, budget ÷ memory per job), at least 1, and the user's own wins."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.host.machine import Machine
from farm.model.unit import JobRule
from farm.plan.jobs import GIB, JobPlan, plan_jobs

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
    return plan_jobs(
        rule, machine, parallel_units=units, max_jobs=max_jobs, nvcc_threads=nvcc_threads
    )


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


@given(
    st.integers(1, 512),
    st.integers(0, 2**42),
    st.integers(1, 2**40),
    st.integers(0, 64),
    st.none() | st.integers(1, 64),
)
def test_there_is_always_a_job_and_all_jobs_fit_if_one_does(
    cores: int, memory: int, per_job: int, units: int, threads: int | None
) -> None:
    plan = plan_jobs(
        JobRule(memory_per_job_bytes=per_job, reason=""),
        Machine(cores=cores, memory_bytes=memory),
        parallel_units=units,
        max_jobs=None,
        nvcc_threads=threads,
    )
    assert 1 <= plan.max_jobs <= cores
    assert plan.max_jobs == 1 or plan.max_jobs * per_job * max(units, 1) <= memory
