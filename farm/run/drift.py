"""What a build took otherwise than the last builds of the same unit: time, memory, size.

Only what somebody would look into is told.  A quarter of a compile's time or memory is more
than repeated builds of one unit differ on one machine, a minute and a quarter of a GiB more
than small ones can gain or lose; a wheel holds the same things each time.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from farm.events import Outcome
from farm.run.estimates import cpu_seconds, largest_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from farm.store.record import Record

LAST = 5
"""How many builds are looked back at."""
_HITS_APART = 0.1
"""By how much the share of compiles that a cache answered may differ for times to be compared."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measure:
    """One figure of a record, 0 where it has none; told where it changed by more than both."""

    what: str
    of: Callable[[Record], float]
    share: float
    least: float
    unit: str
    size: float


_TIME = _Measure(
    what="its compile took", of=cpu_seconds, share=0.25, least=60.0, unit="min of CPU", size=60.0
)
_MEMORY = _Measure(
    what="its largest compiler took",
    of=largest_bytes,
    share=0.25,
    least=2.0**28,
    unit="GiB",
    size=2.0**30,
)
_WHEEL = _Measure(
    what="its wheel has",
    of=lambda record: sum(w.size_bytes for w in record.wheels),
    share=0.1,
    least=1e6,
    unit="MB",
    size=1e6,
)


def drift(record: Record, before: Sequence[Record]) -> tuple[str, ...]:
    """What has changed since the builds before, newest first, a sentence for each figure."""
    built = [each for each in before if each.outcome == Outcome.BUILT and each.run != record.run]
    return tuple(_told(record, built[:LAST]))


def _told(record: Record, built: list[Record]) -> Iterator[str]:
    alike = [each for each in built if _same_machine(record, each)]
    timed = [each for each in alike if abs(_hits(record) - _hits(each)) <= _HITS_APART]
    gauged = [each for each in built if _has_calls(record) == _has_calls(each)]
    for measure, others in ((_TIME, timed), (_MEMORY, gauged), (_WHEEL, built)):
        now = measure.of(record)
        figures = [figure for each in others if (figure := measure.of(each))]
        if not (now and figures):
            continue
        then = median(figures)
        if abs(now - then) > max(measure.least, measure.share * then):
            yield _sentence(measure, now, then, len(figures))


def _sentence(measure: _Measure, now: float, then: float, count: int) -> str:
    percent = abs(now - then) / then
    word = "more" if now > then else "less"
    of = f"the median of its last {count} builds" if count > 1 else "its last build"
    return (
        f"{measure.what} {now / measure.size:.1f} {measure.unit}, {percent:.0%} {word} than "
        f"the {then / measure.size:.1f} of {of}"
    )


def _same_machine(one: Record, other: Record) -> bool:
    names = ("cores", "architecture", "kernel")
    return [one.machine.get(name) for name in names] == [other.machine.get(n) for n in names]


def _has_calls(record: Record) -> bool:
    """Whether each compiler was measured, not only the largest process."""
    return isinstance(record.compile.get("calls"), dict)


def _hits(record: Record) -> float:
    """The share of compiles that a cache answered."""
    calls = record.compile.get("calls")
    if not isinstance(calls, dict):
        return 0.0
    hits, misses = (calls.get(name) for name in ("hits", "misses"))
    if not (isinstance(hits, int) and isinstance(misses, int) and hits + misses > 0):
        return 0.0
    return hits / (hits + misses)
