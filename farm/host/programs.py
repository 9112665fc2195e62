"""Programs of the host, run to their end: tied to farm's life, grouped, cancellable, bounded.

The only place that starts a program and waits for it.  No shell is involved; a
program leads a session of its own, so that it asks no question on a terminal and
is ended with everything that it started.  The kernel ends it when farm dies.
"""

from __future__ import annotations

import os
import re
import selectors
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from farm.errors import CancelledError
from farm.host.urls import redact

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

TIED = ("setpriv", "--pdeathsig", "KILL")
"""Makes the kernel end a program when the thread that started it ends, however it does."""
MOST_BYTES = 64 << 20
"""Of each stream of a program: what comes after that is read and dropped."""
_POLL_S = 0.05
_GRACE_S = 1.0
_CHUNK_BYTES = 1 << 16


class Cancel(Protocol):
    """Tells whether something is still wanted; ``threading.Event`` is one."""

    def is_set(self) -> bool:
        """Return True when it is to end."""


class MissingProgramError(Exception):
    """A program is not on PATH; the text is its name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """How a program ended: ``status`` is negative for a signal.

    ``output`` is what it wrote to stdout, and to stderr too where both were merged.
    """

    status: int
    output: bytes
    errors: bytes = b""

    @property
    def text(self) -> str:
        """Its output, undecodable bytes replaced."""
        return self.output.decode("utf-8", "replace")

    @property
    def complaint(self) -> str:
        """What it wrote to stderr, without credentials."""
        return redact(self.errors.decode("utf-8", "replace"))

    @property
    def last_words(self) -> tuple[str, ...]:
        """The last lines of its complaint."""
        return last_lines(self.complaint)


def last_lines(text: str, count: int = 15) -> tuple[str, ...]:
    """The last lines that a program wrote, without progress displays and credentials."""
    lines = [line.strip() for line in re.split(r"[\r\n]+", redact(text))]
    return tuple(line for line in lines if line)[-count:]


def run(  # noqa: PLR0913 - independent switches, keyword-only
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes = b"",
    merged: bool = False,
    on_line: Callable[[str], None] | None = None,
    on_data: Callable[[bytes], None] | None = None,
    cancel: Cancel | None = None,
    timeout_s: float | None = None,
) -> Finished:
    """Run a program to its end; a status that is not 0 is the caller's to judge.

    Args:
        argv: The program and its arguments.
        env: Its whole environment; farm's own if left out.
        cwd: Where it runs.
        stdin: What it reads.
        merged: Put stderr into stdout, in order.
        on_line: Gets each line of stdout as it comes, without its newline.
        on_data: Gets stdout as it comes, in pieces; it is not kept then.
        cancel: Ends it, and everything that it started, when set.
        timeout_s: Likewise, when it takes longer.

    Raises:
        MissingProgramError: It is not there.
        CancelledError: It was cancelled; nothing of it is left.
        TimeoutError: It took too long; nothing of it is left.
        OSError: It cannot be started.
    """
    with started(argv, env=env, cwd=cwd, merged=merged) as child:
        streams = _Streams(child=child, given=memoryview(stdin), on_line=on_line, on_data=on_data)
        name = os.path.basename(argv[0])  # noqa: PTH119 - of a command's word
        streams.pump(_until(name, cancel, timeout_s))
        return Finished(
            status=child.wait(),
            output=bytes(streams.taken["stdout"]),
            errors=bytes(streams.taken["stderr"]),
        )


@contextmanager
def started(
    argv: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    merged: bool = False,
) -> Iterator[subprocess.Popen[bytes]]:
    """A program that runs, with pipes to talk to it; afterwards it is gone, with its group.

    Raises:
        MissingProgramError: It is not there.
        OSError: It cannot be started.
    """
    variables = dict(os.environ if env is None else env)
    if shutil.which(argv[0], path=variables.get("PATH", os.defpath)) is None:
        raise MissingProgramError(argv[0])
    child = subprocess.Popen(
        [*tied(variables), *argv],
        env=variables,
        cwd=cwd,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT if merged else subprocess.PIPE,
        start_new_session=True,
        umask=0o022,  # what is made must not depend on the user's
    )
    try:
        yield child
    finally:
        end_group(child)
        for stream in (child.stdin, child.stdout, child.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def search_path(env: Mapping[str, str] = os.environ) -> str:
    """PATH, and where the programs of administrators are, which users need not have on theirs."""
    return f"{env.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def tied(env: Mapping[str, str]) -> tuple[str, ...]:
    """What ties a program to the life of the thread that starts it, where the machine has it."""
    setpriv = shutil.which(TIED[0], path=f"{search_path(env)}:/usr/bin:/bin")
    return (setpriv, *TIED[1:]) if setpriv else ()


def end_group(child: subprocess.Popen[bytes]) -> None:
    """End a program that leads its own process group, and whatever of the group is left.

    Who ignores SIGTERM is killed, a grandchild that outlives its parent too.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        if not _group_lives(child):
            break
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, number)
        deadline = time.monotonic() + _GRACE_S
        while _group_lives(child) and time.monotonic() < deadline:
            time.sleep(0.01)
    child.wait()


def _group_lives(child: subprocess.Popen[bytes]) -> bool:
    child.poll()  # a zombie would still count as its group
    try:
        os.killpg(child.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _until(name: str, cancel: Cancel | None, timeout_s: float | None) -> Callable[[], None]:
    """What raises when a program is to be given up."""
    started_s = time.monotonic()

    def check() -> None:
        if cancel is not None and cancel.is_set():
            raise CancelledError(f"cancelled while {name!r} was running")
        if timeout_s is not None and time.monotonic() > started_s + timeout_s:
            raise TimeoutError(f"{name!r} did not end within {timeout_s:g} s")

    return check


@dataclass(kw_only=True)
class _Streams:
    """The pipes of a program: all served at once, so that none of them can stop it."""

    child: subprocess.Popen[bytes]
    given: memoryview
    on_line: Callable[[str], None] | None
    on_data: Callable[[bytes], None] | None
    taken: dict[str, bytearray] = field(
        default_factory=lambda: {"stdout": bytearray(), "stderr": bytearray()}
    )
    rest: bytes = b""

    def pump(self, check: Callable[[], None]) -> None:
        """Serve the pipes until the program has ended; one that it left open does not count."""
        with selectors.DefaultSelector() as selector:
            self._register(selector)
            while self.child.poll() is None and selector.get_map():
                check()
                self._serve(selector, _POLL_S)
            while self.child.poll() is None:
                check()
                time.sleep(_POLL_S / 5)
            while self._serve(selector, 0):  # what is still in the pipes
                check()
        if self.rest and self.on_line:
            self.on_line(self.rest.decode("utf-8", "replace"))

    def _register(self, selector: selectors.BaseSelector) -> None:
        child = self.child
        for name, stream in (("stdout", child.stdout), ("stderr", child.stderr)):
            if stream is not None:
                os.set_blocking(stream.fileno(), False)
                selector.register(stream, selectors.EVENT_READ, name)
        if child.stdin is not None:
            if self.given:
                os.set_blocking(child.stdin.fileno(), False)
                selector.register(child.stdin, selectors.EVENT_WRITE, "stdin")
            else:
                child.stdin.close()

    def _serve(self, selector: selectors.BaseSelector, timeout_s: float) -> bool:
        """Serve what is ready; tell whether anything came."""
        came = False
        for key, _ in selector.select(timeout_s) if selector.get_map() else ():
            if key.data == "stdin":
                self._give(selector, key)
                continue
            data = os.read(key.fd, _CHUNK_BYTES)
            if not data:
                selector.unregister(key.fileobj)
                continue
            came = True
            if key.data == "stdout" and self.on_data:
                self.on_data(data)
                continue
            room = MOST_BYTES - len(self.taken[key.data])
            self.taken[key.data] += data[: max(room, 0)]
            if key.data == "stdout" and self.on_line:
                *lines, self.rest = (self.rest + data).split(b"\n")
                for line in lines:
                    self.on_line(line.decode("utf-8", "replace"))
        return came

    def _give(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
        try:
            self.given = self.given[os.write(key.fd, self.given[:_CHUNK_BYTES]) :]
        except BrokenPipeError:  # it wants no more
            self.given = memoryview(b"")
        if not self.given and self.child.stdin is not None:
            selector.unregister(key.fileobj)
            self.child.stdin.close()
