"""A timeline as one SVG of bounded size: lanes, calls that wait, memory against the budget."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from farm.timeline import axis
from farm.timeline.spans import colour, memory, visible, waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from farm.timeline.spans import Span, Steps, Timeline

WIDTH: Final = 1600
MOST_BARS: Final = 6000
"""Bars in a picture: beyond, neighbours that are too narrow to be told apart become one."""
_ONE_COLOUR: Final = 1.0
"""Pixels: of what is narrower, units are told apart; beyond, the longest call's is shown."""
_LEFT, _RIGHT, _TOP = 76, 20, 92
_PLOT: Final = WIDTH - _LEFT - _RIGHT
_QUEUE_HEIGHT, _MEMORY_HEIGHT, _GAP = 40, 150, 34
_LEGEND_ROW, _MOST_LEGENDS = 22, 40
_KEY: Final = "lighter: the slot is free, and a call waits for memory"
_STYLE: Final = """
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif;
  fill: #57606a }
.title { font-size: 20px; font-weight: 600; fill: #1f2328 }
.page { fill: #ffffff }
.lane { fill: #f3f4f6 }
.grid { stroke: #d9dde2; stroke-width: 1 }
.budget { stroke: #cf222e; stroke-width: 1.5; stroke-dasharray: 6 4 }
.over { fill: #cf222e }
.wait { opacity: .3 }
.hit { opacity: .55 }
.failed { stroke: #cf222e; stroke-width: 2 }
@media (prefers-color-scheme: dark) {
  text { fill: #9aa4af }
  .title { fill: #e6edf3 }
  .page { fill: #0d1117 }
  .lane { fill: #161b22 }
  .grid { stroke: #2a313a }
  .budget, .failed { stroke: #ff7b72 }
  .over { fill: #ff7b72 }
}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """Seconds of a timeline to pixels."""

    started_s: float
    span_s: float

    def x(self, when_s: float) -> float:
        return _LEFT + (when_s - self.started_s) / self.span_s * _PLOT


@dataclass(frozen=True, slots=True, kw_only=True)
class _Bar:
    """A call, or neighbours of one unit that are too narrow to be told apart."""

    lane: int
    unit: int
    left: float
    right: float
    spans: int
    span: Span


def svg(timeline: Timeline) -> str:
    """The picture's whole text."""
    scale = _Scale(
        started_s=timeline.started_s,
        span_s=max(timeline.ended_s - timeline.started_s, 0.001),
    )
    top = _TOP + _LEGEND_ROW * max(row for _, row in _legend_places(timeline))
    lane = lane_height(len(timeline.lanes))
    queue = top + lane * len(timeline.lanes) + _GAP
    below = queue + _QUEUE_HEIGHT + _GAP
    height = below + _MEMORY_HEIGHT + 40
    parts = [
        _head(timeline.title, height),
        *_legend(timeline),
        *_grid(scale, top, below + _MEMORY_HEIGHT),
        *_lanes(timeline, scale, top, lane),
        *_queue(timeline, scale, queue),
        *_memory(timeline, scale, below),
        "</svg>\n",
    ]
    return "".join(parts)


def _head(title: str, height: int) -> str:
    said = escape(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">\n'
        f"<!-- farm timeline -->\n<title>{said}</title>\n<style>{_STYLE}</style>\n"
        f'<rect class="page" width="{WIDTH}" height="{height}"/>\n'
        f'<text class="title" x="{_LEFT}" y="36">{said}</text>\n'
        f'<text x="{WIDTH - _RIGHT}" y="36" text-anchor="end">{_KEY}</text>\n'
    )


def lane_height(lanes: int) -> int:
    """Pixels of a lane, so that many still make a picture."""
    return next((height for most, height in ((8, 30), (24, 20), (64, 12)) if lanes <= most), 6)


def _legend_places(timeline: Timeline) -> list[tuple[int, int]]:
    """For each unit that is named where it stands: x, and in which row."""
    places, x, row = [], _LEFT, 0
    for unit in timeline.units[:_MOST_LEGENDS]:
        width = 34 + 7 * len(unit)
        if x + width > WIDTH - _RIGHT and x > _LEFT:
            x, row = _LEFT, row + 1
        places.append((x, row))
        x += width
    return places


def _legend(timeline: Timeline) -> Iterator[str]:
    for number, (x, row) in enumerate(_legend_places(timeline)):
        y = 64 + _LEGEND_ROW * row
        yield (
            f'<rect x="{x}" y="{y - 10}" width="12" height="12" rx="3" fill="{colour(number)}"/>'
            f'<text x="{x + 18}" y="{y}">{escape(timeline.units[number])}</text>\n'
        )


def _grid(scale: _Scale, top: int, bottom: int) -> Iterator[str]:
    for mark in axis.seconds(scale.span_s, 12):
        x = scale.x(scale.started_s + mark)
        yield f'<line class="grid" x1="{x:.1f}" y1="{top}" x2="{x:.1f}" y2="{bottom}"/>'
        label = axis.clock(mark, scale.span_s)
        yield f'<text x="{x:.1f}" y="{bottom + 20}" text-anchor="middle">{label}</text>\n'


def _lanes(timeline: Timeline, scale: _Scale, top: int, height: int) -> Iterator[str]:
    for lane, name in enumerate(timeline.lanes):
        y = top + lane * height
        yield (
            f'<rect class="lane" x="{_LEFT}" y="{y}" width="{_PLOT}" height="{height - 1}"/>'
            + (_label(name, y + height / 2 + 4) if height >= 12 else "")  # noqa: PLR2004 - the text's
            + "\n"
        )
    for idle in sorted(timeline.idle, key=lambda idle: idle.begin_s - idle.end_s)[:MOST_BARS]:
        left, right = scale.x(idle.begin_s), scale.x(idle.end_s)
        if right - left >= 1:
            place = _place(left, right, top + idle.lane * height, height)
            yield f'<rect class="wait" fill="{colour(idle.unit)}" {place}/>\n'
    for bar in bars(timeline, scale.x):
        place = _place(bar.left, bar.right, top + bar.lane * height, height)
        kind = _kind(bar)
        words = escape(_words(timeline, bar))
        yield f'<rect{kind} fill="{colour(bar.unit)}" {place}><title>{words}</title></rect>\n'


def _label(text: str, y: float) -> str:
    return f'<text x="{_LEFT - 8}" y="{y:.1f}" text-anchor="end">{escape(text)}</text>'


def _place(left: float, right: float, y: int, height: int) -> str:
    rounded = ' rx="2"' if height >= 12 and right - left >= 4 else ""  # noqa: PLR2004 - else a blot
    width = max(right - left - (0.5 if right - left > 2 else 0), 0.5)  # noqa: PLR2004 - a seam
    return f'x="{left:.1f}" y="{y + 1}" width="{width:.1f}" height="{height - 3}"{rounded}'


def _kind(bar: _Bar) -> str:
    call = bar.span.call
    names = [
        "hit" if call.cache == "hit" else "",
        "failed" if call.status and bar.spans == 1 else "",
    ]
    said = " ".join(filter(None, names))
    return f' class="{said}"' if said else ""


def _words(timeline: Timeline, bar: _Bar) -> str:
    """What is shown where a pointer rests."""
    unit, call = timeline.units[bar.unit], bar.span.call
    if bar.spans > 1:
        return f"{bar.spans} calls\n{unit}"
    how = [
        f"{call.wall_s:.2f} s",
        f"{call.cpu_s:.2f} s CPU",
        f"{axis.size(call.peak_bytes)} of {axis.size(call.predicted_bytes)} set aside",
        f"waited {bar.span.waited_s:.2f} s",
        f"cache {call.cache}" if call.cache != "none" else "",
        f"try {call.tries}" if call.tries > 1 else "",
        f"status {call.status}" if call.status else "",
    ]
    said = ", ".join(filter(None, how))
    return f"{visible(call.source)}\n{unit}, {visible(call.compiler)}\n{said}"


def bars(timeline: Timeline, x: Callable[[float], float], most: int = MOST_BARS) -> list[_Bar]:
    """What is drawn for the calls: as many bars at most, the narrow ones as one."""
    least = 0.75
    while True:
        found = list(_merged(timeline.spans, x, least))
        if len(found) <= most or least > WIDTH:
            return found
        least *= 2


def _merged(spans: Iterable[Span], x: Callable[[float], float], least: float) -> Iterator[_Bar]:
    """Calls wider than ``least``, and of narrower ones those of one unit side by side."""
    narrow: dict[int, _Bar] = {}
    for span in spans:
        left, right = x(span.call.began_s), x(span.call.ended_s)
        bar = _Bar(lane=span.lane, unit=span.unit, left=left, right=right, spans=1, span=span)
        before = narrow.pop(span.lane, None)
        alike = before and (before.unit == span.unit or least > _ONE_COLOUR)
        if right - left < least:
            if before and alike and left - before.right < least:
                bar, before = _joined(before, bar), None
            narrow[span.lane] = bar
        if before:
            yield before
        if right - left >= least:
            yield bar
    yield from narrow.values()


def _joined(first: _Bar, second: _Bar) -> _Bar:
    longer = max((first, second), key=lambda bar: bar.span.call.wall_s)
    return _Bar(
        lane=first.lane,
        unit=longer.unit,
        left=first.left,
        right=max(first.right, second.right),
        spans=first.spans + second.spans,
        span=longer.span,
    )


def _queue(timeline: Timeline, scale: _Scale, top: int) -> Iterator[str]:
    """How many calls wait, lighter than those that run."""
    steps = waiting(timeline)
    most = max(1, steps.most)
    yield f'<text x="{_LEFT}" y="{top - 8}">waiting: at most {steps.most}</text>\n'
    yield '<g class="wait">\n'
    yield from _areas(steps, scale, top + _QUEUE_HEIGHT, _QUEUE_HEIGHT / most)
    yield "</g>\n"


def _memory(timeline: Timeline, scale: _Scale, top: int) -> Iterator[str]:
    steps = memory(timeline)
    budget = timeline.budget_bytes
    most = axis.top(steps.most, budget)
    bottom = top + _MEMORY_HEIGHT
    of = f" of {axis.size(budget)}" if budget else ""
    text = f"memory: at most {axis.size(steps.most)}{of}, each call at its peak"
    yield f'<text x="{_LEFT}" y="{top - 8}">{text}</text>\n'
    for mark in axis.amounts(most, 4):
        y = bottom - mark / most * _MEMORY_HEIGHT
        yield f'<line class="grid" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>'
        yield _label(axis.size(mark), y + 4) + "\n"
    yield from _areas(steps, scale, bottom, _MEMORY_HEIGHT / most)
    if budget and budget < most:
        y = bottom - budget / most * _MEMORY_HEIGHT
        yield (
            f'<line class="budget" x1="{_LEFT}" y1="{y:.1f}" x2="{WIDTH - _RIGHT}" y2="{y:.1f}"/>'
            f'<text class="over" x="{WIDTH - _RIGHT - 4}" y="{y - 5:.1f}" text-anchor="end">'
            "budget</text>\n"
        )


def _areas(steps: Steps, scale: _Scale, bottom: float, per_unit: float) -> Iterator[str]:
    """One area for each unit, on top of each other; for each pixel the moment with most."""
    columns = _columns(steps, scale)
    units = len(steps.amounts[0]) if steps.amounts else 0
    for unit in range(units):
        if not any(amounts[unit] for _, amounts in columns):
            continue
        over = [(x, bottom - sum(amounts[: unit + 1]) * per_unit) for x, amounts in columns]
        under = [(x, bottom - sum(amounts[:unit]) * per_unit) for x, amounts in columns]
        yield f'<path fill="{colour(unit)}" d="{_outline(over, under)}"/>\n'


def _columns(steps: Steps, scale: _Scale) -> list[tuple[float, Sequence[int]]]:
    """For each pixel in which something changes, the amounts when they were most."""
    columns: dict[int, Sequence[int]] = {}
    last: Sequence[int] = ()
    for when, amounts in zip(steps.times_s, steps.amounts, strict=True):
        x = int(scale.x(when))
        held = columns.get(x, last)
        columns[x] = max(held, amounts, key=sum) if held else amounts
        columns[x + 1] = last = amounts
    return [(float(x), columns[x]) for x in sorted(columns)]


def _outline(over: list[tuple[float, float]], under: list[tuple[float, float]]) -> str:
    """Stairs along the top from the left, and back along the bottom."""
    there = [over[0], *(p for a, b in pairwise(over) for p in ((b[0], a[1]), b) if a[1] != b[1])]
    back = [
        under[0],
        *(p for a, b in pairwise(under) for p in ((b[0], a[1]), b) if a[1] != b[1]),
    ]
    there.append((over[-1][0], there[-1][1]))
    back.append((under[-1][0], back[-1][1]))
    return "M" + "L".join(f"{x:.0f} {y:.1f}" for x, y in (*there, *reversed(back))) + "Z"
