"""How long a compile would have taken alone on its machine, from what its gates wrote down.

While units share the cores, a compile takes as long as the others let it, which says nothing
of the next run.  At each moment it has so many compilers that run, and so many that wait for a
slot.  Alone, as many of both would run as there are cores: time in which it had a third of
that counts for a third.  (So does what one that was alone lost for want of memory.)
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MOST_BYTES = 1 << 28
"""Of more, nothing is made: a vLLM has some thousand lines."""


def alone_s(path: Path, seconds: float, cores: int) -> float | None:
    """Seconds of a compile that took ``seconds``, had it had all cores for itself.

    ``path`` is the file with a line for each call of a compiler (docs/reference/calls.md).
    None where nothing was written of its calls.
    """
    try:
        if path.is_symlink() or path.stat().st_size > MOST_BYTES:
            return None
        with path.open(encoding="utf-8", errors="replace") as lines:
            calls = sorted(_changes(lines))
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


def _changes(lines: Iterable[str]) -> Iterator[tuple[float, int, int]]:
    """When a call began to wait, to run, and ended; lines that are none are left out."""
    for line in lines:
        try:
            call = json.loads(line)
            asked, began, wall = (float(call[name]) for name in ("asked_s", "began_s", "wall_s"))
        except (ValueError, LookupError, TypeError, RecursionError):
            continue
        if 0 < asked <= began and 0 <= wall < float("inf"):
            yield asked, 0, 1
            yield began, 1, -1
            yield began + wall, -1, 0
