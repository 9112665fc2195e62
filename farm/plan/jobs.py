"""How many compile jobs fit: MAX_JOBS = min(cores, budget ÷ memory per job), at least 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.host.machine import Machine
    from farm.model.unit import JobRule

GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """The number of compile jobs, nvcc's threads in each, and how they were found."""

    max_jobs: int
    nvcc_threads: int
    arithmetic: str
    cores: int = 1
    memory_bytes: int = 1


def plan_jobs(
    rule: JobRule,
    machine: Machine,
    *,
    parallel_units: int,
    max_jobs: int | None,
    nvcc_threads: int | None,
) -> JobPlan:
    """Compute MAX_JOBS for one of ``parallel_units`` units that share the machine.

    ``max_jobs`` and ``nvcc_threads`` are the user's own and win.  A package
    that divides MAX_JOBS by NVCC_THREADS (vLLM's setup.py does) is told so in
    the arithmetic; nothing is divided silently.
    """
    threads = nvcc_threads or 1
    if max_jobs is not None:
        jobs, text = max_jobs, f"MAX_JOBS={max_jobs}, as you asked"
    else:
        budget = machine.memory_bytes // max(parallel_units, 1)
        fit = budget // rule.memory_per_job_bytes
        jobs = max(1, min(machine.cores, fit))
        shared = f" ÷ {parallel_units} units at once" if parallel_units > 1 else ""
        text = (
            f"MAX_JOBS={jobs} = min({machine.cores} cores, "
            f"{machine.memory_bytes / GIB:.1f} GiB{shared} ÷ "
            f"{rule.memory_per_job_bytes / GIB:.1f} GiB per job = {fit})"
        )
        if fit < 1:
            text += "; less memory than one job needs, so one at a time"
    if threads > 1:
        text += (
            f"; NVCC_THREADS={threads}, as you asked: a package that divides by it "
            f"runs {max(1, jobs // threads)} at a time"
        )
    return JobPlan(max_jobs=jobs, nvcc_threads=threads, arithmetic=text)


def share(rules, machine, *, parallel, max_jobs, nvcc_threads):
    out = {}
    for label, rule in rules.items():
        p = plan_jobs(
            rule, machine, parallel_units=parallel, max_jobs=max_jobs, nvcc_threads=nvcc_threads
        )
        out[label] = JobPlan(
            max_jobs=p.max_jobs,
            nvcc_threads=p.nvcc_threads,
            arithmetic=p.arithmetic,
            cores=max(1, machine.cores // parallel),
            memory_bytes=min(machine.memory_bytes, p.max_jobs * rule.memory_per_job_bytes),
        )
    return out
