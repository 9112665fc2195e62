"""Which stage of a Dockerfile is the state in which a step began, or failed."""

from __future__ import annotations

import re

from farm.errors import UsageError
from farm.run.attempt import COMPILE
from farm.run.smoke_test import STEP as SMOKE_TEST

_FROM = re.compile(r"^FROM (\S+) AS (\S+)$", re.MULTILINE)
_AFTER = {"", "check", SMOKE_TEST, "clean", "installed", "stubs", "gpu"}
"""Steps with which a build goes on when the compile is over; of no step nothing is known."""


def stage_at(dockerfile: str, step: str) -> str:
    """The stage in which one finds what a step found.

    The compile keeps what it left, however it ends, and so is a stage of its own; of any
    other step that failed there is only the stage before it.

    Raises:
        UsageError: there is no such step, or nothing before it.
    """
    parents: dict[str, str] = {
        name: parent for parent, name in _FROM.findall(dockerfile) if parent != "scratch"
    }
    if step == COMPILE or step in _AFTER:
        return COMPILE
    if step not in parents:
        raise UsageError(
            f"the build has no step {step[:80]!r}", hint=f"it has {', '.join(parents)}"
        )
    if parents[step] not in parents:
        raise UsageError(f"nothing is there before {step}: it starts from {parents[step]}")
    return parents[step]
