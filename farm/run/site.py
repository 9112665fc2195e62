"""What every unit of a run is built with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.events import Sink
    from farm.host.machine import Machine
    from farm.run.options import BuildOptions, Workplace
    from farm.run.runs import Run


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What every unit of a run is built with; ``looked`` end after configuring."""

    place: Workplace
    run: Run
    options: BuildOptions
    machine: Machine
    parallel: int
    requested: frozenset[str]
    sink: Sink
    looked: frozenset[str] = frozenset()
