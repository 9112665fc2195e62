"""What each unit may take: as much as when it, or another version of it, was built last."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from farm.run.settle import result_store
from farm.store.record import read_record
from farm.store.results import result_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from farm.model.unit import Unit, UnitKey
    from farm.plan.plan import Plan
    from farm.run.options import Workplace
    from farm.store.record import Record

UNKNOWN_S = 300.0
"""What a unit is taken to last that was never built here, in any version."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one unit may take.

    ``seconds`` from its beginning to its end, alone on the machine; ``cpu_s`` of all processors;
    ``peak_bytes`` for its largest compiler; ``result_bytes`` for its result, 0 where nobody
    knows.  ``recorded`` tells whether that is of an earlier build, or a guess.
    """

    seconds: float
    cpu_s: float
    peak_bytes: int
    result_bytes: int
    recorded: bool


def estimates_of(plan: Plan, place: Workplace) -> dict[str, Estimate]:
    """What each unit may take, by label."""
    return {unit.label: estimate_of(unit, place) for unit in plan.units}


def estimate_of(unit: Unit, place: Workplace) -> Estimate:
    """What a unit may take; of one that was never built, time is a guess, memory the recipe's."""
    found = _newest(unit.key, place)
    guess = Estimate(
        seconds=UNKNOWN_S,
        cpu_s=UNKNOWN_S,
        peak_bytes=unit.jobs.memory_per_job_bytes,
        result_bytes=0,
        recorded=False,
    )
    if found is None:
        return guess
    record, folder = found
    seconds, compiled = _seconds(record), _compile_s(record)
    beside = max(0.0, seconds - compiled)
    return Estimate(
        seconds=seconds or guess.seconds,
        cpu_s=cpu_seconds(record) + beside,
        peak_bytes=largest_bytes(record) or guess.peak_bytes,
        result_bytes=_size(folder),
        recorded=bool(seconds),
    )


def recorded_s(key: UnitKey, place: Workplace) -> float | None:
    """How many seconds a unit took when it was built last; None if no record tells."""
    found = _newest(key, place)
    return _seconds(found[0]) if found else None


def earlier(key: UnitKey, place: Workplace) -> tuple[Record, ...]:
    """The records of this very unit that are kept, the newest first."""
    found = _records(result_store(place).root.glob(f"{key.folder}/*/record.json"))
    ours = (record for record, _ in found if record.unit == key.label)
    return tuple(sorted(ours, key=lambda record: -record.started_s))


def measured(record: Record, name: str) -> float:
    """What the compile step measured of itself; 0 where it says nothing."""
    return _number(record.compile.get(name))


def cpu_seconds(record: Record) -> float:
    """Processor time of the compile, of all its processes."""
    return measured(record, "user_s") + measured(record, "sys_s")


def largest_bytes(record: Record) -> int:
    """The peak of its largest compiler, else of the largest process of its compile."""
    calls = record.compile.get("calls")
    peak = _number(calls.get("peak_bytes")) if isinstance(calls, dict) else 0
    return int(peak or measured(record, "peak_rss_bytes"))


def _newest(key: UnitKey, place: Workplace) -> tuple[Record, Path] | None:
    kept = result_store(place).root
    shown = result_folder(place.out, key)
    own = _records([shown / "record.json"])
    own = own or _records(kept.glob(f"{key.folder}/*/record.json"))
    others = own or _records(kept.glob(f"{key.package}-[0-9]*/{key.variant}/*/record.json"))
    found = own or [each for each in others if each[0].package == key.package]
    return max(found, key=lambda each: each[0].started_s, default=None)


def _records(paths: Iterable[Path]) -> list[tuple[Record, Path]]:
    return [
        (found, path.parent) for path in paths if (found := read_record(path.parent)) is not None
    ]


def _seconds(record: Record) -> float:
    """The whole unit alone, or its compile where the engine's cache answered that: the longer."""
    others = measured(record, "seconds") - _compile_s(record)
    return max(record.seconds - others, _compile_s(record))


def _compile_s(record: Record) -> float:
    """What its compile takes where no other unit compiles beside it."""
    return measured(record, "alone_s") or measured(record, "seconds")


def _size(folder: Path) -> int:
    total = 0
    with suppress(OSError):
        total = sum(path.lstat().st_size for path in folder.rglob("*") if not path.is_dir())
    return total


def _number(value: Any) -> float:  # noqa: ANN401 - from a file
    return float(value) if type(value) in {int, float} and value > 0 else 0.0
