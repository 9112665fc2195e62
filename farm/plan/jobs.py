"""How many compile jobs a unit has, and the budget in which all compilers take turns.

Every unit may run as many jobs as there are cores: a gate before each compiler (see
`farm.inside.gate`) lets in what fits, over all containers of an engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
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

    ``memory_bytes`` is what a scheduler sets aside while they run: one call, so that a unit
    begins where its first compiler fits; at least one byte, at most what the machine has.
    ``priority`` is how long the run still is from this unit's begin on, in seconds: of compilers
    that wait, those of the longest path go first.
    ``cache_bytes`` is what the compile cache may keep, 0 where it is not to be asked.
    """

    max_jobs: int
    nvcc_threads: int
    arithmetic: str
    memory_bytes: int = 1
    priority: int = 1
    budget: Budget | None = None
    cache_bytes: int = 0

    @property
    def as_file(self) -> str:
        """What the compile step is told of it: lines like ``MAX_JOBS=4`` (farm.inside.step)."""
        said = {"MAX_JOBS": self.max_jobs, "NVCC_THREADS": self.nvcc_threads}
        if self.budget:
            said |= {
                "FARM_CORES": self.budget.cores,
                "FARM_MEMORY_BYTES": self.budget.memory_bytes,
                "FARM_CALL_BYTES": self.budget.call_bytes,
                "FARM_PRIORITY": self.priority,
            }
        said |= {"FARM_CACHE_BYTES": self.cache_bytes} if self.cache_bytes else {}
        return "".join(f"{name}={value}\n" for name, value in said.items())


def plan_jobs(
    rule: JobRule,
    machine: Machine,
    *,
    max_jobs: int | None = None,
    nvcc_threads: int | None = None,
) -> JobPlan:
    """The compile jobs of a unit whose compilers pass the gate: one for each core.

    ``max_jobs`` and ``nvcc_threads`` are the user's own and win; nothing is divided by the
    latter silently.
    """
    jobs, threads = max_jobs or machine.cores, nvcc_threads or 1
    memory, call = max(1, machine.memory_bytes), rule.memory_per_job_bytes
    how = "as you asked" if max_jobs else "one for each core"
    text = f"MAX_JOBS={jobs}, {how}; compilers take turns on {_cores(machine.cores)} within "
    text += f"{memory / GIB:.1f} GiB, {call / GIB:.1f} GiB for one that was never measured"
    if call > memory:
        text += ", which runs alone, since that is more than there is"
    return JobPlan(
        max_jobs=jobs,
        nvcc_threads=threads,
        arithmetic=text + _threads_text(jobs, threads),
        memory_bytes=max(1, min(call, memory)),
        budget=Budget(cores=machine.cores, memory_bytes=memory, call_bytes=call),
    )


def fitting_jobs(rule: JobRule, machine: Machine) -> int:
    """How many jobs fit into memory where no gate makes them wait; at least one."""
    return max(1, min(machine.cores, machine.memory_bytes // rule.memory_per_job_bytes))


def _cores(count: int) -> str:
    return f"{count} core{'s' if count > 1 else ''}"


def _threads_text(jobs: int, threads: int) -> str:
    if threads == 1:
        return ""
    return (
        f"; NVCC_THREADS={threads}, as you asked: a package that divides by it "
        f"runs {max(1, jobs // threads)} at a time"
    )
