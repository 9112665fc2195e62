"""What a run may take, in a few lines of plain text, and the arithmetic behind it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.console.words import duration, size
from farm.plan.jobs import GIB

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.run.outlook import Outlook

_NAMED = 3
"""How many units that were never built are named."""


def outlook_lines(run: Outlook, *, explained: bool) -> Iterator[str]:
    """Time, memory and disk of a run, and what of it is guessed."""
    many = f"{len(run.units)} unit{'s' if len(run.units) > 1 else ''}"
    disk = f"results of {size(run.disk_bytes)}" if run.disk_bytes else "results of unknown size"
    yield (
        f"forecast  {duration(run.seconds)} for {many}; memory up to {_gib(run.peak_bytes)} "
        f"of {_gib(run.memory_bytes)}; {disk}"
    )
    if run.guessed:
        named = ", ".join(run.guessed[:_NAMED])
        rest = len(run.guessed) - _NAMED
        yield f"  guessed   what was never built here: {named}{f' and {rest} more' * (rest > 0)}"
    if explained:
        yield from _arithmetic(run)


def _arithmetic(run: Outlook) -> Iterator[str]:
    ways = (
        (run.path_s, f"the longest path: {' → '.join(run.path)}"),
        (run.cpu_s / run.cores, f"{duration(run.cpu_s)} of CPU ÷ {run.cores} cores"),
        (
            run.units_s / run.at_once,
            f"{duration(run.units_s)} of units one by one ÷ {run.at_once} at once",
        ),
    )
    yield "  time      the longest of these:"
    for seconds, why in sorted(ways, reverse=True):
        yield f"            {duration(seconds)} = {why}"
    yield (
        f"  memory    min(budget, {run.compilers} compilers at once × {_gib(run.largest_bytes)}, "
        f"the largest, of {run.largest})"
    )
    if run.results_bytes:
        yield f"  disk      2 × {size(run.results_bytes)}: results are kept, and shown in out/"


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"
