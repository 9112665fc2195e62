"""A view for programs: one JSON object for each event, one a line, on stdout.

``event`` is the event's name: RunStarted, Notice, TaskProgress, UnitStarted, StepStarted,
StepOutput, StepProgress, StepFinished, UnitFinished, RunFinished.  The other keys are
the fields of that class in `farm.events`, always all of them; ``time_s`` is seconds
since the epoch.  Keys may be added to an event, never renamed or taken away.
"""

from __future__ import annotations

import dataclasses
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, TextIO

from farm.console.as_json import to_json

if TYPE_CHECKING:
    from farm.events import Event


class JsonView:
    """Writes each event at once, so that a reader in a pipe follows the build."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Write one event."""
        fields = {"event": type(event).__name__, **dataclasses.asdict(event)}
        # undecodable bytes may be here as surrogates, which no stream takes
        line = to_json(fields, indent=None).encode("utf-8", "replace").decode()
        with self._lock, suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._stream.write(line + "\n")
            self._stream.flush()
