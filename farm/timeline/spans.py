"""Calls of compilers laid out in time: which lane each has, how long it waited, what all took."""

from __future__ import annotations

import colorsys
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from farm.store.calls import Call

MOST_LANES: Final = 512
"""Of slots; what a build invents beyond has no lane."""
_CACHE_LANES: Final = 4
_ASKED, _BEGAN = 0, 1
"""What happens to a call, in this order, before it ends."""
SHORTEST_WAIT_S: Final = 0.01
"""What is shorter is the gate's own work."""
_COLOURS: Final = (
    *("#4e79a7", "#f28e2b", "#59a14f", "#e15759", "#b07aa1"),
    *("#76b7b2", "#edc948", "#ff9da7", "#9c755f", "#8cd17d"),
)
"""Told apart on white and on black, and mostly by who sees fewer colours."""
_GOLDEN: Final = 0.6180339887
"""Each next hue is as far as can be from those before it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One call in its lane, for which it waited from ``waits_from_s``.

    ``unit`` and ``lane`` are indexes.
    """

    unit: int
    lane: int
    call: Call
    waits_from_s: float

    @property
    def waited_s(self) -> float:
        """How long it waited for its slot."""
        return self.call.began_s - self.waits_from_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A slot that was free while a call of a unit waited: for memory, then."""

    lane: int
    unit: int
    begin_s: float
    end_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """All calls of some units, in the order in which they began.

    ``lanes`` are their names; the first call asked for its slot at ``started_s``, the last one was
    over at ``ended_s``, in seconds since the epoch.  ``budget_bytes`` and ``cores`` are what they
    shared, where that is known.  ``skipped`` lines of the files were damaged.
    """

    title: str
    units: tuple[str, ...]
    lanes: tuple[str, ...]
    spans: tuple[Span, ...]
    idle: tuple[Idle, ...]
    started_s: float
    ended_s: float
    budget_bytes: int | None = None
    cores: int | None = None
    skipped: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """Amounts that change: from ``times_s[n]`` on they are ``amounts[n]``, one for each unit."""

    times_s: tuple[float, ...] = ()
    amounts: tuple[tuple[int, ...], ...] = ()

    @property
    def most(self) -> int:
        """The largest sum."""
        return max(map(sum, self.amounts), default=0)


@dataclass(slots=True, kw_only=True)
class _Lanes:
    """Who has which lane, and until when."""

    slots: Mapping[int, int]
    ends_s: dict[int, float] = field(default_factory=lambda: defaultdict(float))

    def of(self, call: Call) -> int | None:
        """The lane of a call's slot; without one, of those of the cache, the first to be free."""
        if call.slot is not None:
            return self.slots.get(call.slot)
        own = range(len(self.slots), len(self.slots) + _CACHE_LANES)
        free = (lane for lane in own if self.ends_s[lane] <= call.began_s)
        return next(free, min(own, key=lambda lane: self.ends_s[lane]))


def laid_out(
    title: str,
    calls: Mapping[str, Iterable[Call]],
    *,
    budget_bytes: int | None = None,
    cores: int | None = None,
    skipped: int = 0,
) -> Timeline:
    """Give each call of some units, by label, its lane; there is one at least."""
    units = tuple(calls)
    ordered = sorted(
        ((call, n) for n, unit in enumerate(units) for call in calls[unit]),
        key=lambda each: (each[0].began_s, each[0].asked_s),
    )
    slots = sorted({call.slot for call, _ in ordered if call.slot is not None})[:MOST_LANES]
    lanes = _Lanes(slots={slot: lane for lane, slot in enumerate(slots)})
    spans = tuple(_spans(ordered, lanes))
    beside = max((span.lane for span in spans), default=0) + 1 - len(slots)
    return Timeline(
        title=visible(title),
        units=tuple(map(visible, units)),
        lanes=(*(f"slot {slot}" for slot in slots), *("cache" for _ in range(beside))),
        spans=spans,
        idle=tuple(_idle(spans, len(slots))),
        started_s=min(span.waits_from_s for span in spans),
        ended_s=max(span.call.ended_s for span in spans),
        budget_bytes=budget_bytes,
        cores=cores,
        skipped=skipped,
    )


def _spans(ordered: Iterable[tuple[Call, int]], lanes: _Lanes) -> Iterator[Span]:
    tried: dict[tuple[int, str, float], float] = {}
    for call, unit in ordered:
        lane = lanes.of(call)
        if lane is None:
            continue
        # Another try has the first one's time of asking: it waited since that was over.
        key = (unit, call.source, call.asked_s)
        waits_from = min(max(call.asked_s, tried.get(key, 0.0)), call.began_s)
        tried[key] = call.ended_s
        lanes.ends_s[lane] = max(lanes.ends_s[lane], call.ended_s)
        yield Span(unit=unit, lane=lane, call=call, waits_from_s=waits_from)


def _idle(spans: Sequence[Span], slots: int) -> Iterator[Idle]:
    """Pair the slots that are free with the calls that wait longest, as long as both are so."""
    events = sorted(
        (when, order, number)
        for number, span in enumerate(spans)
        for order, when in enumerate((span.waits_from_s, span.call.began_s, span.call.freed_s))
        if span.waited_s > SHORTEST_WAIT_S or order
    )
    taken = [0] * (slots + _CACHE_LANES)
    waits: dict[int, None] = {}
    paired: dict[int, tuple[int, float]] = {}
    for when, order, number in events:
        lane = spans[number].lane
        if order == _ASKED:
            waits[number] = None
        else:
            waits.pop(number, None)
            taken[lane] += 1 if order == _BEGAN else -1
        for each in [n for n, (call, _) in paired.items() if taken[n] or call not in waits]:
            call, since = paired.pop(each)
            if when - since > SHORTEST_WAIT_S:
                yield Idle(lane=each, unit=spans[call].unit, begin_s=since, end_s=when)
        if len(paired) < len(waits):
            known = {call for call, _ in paired.values()}
            free = (each for each in range(slots) if not taken[each] and each not in paired)
            others = (call for call in waits if call not in known)
            paired |= {each: (call, when) for each, call in zip(free, others, strict=False)}


def memory(timeline: Timeline) -> Steps:
    """What the calls of each unit take, each at its peak for all of its time: never too little."""
    return _steps(
        timeline,
        lambda span: (span.call.began_s, span.call.freed_s, span.call.peak_bytes),
    )


def waiting(timeline: Timeline) -> Steps:
    """How many calls of each unit wait for a slot."""
    return _steps(
        timeline,
        lambda span: (span.waits_from_s, span.call.began_s, int(span.waited_s > SHORTEST_WAIT_S)),
    )


def _steps(timeline: Timeline, part: Callable[[Span], tuple[float, float, int]]) -> Steps:
    changes: dict[float, dict[int, int]] = defaultdict(lambda: defaultdict(int))
    for span in timeline.spans:
        begin, end, amount = part(span)
        if amount:
            changes[begin][span.unit] += amount
            changes[end][span.unit] -= amount
    now = [0] * len(timeline.units)
    times, amounts = [], []
    for when in sorted(changes):
        for unit, change in changes[when].items():
            now[unit] += change
        times.append(when)
        amounts.append(tuple(now))
    return Steps(times_s=tuple(times), amounts=tuple(amounts))


def colour(number: int) -> str:
    """The colour of a unit, as ``#rrggbb``."""
    if number < len(_COLOURS):
        return _COLOURS[number]
    parts = colorsys.hls_to_rgb(number * _GOLDEN % 1, 0.55, 0.45)
    return "#" + "".join(f"{round(part * 255):02x}" for part in parts)


def visible(text: str) -> str:
    """Text without what cannot be seen, or turns the direction of what can."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def longest(timeline: Timeline, count: int) -> Sequence[Span]:
    """The calls that took longest, in the order in which they began."""
    if len(timeline.spans) <= count:
        return timeline.spans
    chosen = sorted(timeline.spans, key=lambda span: -span.call.wall_s)[:count]
    return sorted(chosen, key=lambda span: span.call.began_s)
