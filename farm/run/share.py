"""How many jobs each unit of a run gets: the one answer that plan and build give."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.plan.jobs import share

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.host.machine import Machine
    from farm.plan.jobs import JobPlan
    from farm.plan.plan import Plan
    from farm.run.options import BuildOptions
    from farm.run.resources import Resource
    from farm.run.settle import Settled

NETWORK_TASKS = 4
"""Downloads at once."""
DISK_TASKS = 4
"""Bootstraps, looks into wheels and the like at once."""


def jobs_of(
    plan: Plan, settled: Mapping[str, Settled], machine: Machine, options: BuildOptions
) -> dict[str, JobPlan]:
    """The jobs of every unit; those that are not built are counted as if they were alone."""
    building = {
        label
        for label, each in settled.items()
        if not each.built or options.again_for(label in plan.requested) or options.look
    }
    parallel = max(1, min(options.parallel, len(building)))
    return share(
        {unit.label: unit.jobs for unit in plan.units},
        machine,
        parallel=parallel,
        max_jobs=options.max_jobs,
        nvcc_threads=options.nvcc_threads,
    )


def capacity_of(machine: Machine, options: BuildOptions) -> dict[Resource, int]:
    """What the tasks of a run share."""
    from farm.run.resources import Resource  # a plan, which asks for jobs alone, needs no asyncio

    return {
        Resource.NETWORK: NETWORK_TASKS,
        Resource.DISK: DISK_TASKS,
        Resource.ENGINE: options.parallel,
        Resource.CORES: machine.cores,
        Resource.MEMORY: machine.memory_bytes,
    }
