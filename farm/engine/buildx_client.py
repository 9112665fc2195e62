"""What a running buildx writes, made into events, and whether its engine still answers."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from queue import SimpleQueue
from typing import TYPE_CHECKING

from farm.errors import CancelledError
from farm.host import programs

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.engine.endpoint import Endpoint
    from farm.engine.rawjson import Progress
    from farm.events import Event, Sink
    from farm.host.programs import Cancel


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
    """What the running client has written, and what is made of it; it is its own `Cancel`."""

    progress: Progress
    on_event: Sink
    cancel: Cancel
    broken: BaseException | None = None
    lost: bool = False
    muted: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    chunks: SimpleQueue[bytes] = field(default_factory=SimpleQueue)
    """What is read at once, since buildx waits only 3 s for a slow reader at its end."""

    def is_set(self) -> bool:
        """Whether it is to end: nobody wants it, or its engine is lost."""
        return self.lost or self.cancel.is_set()

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
                return


def answers(endpoint: Endpoint, ended: threading.Event, *, timeout_s: float) -> bool:
    """Ask the engine for its version; tell whether it answers in time.

    Where ``ended`` is set meanwhile nobody wants to know, and True is returned.
    """
    argv = (*endpoint.docker, "version", "--format", "{{.Server.Version}}")
    try:
        done = programs.run(argv, env=endpoint.environment(), cancel=ended, timeout_s=timeout_s)
    except TimeoutError:
        return False
    # A machine out of processes says nothing about the engine.
    except (CancelledError, programs.MissingProgramError, OSError):
        return True
    return done.status == 0
