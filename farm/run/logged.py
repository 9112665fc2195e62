"""The sink of a run: writes the logs of its units, then passes each event on."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Self

from farm.host.files import storage_error
from farm.run.logs import LogWriter

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.events import Event, Sink
    from farm.model.unit import Unit
    from farm.run.runs import Run


class Logged:
    """Takes events from any thread, one at a time.

    Neither a full disk nor a view that fails (a closed terminal, say) ends a build: what
    went wrong is raised when the run is over.
    """

    def __init__(self, run: Run, units: Iterable[Unit], sink: Sink) -> None:
        self._logs = LogWriter({unit.label: run.unit_folder(unit.key) for unit in units})
        self._sink = sink
        self._folder = run.folder
        self._lock = threading.Lock()
        self._failure: Exception | None = None

    def __call__(self, event: Event, /) -> None:
        """Take one event."""
        self._logs(event)
        with self._lock:
            if self._failure is not None:
                return
            try:
                self._sink(event)
            except Exception as error:  # noqa: BLE001 - raised again at the end
                self._failure = error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        """Close the logs.

        Raises:
            StorageError: they could not be written whole.
            Exception: what the view failed with.
        """
        self._logs.close()
        if kind is not None:
            return
        if self._logs.failure is not None:
            raise storage_error(self._logs.failure, self._folder)
        if self._failure is not None:
            raise self._failure
