"""The bases that builds have loaded into the user's own Docker."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.engine.probe import ask, current_context, dead_socket
from farm.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = "farm-base"
_TIMEOUT_S = 5.0
_REMOVAL_S = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedBase:
    """An image by its name, and its size in bytes."""

    name: str
    size_bytes: int


def loaded_bases() -> tuple[LoadedBase, ...]:
    """The bases that the user's Docker has; none where it does not answer."""
    if shutil.which("docker") is None or dead_socket(os.environ):
        return ()
    with suppress(EngineError, TimeoutError, OSError):
        _, _, docker = current_context()
        line = "{{.Repository}}:{{.Tag}}"
        listed = ask((*docker, "image", "ls", "--format", line, _NAME), timeout_s=_TIMEOUT_S)
        names = [n for n in listed.stdout.split() if n.startswith(f"{_NAME}:")]
        if names and listed.returncode == 0:
            sizes = ("image", "inspect", "--format", "{{.Size}}", *names)
            told = ask((*docker, *sizes), timeout_s=_TIMEOUT_S).stdout.split()
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
    _, _, docker = current_context()
    try:
        done = ask((*docker, "image", "rm", *names), timeout_s=_REMOVAL_S)
    except TimeoutError as error:
        raise EngineError(f"your Docker does not answer within {_REMOVAL_S:g} s") from error
    if done.returncode:
        raise EngineError(
            "your Docker keeps some of farm's images",
            hint="remove the containers that use them",
            details=tuple(done.stderr.strip().splitlines()[:5]),
        )
