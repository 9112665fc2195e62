"""What every unit of a run is built with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farm.events import Sink
    from farm.model.look import Look
    from farm.model.unit import Unit
    from farm.run.options import BuildOptions, Workplace
    from farm.run.prerequisites import Prerequisites
    from farm.run.replay import Replay
    from farm.run.runs import Run
    from farm.run.tasks import Tasks
    from farm.store.remote import RemoteResults
    from farm.store.results import ResultStore


@dataclass(frozen=True, slots=True, kw_only=True)
class RunContext:
    """What every unit of a run is built with; ``looked`` end after configuring.

    ``refused`` says by label why a unit is known not to work, though it is tried.  With
    ``replay`` the one unit is not rendered: it is built from that.
    """

    place: Workplace
    run: Run
    options: BuildOptions
    sink: Sink
    tasks: Tasks
    prerequisites: Prerequisites
    results: ResultStore
    templates: tuple[Path, ...]
    requested: frozenset[str]
    refused: Mapping[str, tuple[str, ...]]
    looked: frozenset[str] = frozenset()
    replay: Replay | None = None
    shared: RemoteResults | None = None

    def look_of(self, unit: Unit) -> Look | None:
        """How far a unit's build goes, where it is only looked at."""
        return self.options.look if unit.label in self.looked else None
