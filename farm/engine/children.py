"""Programs that prepare something on the host: ended when the caller is, and when cancelled."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import CancelledError
from farm.events import Notice

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from farm.events import Sink

_POLL_S = 0.1
TIED = ("setpriv", "--pdeathsig", "KILL")
"""Makes the kernel end a program when the thread that started it ends, however it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a program ended, and all that it wrote to stdout and stderr, in order."""

    status: int
    text: str


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cancel: threading.Event | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Finished:
    """Run a program to its end, in a session of its own.

    Args:
        command: The program and its arguments.
        env: Its whole environment.
        cancel: Ends it, and everything that it started, when set.
        on_line: Gets each line as it comes, without its newline.

    Raises:
        CancelledError: It was cancelled.
    """
    with subprocess.Popen(
        [*TIED, *command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(env),
        start_new_session=True,
        umask=0o022,  # what is made must not depend on the user's
    ) as process:
        try:
            text = _read(process, cancel, on_line)
        except BaseException:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            raise
    return Finished(status=process.returncode, text=text)


def _read(
    process: subprocess.Popen[bytes],
    cancel: threading.Event | None,
    on_line: Callable[[str], None] | None,
) -> str:
    assert process.stdout is not None  # noqa: S101 - it was asked for; tells mypy
    descriptor = process.stdout.fileno()
    lines: list[str] = []
    rest = b""
    while True:
        if cancel is not None and cancel.is_set():
            raise CancelledError("cancelled")
        if not select.select([descriptor], [], [], _POLL_S if cancel else None)[0]:
            continue
        chunk = os.read(descriptor, 65536)
        *whole, rest = (rest + chunk).split(b"\n")
        if not chunk and rest:
            whole, rest = [rest], b""
        for line in whole:
            lines.append(line.decode("utf-8", "replace"))
            if on_line:
                on_line(lines[-1])
        if not chunk:
            return "\n".join(lines)


@contextmanager
def holding(
    file: Path, sink: Sink, *, what: str, cancel: threading.Event | None = None
) -> Iterator[None]:
    """Hold a lock between processes; say so when another farm has it.

    Raises:
        CancelledError: Cancelled while waiting.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(file)
    waited = False
    while True:
        try:
            lock.acquire(timeout=_POLL_S)
            break
        except Timeout:
            if cancel is not None and cancel.is_set():
                raise CancelledError("cancelled") from None
            if not waited:
                sink(Notice(text=f"another farm is busy with {what}: waiting for it"))
            waited = True
    try:
        yield
    finally:
        lock.release()
