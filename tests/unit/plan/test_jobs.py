"""MAX_JOBS is one job for each core, or the user's own; the gate gets what all share."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.host.machine import Machine
from farm.model.unit import JobRule
from farm.plan.jobs import GIB, JobPlan, fitting_jobs, plan_jobs

MACHINE = Machine(cores=24, memory_bytes=31 * GIB)
TURNS = "compilers take turns on 24 cores within 31.0 GiB"


def jobs(
    gib: float = 5.0,
    *,
    machine: Machine = MACHINE,
    max_jobs: int | None = None,
    nvcc_threads: int | None = None,
) -> JobPlan:
    rule = JobRule(memory_per_job_bytes=int(gib * GIB), reason="measured")
    return plan_jobs(rule, machine, max_jobs=max_jobs, nvcc_threads=nvcc_threads)


@pytest.mark.parametrize("gib", [0.5, 5, 40])
def test_there_is_a_job_for_each_core_whatever_one_needs(gib: float) -> None:
    assert jobs(gib).max_jobs == 24


def test_the_arithmetic_says_what_is_shared_and_what_a_call_is_taken_to_need() -> None:
    assert jobs().arithmetic == (
        f"MAX_JOBS=24, one for each core; {TURNS}, 5.0 GiB for one that was never measured"
    )
    assert jobs(40).arithmetic.endswith(", which runs alone, since that is more than there is")


def test_the_users_max_jobs_win_and_change_nothing_of_what_is_shared() -> None:
    plan = jobs(40, max_jobs=99)
    assert plan.max_jobs == 99
    assert plan.arithmetic.startswith(f"MAX_JOBS=99, as you asked; {TURNS}")
    assert plan.budget == jobs(40).budget


@pytest.mark.parametrize("max_jobs", [None, 8])
def test_nvcc_threads_never_divide_silently(max_jobs: int | None) -> None:
    plain, threaded = jobs(max_jobs=max_jobs), jobs(max_jobs=max_jobs, nvcc_threads=4)
    assert threaded.max_jobs == plain.max_jobs
    assert threaded.nvcc_threads == 4
    assert f"runs {max(1, plain.max_jobs // 4)} at a time" in threaded.arithmetic
    assert "NVCC_THREADS" not in plain.arithmetic


def test_the_step_is_told_all_of_it() -> None:
    assert jobs(1, max_jobs=3).as_file.split() == [
        "MAX_JOBS=3",
        "NVCC_THREADS=1",
        "FARM_CORES=24",
        f"FARM_MEMORY_BYTES={31 * GIB}",
        f"FARM_CALL_BYTES={GIB}",
        "FARM_PRIORITY=1",
    ]
    alone = JobPlan(max_jobs=2, nvcc_threads=1, arithmetic="")
    assert alone.as_file.split() == ["MAX_JOBS=2", "NVCC_THREADS=1"]


@given(st.integers(1, 256), st.integers(0, 2**42), st.integers(1, 2**40))
def test_one_call_is_set_aside_and_never_more_than_there_is(
    cores: int, memory: int, call: int
) -> None:
    rule = JobRule(memory_per_job_bytes=call, reason="")
    plan = plan_jobs(rule, Machine(cores=cores, memory_bytes=memory))
    assert plan.memory_bytes == max(1, min(call, memory))
    assert all(int(line.partition("=")[2]) >= 1 for line in plan.as_file.splitlines())


@given(st.integers(1, 256), st.integers(0, 2**42), st.integers(1, 2**40))
def test_where_there_is_no_gate_only_as_many_jobs_are_begun_as_fit(
    cores: int, memory: int, call: int
) -> None:
    rule = JobRule(memory_per_job_bytes=call, reason="")
    count = fitting_jobs(rule, Machine(cores=cores, memory_bytes=memory))
    assert 1 <= count <= cores
    assert count == 1 or count * call <= memory
