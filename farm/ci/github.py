"""A matrix for GitHub Actions, and the outputs of the job that makes it.

Limits: https://docs.github.com/en/actions/reference/limits (256 jobs of a matrix) and
https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-syntax#jobsjob_idoutputs
(1 MB of outputs of a job, as UTF-16).
"""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

from farm.errors import UsageError
from farm.host.files import storage_error

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farm.ci.named import NamedJob

MOST_JOBS = 256
MOST_BYTES = 1_000_000
LEVELS = 3
"""Levels of the workflow file that is shipped: it has that many jobs with a matrix."""
RUNNER = ("self-hosted",)
"""Where a unit is built whose recipe names no runner, if nothing else is said."""


def matrix(jobs: tuple[NamedJob, ...]) -> str:
    """What ``strategy.matrix`` takes through ``fromJSON``, on one line.

    Raises:
        UsageError: these are more jobs than a matrix may have.
    """
    if len(jobs) > MOST_JOBS:
        levels = 1 + max(job.level for job in jobs)
        raise UsageError(
            f"{len(jobs)} jobs, but a matrix of GitHub Actions has {MOST_JOBS} at most",
            hint=f"pack them: --jobs {MOST_JOBS // levels}",
        )
    return json.dumps({"include": [_entry(job) for job in jobs]}, separators=(",", ":"))


def _entry(job: NamedJob) -> dict[str, object]:
    return {
        "name": job.name,
        "id": job.id,
        "level": job.level,
        "units": " ".join(job.units),
        "runs-on": job.runner,
        "minutes": job.minutes,
        "memory_gib": job.memory_gib,
    }


def outputs(jobs: tuple[NamedJob, ...], *, levels: int) -> dict[str, str]:
    """Outputs by name: the whole matrix, and one for each of ``levels`` levels.

    Raises:
        UsageError: they are more than a job may put out.
    """
    found = {
        "matrix": matrix(jobs),
        "empty": json.dumps(not jobs),
        "levels": str(1 + max((job.level for job in jobs), default=-1)),
    }
    for level in range(levels):
        found[f"level{level}"] = matrix(tuple(job for job in jobs if job.level == level))
    size = sum(len(value.encode("utf-16-le")) for value in found.values())
    if size > MOST_BYTES:
        raise UsageError(
            f"the matrix would be {size:,} bytes of outputs, but GitHub Actions keeps "
            f"{MOST_BYTES:,} of a job",
            hint="plan fewer units in one workflow: name some, or let several jobs plan",
        )
    return found


def write_outputs(values: Mapping[str, str], file: Path) -> None:
    """Append outputs to the file that ``GITHUB_OUTPUT`` names, whatever they hold.

    Raises:
        StorageError: it cannot be written.
    """
    text = ""
    for name, value in values.items():
        end = f"farm-{secrets.token_hex(16)}"  # nobody can guess it, so no value can hold it
        text += f"{name}<<{end}\n{value}\n{end}\n"
    append(text, file)


def append(text: str, file: Path) -> None:
    """Append to one of the files that the service reads after a step.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        with file.open("a", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise storage_error(error, file) from error
