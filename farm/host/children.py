"""Child processes (git, uv): no shell, their own process group, ended when cancelled."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import CancelledError, FetchError
from farm.host.urls import redact

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_POLL_S = 0.05
_GRACE_S = 1.0
_TAIL_LINES = 15


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What a child left behind; credentials are removed from ``stderr``."""

    status: int
    stdout: bytes
    stderr: str

    @property
    def last_words(self) -> tuple[str, ...]:
        """The last lines that it wrote to stderr, without progress displays."""
        lines = [line.strip() for line in re.split(r"[\r\n]+", self.stderr)]
        return tuple(line for line in lines if line)[-_TAIL_LINES:]


def run_child(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    stdin: bytes = b"",
    cancel: threading.Event | None = None,
) -> Finished:
    """Run to the end; a non-zero status is the caller's to judge.

    Raises:
        FetchError: the program does not exist.
        CancelledError: ``cancel`` was set; the process and its children are gone.
    """
    with contextlib.ExitStack() as files:
        given, out, err = (files.enter_context(tempfile.TemporaryFile()) for _ in range(3))
        given.write(stdin)
        given.seek(0)
        try:
            child = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=given,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise missing_program(argv[0]) from None
        _wait(child, argv[0], cancel)
        out.seek(0)
        err.seek(0)
        stderr = redact(err.read().decode(errors="replace"))
        return Finished(status=child.returncode, stdout=out.read(), stderr=stderr)


def missing_program(program: str) -> FetchError:
    """The error for a program that is not installed."""
    return FetchError(
        f"the program {program!r} is needed and was not found on PATH",
        hint=f"install {program} with your system's package manager",
    )


def _wait(child: subprocess.Popen[bytes], program: str, cancel: threading.Event | None) -> None:
    try:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(_POLL_S)
                return
            if cancel is not None and cancel.is_set():
                raise CancelledError(f"cancelled while {program!r} was running")
    finally:
        end_group(child)


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a child that leads its own process group, with whatever it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if child.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_GRACE_S)
