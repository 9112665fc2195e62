"""The bases that builds have loaded into the user's own Docker."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.engine.probe import current_context, dead_socket
from farm.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAMES = ("farm-base", "farm-smoke-test")
"""The second only of a farm that was killed: a trial takes its image away itself."""
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBase:
    """An image by its name, and its size in bytes."""

    name: str
    size_bytes: int


def loaded_bases() -> tuple[LoadedBase, ...]:
    """The bases that the user's Docker has; none where it does not answer."""
    if shutil.which("docker") is None or dead_socket(os.environ):
        return ()
    with suppress(EngineError):
        docker = current_context()
        line = "{{.Repository}}:{{.Tag}}"
        filters = [f"--filter=reference={name}" for name in _NAMES]
        listed = docker.ask("image", "ls", "--format", line, *filters, timeout_s=_TIMEOUT_S)
        names = listed.text.split()
        if names:
            sizes = ("image", "inspect", "--format", "{{.Size}}", *names)
            told = docker.ask(*sizes, timeout_s=_TIMEOUT_S).text.split()
            pairs = zip(names, told, strict=True) if len(told) == len(names) else ()
            return tuple(LoadedBase(name=name, size_bytes=int(size)) for name, size in pairs)
    return ()


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
