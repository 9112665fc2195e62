"""The bases that builds have loaded into the user's own Docker."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from farm.engine.probe import current_context, dead_socket
from farm.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES = ("farm-base", "farm-smoke-test")
"""The second only of a farm that was killed: a trial takes its image away itself."""
_TIMEOUT_S = 5.0


def loaded_bases() -> dict[str, int]:
    """Name and size in bytes of each base that the user's Docker has; none if it is not there."""
    if shutil.which("docker") is None or dead_socket(os.environ):
        return {}
    with suppress(EngineError):
        docker = current_context()
        line = "{{.Repository}}:{{.Tag}}"
        filters = [f"--filter=reference={name}" for name in _NAMES]
        listed = docker.ask("image", "ls", "--format", line, *filters, timeout_s=_TIMEOUT_S)
        names = listed.text.split()
        if names:
            sizes = ("image", "inspect", "--format", "{{.Size}}", *names)
            told = docker.ask(*sizes, timeout_s=_TIMEOUT_S).text.split()
            if len(told) == len(names):
                return dict(zip(names, map(int, told), strict=True))
    return {}


def remove(names: Sequence[str]) -> None:
    """Take bases from the user's Docker; its build cache is left alone.

    Raises:
        EngineError: it does not let one go, or does not answer.
    """
    if not names:
        return
    done = current_context().ask("image", "rm", *names)
    if done.status:
        raise EngineError(
            "your Docker keeps some of farm's images",
            hint="remove the containers that use them",
            details=tuple(done.complaint.strip().splitlines()[:5]),
        )
