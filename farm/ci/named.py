"""Jobs as every format shows them: with a name, an id, minutes and memory."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.ci.packing import Job

_NOT_IN_FILE_NAMES = re.compile(r"[^A-Za-z0-9._-]+")
_ID_CHARACTERS = 80
_GIB = 2**30


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedJob:
    """A job as a CI service's file has it.

    ``id`` is fit for names of files, artifacts and caches, the same as long as the job
    begins with the same unit; ``needs`` are names of jobs.  ``memory_gib`` is the peak of one
    compile job, which the machine must have at least.
    """

    name: str
    id: str
    level: int
    units: tuple[str, ...]
    runner: tuple[str, ...]
    minutes: int
    memory_gib: float
    needs: tuple[str, ...]


def named(jobs: tuple[Job, ...]) -> tuple[NamedJob, ...]:
    """The jobs with names, each of which is there once."""
    names = [_name(job) for job in jobs]
    ids: list[str] = []
    for job in jobs:
        text = _NOT_IN_FILE_NAMES.sub("-", job.units[0].label)[:_ID_CHARACTERS]
        ids.append(f"{text}-{len(ids)}" if text in ids else text)
    return tuple(
        NamedJob(
            name=names[index],
            id=ids[index],
            level=job.level,
            units=tuple(unit.label for unit in job.units),
            runner=job.runner,
            minutes=ceil(job.seconds / 60),
            memory_gib=round(job.memory_bytes / _GIB, 2),
            needs=tuple(names[need] for need in job.needs),
        )
        for index, job in enumerate(jobs)
    )


def _name(job: Job) -> str:
    first, more = job.units[0].label, len(job.units) - 1
    return f"{first} and {more} more" if more else first
