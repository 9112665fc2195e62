"""The buildx process while it runs: read without delay, watched, and ended for certain."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from os import killpg
from queue import SimpleQueue
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from farm.engine.endpoint import Endpoint
    from farm.engine.rawjson import Progress
    from farm.events import Event

POLL_S = 0.1
INTERRUPT_GRACE_S = 1.0
READ_BYTES = 1 << 16

_PASSED_ON = frozenset(
    {"BUILDX_BUILDER", "BUILDX_CONFIG", "HOME", "LANG", "LOGNAME", "NO_PROXY", "PATH", "USER"}
    | {"SSH_AUTH_SOCK", "SSL_CERT_DIR", "SSL_CERT_FILE", "TMPDIR", "XDG_CONFIG_HOME"}
    | {"XDG_RUNTIME_DIR", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "no_proxy"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """When an engine counts as lost: so many questions in a row left unanswered.

    Patient on purpose: a compile can keep a machine from answering for a while,
    and giving up loses hours of work.
    """

    interval_s: float = 10.0
    timeout_s: float = 15.0
    misses: int = 3


@dataclass(slots=True, kw_only=True)
class Client:
    """The running client, what it has written, and what its three threads do."""

    process: subprocess.Popen[bytes]
    progress: Progress
    on_event: Callable[[Event], None]
    broken: BaseException | None = None
    lost: bool = False
    muted: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    chunks: SimpleQueue[bytes] = field(default_factory=SimpleQueue)

    def read(self) -> None:
        """Read what the client writes, at once: it waits only 3 s for a slow reader at its end.

        What is not yet worked on waits here, at most the length of the log.
        """
        stream = self.process.stderr
        if stream is not None:
            with suppress(ValueError, OSError):  # closed under us when time is up
                while data := stream.read1(READ_BYTES):  # type: ignore[attr-defined]  # buffered
                    self.chunks.put(data)
        self.chunks.put(b"")

    def work(self) -> None:
        """Make events of what was read, until the end of it."""
        while data := self.chunks.get():
            if self.broken is None:
                self._emit(self.progress.feed(data))
        self._emit(self.progress.close())

    def _emit(self, events: Iterable[Event]) -> None:
        if self.broken is not None:
            return
        try:
            for event in events:
                if not self.muted:
                    self.on_event(event)
        except BaseException as error:  # noqa: BLE001 - raised again by the caller's thread
            self.broken = error

    def guard(self, endpoint: Endpoint, watch: Watch) -> None:
        """End the client when the engine leaves several questions unanswered."""
        missed = 0
        while not self.ended.wait(watch.interval_s):
            missed = 0 if answers(endpoint, self.ended, timeout_s=watch.timeout_s) else missed + 1
            if missed >= watch.misses and not self.ended.is_set():
                self.lost = True
                self.kill()
                return

    def interrupt(self) -> None:
        """Ask the client to end, and see to it that it does, within little more than a second."""
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(INTERRUPT_GRACE_S)
        self.kill()

    def kill(self) -> None:
        """End the client and whatever it started."""
        with suppress(ProcessLookupError, PermissionError):
            killpg(self.process.pid, signal.SIGKILL)


def answers(endpoint: Endpoint, ended: threading.Event, *, timeout_s: float) -> bool:
    """Ask the engine for its version; tell whether it answers in time.

    Where ``ended`` is set meanwhile nobody wants to know, and True is returned.
    """
    try:
        process = subprocess.Popen(
            [*endpoint.docker, "version", "--format", "{{.Server.Version}}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=client_environment(endpoint),
        )
    except OSError:  # a machine out of processes says nothing about the engine
        return True
    deadline = time.monotonic() + timeout_s
    with process:
        while process.poll() is None:
            if ended.wait(POLL_S / 2) or time.monotonic() > deadline:
                process.kill()
                return ended.is_set()
    return process.returncode == 0


def client_environment(endpoint: Endpoint) -> dict[str, str]:
    """Return the client's environment: how to reach the engine, and little else.

    buildx turns some variables (``SOURCE_DATE_EPOCH``, ``BUILDX_*``) into part
    of the build; what is built must not depend on the user's shell.
    """
    kept = {
        name: value
        for name, value in endpoint.environment().items()
        if name in _PASSED_ON or name.startswith(("DOCKER_", "LC_"))
    }
    fixed = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "BUILDX_GIT_INFO": "false"}
    return {**kept, **fixed, **dict(endpoint.env)}
