"""How long each unit may take: as long as when it, or another version of it, was built last."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.run.settle import result_store
from farm.store.record import read_record
from farm.store.results import result_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from farm.model.unit import UnitKey
    from farm.plan.plan import Plan
    from farm.run.options import Workplace
    from farm.store.record import Record

UNKNOWN_S = 300.0
"""What a unit is taken to last that was never built here, in any version."""


def seconds_of(plan: Plan, place: Workplace) -> dict[str, float]:
    """How many seconds each unit may take, by label."""
    return {unit.label: recorded_s(unit.key, place) or UNKNOWN_S for unit in plan.units}


def recorded_s(key: UnitKey, place: Workplace) -> float | None:
    """How many seconds a unit took when it was built last; None if no record tells."""
    kept = result_store(place).root
    shown = read_record(result_folder(place.out, key))
    own = [shown] if shown else _records(kept.glob(f"{key.folder}/*/record.json"))
    others = _records(kept.glob(f"{key.package}-[0-9]*/{key.variant}/*/record.json"))
    found = own or [record for record in others if record.package == key.package]
    newest = max(found, key=lambda record: record.started_s, default=None)
    return _seconds(newest) if newest else None


def _records(paths: Iterable[Path]) -> list[Record]:
    return [found for path in paths if (found := read_record(path.parent))]


def _seconds(record: Record) -> float:
    """The whole unit, or its compile where the engine's cache answered that: whichever is more."""
    measured = record.compile.get("seconds")
    compiled = float(measured) if isinstance(measured, (int, float)) else 0.0
    return max(record.seconds, compiled)
