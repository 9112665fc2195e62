"""How many compile jobs fit: MAX_JOBS = min(cores, budget ÷ memory per job), at least 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.host.machine import Machine
    from farm.model.unit import JobRule

GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What all compilers of an engine may take together, and a call that was never made."""

    cores: int
    memory_bytes: int
    call_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPlan:
    """The number of compile jobs, nvcc's threads in each, and how they were found.

    ``cores`` and ``memory_bytes`` are what a scheduler sets aside while they run, at most
    what the machine has and at least one of each: units for which that is not there together
    run after each other.
    """

    max_jobs: int
    nvcc_threads: int
    arithmetic: str
    cores: int = 1
    memory_bytes: int = 1
    budget: Budget | None = None

    @property
    def as_file(self) -> str:
        """What the compile step is told of it: lines like ``MAX_JOBS=4`` (farm.inside.step)."""
        said = {"MAX_JOBS": self.max_jobs, "NVCC_THREADS": self.nvcc_threads}
        if self.budget:
            said |= {
                "FARM_CORES": self.budget.cores,
                "FARM_MEMORY_BYTES": self.budget.memory_bytes,
                "FARM_CALL_BYTES": self.budget.call_bytes,
            }
        return "".join(f"{name}={value}\n" for name, value in said.items())


def share(
    rules: Mapping[str, JobRule],
    machine: Machine,
    *,
    parallel: int,
    max_jobs: int | None = None,
    nvcc_threads: int | None = None,
) -> dict[str, JobPlan]:
    """The compile jobs of each unit, by label, where ``parallel`` of them may build at once.

    Each gets an equal share of cores and memory, but at least one job.  So any that many,
    as far as what they set aside is there together, have no more jobs than there are cores
    and no more memory than there is; only a unit of which a single job needs more than all
    memory does not fit, and builds alone.  ``max_jobs`` and ``nvcc_threads`` are the user's
    own and win; nothing is divided by the latter silently.
    """
    at_once = max(1, min(parallel, len(rules)))
    threads = nvcc_threads or 1
    found = {}
    for label, rule in rules.items():
        jobs, text = _jobs(rule, machine, at_once) if max_jobs is None else _asked(max_jobs)
        found[label] = JobPlan(
            max_jobs=jobs,
            nvcc_threads=threads,
            arithmetic=text + _threads_text(jobs, threads),
            cores=min(jobs, machine.cores),
            memory_bytes=max(1, min(jobs * rule.memory_per_job_bytes, machine.memory_bytes)),
            budget=Budget(
                cores=machine.cores,
                memory_bytes=machine.memory_bytes,
                call_bytes=rule.memory_per_job_bytes,
            ),
        )
    return found


def _asked(max_jobs: int) -> tuple[int, str]:
    return max_jobs, f"MAX_JOBS={max_jobs}, as you asked"


def _jobs(rule: JobRule, machine: Machine, at_once: int) -> tuple[int, str]:
    """How many jobs an equal share allows, and how that was found."""
    fit = machine.memory_bytes // at_once // rule.memory_per_job_bytes
    jobs = max(1, min(machine.cores // at_once, fit))
    shared = f" ÷ {at_once} units at once" if at_once > 1 else ""
    text = (
        f"MAX_JOBS={jobs} = min({machine.cores} cores{shared}, "
        f"{machine.memory_bytes / GIB:.1f} GiB{shared} ÷ "
        f"{rule.memory_per_job_bytes / GIB:.1f} GiB per job = {fit})"
    )
    if rule.memory_per_job_bytes > machine.memory_bytes:
        text += "; less memory than one job needs, so it builds alone, one job at a time"
    elif fit < 1:
        text += "; one job needs more than this share, so others wait where it does not fit"
    return jobs, text


def _threads_text(jobs: int, threads: int) -> str:
    if threads == 1:
        return ""
    return (
        f"; NVCC_THREADS={threads}, as you asked: a package that divides by it "
        f"runs {max(1, jobs // threads)} at a time"
    )
