"""How long a compile would have taken alone on its machine, from what its gates wrote down.

While units share the cores, a compile takes as long as the others let it, which says nothing
of the next run.  At each moment it has so many compilers that run, and so many that wait for a
slot.  Alone, as many of both would run as there are cores: time in which it had a third of
that counts for a third.  (So does what one that was alone lost for want of memory.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.store.calls import CallLog

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farm.store.calls import Call


def alone_s(path: Path, seconds: float, cores: int) -> float | None:
    """Seconds of a compile that took ``seconds``, had it had all cores for itself.

    ``path`` is the file with a line for each call of a compiler (docs/reference/calls.md).
    None where nothing was written of its calls.
    """
    try:
        calls = sorted(_changes(CallLog(path)))
    except OSError:
        return None
    return max(0.0, seconds - _lost(calls, cores)) if calls else None


def _lost(changes: Iterable[tuple[float, int, int]], cores: int) -> float:
    """How much of its time was the others'; ``changes`` of the running and the waiting."""
    lost = before = 0.0
    running = waiting = 0
    for moment, runs, waits in changes:
        if waiting and moment > before:  # at one moment, changes come in any order
            lost += (moment - before) * (1 - min(1.0, running / min(cores, running + waiting)))
        running, waiting, before = running + runs, waiting + waits, moment
    return lost


def _changes(calls: Iterable[Call]) -> Iterator[tuple[float, int, int]]:
    """When a call began to wait, to run, and ended."""
    for call in calls:
        yield call.asked_s, 0, 1
        yield call.began_s, 1, -1
        yield call.ended_s, -1, 0
