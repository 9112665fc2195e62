"""What a run has to share, and how many jobs each unit gets: the one answer of plan and build."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.engine.limits import most_for_builds
from farm.engine.where import maybe_elsewhere
from farm.errors import UsageError
from farm.host.machine import this_machine
from farm.plan.jobs import GIB, plan_jobs

if TYPE_CHECKING:
    from pathlib import Path

    from farm.host.machine import Machine
    from farm.model.unit import Unit
    from farm.plan.jobs import JobPlan
    from farm.run.options import BuildOptions
    from farm.run.resources import Resource

NETWORK_TASKS = 4
"""Downloads at once."""
DISK_TASKS = 4
"""Bootstraps, looks into wheels and the like at once."""
LEAST_AT_ONCE = 2
"""Units at once on a machine of one core: while one waits for the disk, another compiles."""


def given(machine: Machine, options: BuildOptions) -> Machine:
    """What the user gives of a machine: all that is free, or the memory of ``--memory``.

    A little always stays with the machine: see `farm.engine.limits`.

    Raises:
        UsageError: it has less memory for builds than that.
    """
    asked, there = options.memory_bytes, machine.total_bytes
    if there is None:
        return machine if asked is None else replace(machine, memory_bytes=asked)
    most = most_for_builds(there)
    if asked is not None and asked > most:
        raise UsageError(
            f"--memory: {_gib(asked)} asked for, and builds can have {_gib(most)} of the "
            f"{_gib(there)} that there are",
            hint="ask for less, or leave it out (and FARM_MEMORY): then what is free is taken",
        )
    return replace(machine, memory_bytes=min(asked or machine.memory_bytes, most))


def machine_before(cache: Path, options: BuildOptions) -> tuple[Machine, bool]:
    """What is given of the machine that would compile, and whether that is known unasked.

    Of an engine that may be elsewhere that is what its last probe found, else this machine's.

    Raises:
        UsageError: it has less memory than was asked for.
    """
    if not maybe_elsewhere(os.environ, options.engine):
        return given(this_machine(), options), True
    from farm.engine.connect import remembered_machine

    known = remembered_machine(cache)
    return given(known or this_machine(), options), known is not None


def jobs_of(unit: Unit, machine: Machine, options: BuildOptions) -> JobPlan:
    """The jobs of a unit on what was given of a machine."""
    return plan_jobs(
        unit.jobs, machine, max_jobs=options.max_jobs, nvcc_threads=options.nvcc_threads
    )


def at_once(machine: Machine, options: BuildOptions) -> int:
    """How many units may be in their build at once: ``-j``, else one for each core.

    Compilers of all of them share the cores, so more fill no gap; fewer leave cores idle while
    one configures or links, and the end of a run to a single container (docs/benchmarks.md).
    """
    return options.parallel or max(LEAST_AT_ONCE, machine.cores)


def capacity_of(machine: Machine, options: BuildOptions) -> dict[Resource, int]:
    """What the tasks of a run share."""
    from farm.run.resources import Resource  # a plan, which asks for jobs alone, needs no asyncio

    return {
        Resource.NETWORK: NETWORK_TASKS,
        Resource.DISK: DISK_TASKS,
        Resource.ENGINE: at_once(machine, options),
        Resource.MEMORY: machine.memory_bytes,
    }


def _gib(size: int) -> str:
    return f"{size / GIB:,.1f} GiB"
