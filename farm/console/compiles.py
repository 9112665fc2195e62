"""What a run's compilers took: a row for each unit, then the longest and the largest compiles."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING

from rich.text import Text

from farm.console.words import duration, size, squeeze

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from farm.events import Compile, Compiled

SHOWN = 5
_WIDEST = 58  # of one of the two lists
_LEAST_BESIDE = 88
_BAR_WIDTH = 8
_GAP = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked:
    """A call of a compiler among those of all units; ``figure`` is what it is ranked by."""

    unit: str
    call: Compile
    figure: float


def longest(compiled: Iterable[Compiled]) -> list[Ranked]:
    """The calls of a run that took longest."""
    return _ranked(compiled, lambda each: each.longest, lambda call: call.wall_s)


def largest(compiled: Iterable[Compiled]) -> list[Ranked]:
    """The calls of a run that took most memory."""
    return _ranked(compiled, lambda each: each.largest, lambda call: call.peak_bytes)


def hit_rate(hits: int, misses: int) -> str:
    """How many answers came from the compile cache; a dash where none was asked."""
    asked = hits + misses
    return f"{100 * hits // asked} %" if asked else "–"


def hits_by_compiler(compiled: Compiled) -> str:
    """The same for each compiler, where there are several that asked a cache."""
    asked = [each for each in compiled.compilers if each.hits + each.misses]
    rates = (f"{each.compiler} {hit_rate(each.hits, each.misses)}" for each in asked)
    return ", ".join(rates) if len(asked) > 1 else ""


def short(source: str) -> str:
    """A source by its file and its folder, which often tells two of one name apart."""
    return "/".join(source.split("/")[-2:])


def lines(compiled: Sequence[Compiled], width: int) -> list[Text]:
    """The whole picture in lines of at most ``width``, as far as labels allow; none of nothing."""
    if not compiled:
        return []
    beside = width >= _LEAST_BESIDE
    room = min(_WIDEST, (width - 2 - _GAP) // 2 if beside else width - 2)
    left = _list("longest", longest(compiled), duration, compiled, room)
    right = _list("largest", largest(compiled), size, compiled, room)
    if not beside:
        return [*_table(compiled), Text(""), *left, Text(""), *right]
    gap = " " * _GAP
    pairs = zip_longest(left, right, fillvalue=Text(""))
    listed = [_padded(first, room + 2).append(gap).append_text(second) for first, second in pairs]
    return [*_table(compiled), Text(""), *listed]


def _ranked(
    compiled: Iterable[Compiled],
    calls: Callable[[Compiled], Iterable[Compile]],
    figure: Callable[[Compile], float],
) -> list[Ranked]:
    found = [
        Ranked(unit=each.unit, call=call, figure=figure(call))
        for each in compiled
        for call in calls(each)
    ]
    return sorted(found, key=lambda ranked: -ranked.figure)[:SHOWN]


def _table(compiled: Sequence[Compiled]) -> list[Text]:
    head = ("compiled", "calls", "wall", "CPU", "peak", "hits")
    rows = [
        (
            each.unit,
            str(each.count),
            duration(each.wall_s),
            duration(each.cpu_s),
            size(each.at_once_bytes),
            hit_rate(each.hits, each.misses),
        )
        for each in compiled
    ]
    widths = [max(len(cell) for cell in column) for column in zip(head, *rows, strict=True)]
    found = [Text(f"  {_cells(head, widths)}", style="dim")]
    for row, each in zip(rows, compiled, strict=True):
        found.append(Text(f"  {_cells(row, widths)}"))
        notes = [hits_by_compiler(each), f"{each.retried} retried" if each.retried else ""]
        if any(notes):
            found[-1].append(f"  {', '.join(filter(None, notes))}", style="dim")
    return found


def _cells(row: Sequence[str], widths: Sequence[int]) -> str:
    first, *rest = zip(row, widths, strict=True)
    return "  ".join([f"{first[0]:<{first[1]}}", *(f"{cell:>{w}}" for cell, w in rest)])


def _list(
    title: str,
    ranked: Sequence[Ranked],
    words: Callable[[float], str],
    compiled: Sequence[Compiled],
    room: int,
) -> list[Text]:
    """A title and a line for each call: a bar, the figure, what was compiled and for whom."""
    figures = [words(each.figure) for each in ranked]
    wide = max(map(len, figures), default=0)
    most = max((each.figure for each in ranked), default=0) or 1
    found = [Text(f"  {title}", style="dim")]
    for each, figure in zip(ranked, figures, strict=True):
        filled = max(1, round(each.figure / most * _BAR_WIDTH))
        line = Text("  ").append("━" * filled, style="cyan").append(" " * (_BAR_WIDTH - filled))
        line.append(f"  {figure:>{wide}}  ", style="bold")
        whose = f"  {_whose(each.unit)}" if len(compiled) > 1 else ""
        left = max(12, room + 2 - line.cell_len - len(whose))
        found.append(line.append(_within(each.call.source, left)).append(whose, style="dim"))
    return found


def _whose(unit: str) -> str:
    """A unit by its variant: whoever reads on has the label above."""
    return squeeze(unit.rpartition(":")[2], 12)


def _within(source: str, width: int) -> str:
    """A source by file and folder, or by as much of that as there is room for."""
    both = short(source)
    return squeeze(both if len(both) <= width else both.rpartition("/")[2], width)


def _padded(text: Text, width: int) -> Text:
    copy = text.copy()
    return copy.append(" " * max(0, width - copy.cell_len))
