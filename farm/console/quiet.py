"""A view that speaks only of failures."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from farm.console.summary import Summary, failure_block, say
from farm.events import Outcome, UnitFinished

if TYPE_CHECKING:
    from rich.console import Console

    from farm.events import Event


class QuietView:
    """Prints why a unit failed, and nothing else."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._summary = Summary()
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock, suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._summary(event)
            if isinstance(event, UnitFinished) and event.outcome is Outcome.FAILED:
                say(self._console, failure_block(event, step=self._summary.failed_step(event)))
