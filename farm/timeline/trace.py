"""A timeline as Chrome's trace events, for chrome://tracing and Perfetto.

The format: "Trace Event Format", by the Chromium project (JSON object format; complete events
``X``, counters ``C``, nestable async events ``b`` and ``e``, metadata ``M``).  Times are in µs.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from farm.timeline.spans import SHORTEST_WAIT_S, memory, visible, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.timeline.spans import Span, Steps, Timeline

_SLOTS, _QUEUE = 1, 2
"""What the viewer shows as processes."""


def trace(timeline: Timeline) -> str:
    """The whole trace; time begins with the first call."""
    events = [*_names(timeline), *_calls(timeline), *_counters(timeline)]
    about = {
        "generator": "farm timeline",
        "title": timeline.title,
        "started_s": timeline.started_s,
        "budget_bytes": timeline.budget_bytes,
        "cores": timeline.cores,
    }
    whole = {"otherData": about, "displayTimeUnit": "ms", "traceEvents": events}
    return json.dumps(whole, separators=(",", ":")) + "\n"


def _names(timeline: Timeline) -> Iterator[dict[str, Any]]:
    for pid, name in ((_SLOTS, "slots"), (_QUEUE, "waiting")):
        yield {"ph": "M", "name": "process_name", "pid": pid, "tid": 0, "args": {"name": name}}
    for lane, name in enumerate(timeline.lanes):
        about = {"pid": _SLOTS, "tid": lane}
        yield {"ph": "M", "name": "thread_name", **about, "args": {"name": name}}
        yield {"ph": "M", "name": "thread_sort_index", **about, "args": {"sort_index": lane}}


def _calls(timeline: Timeline) -> Iterator[dict[str, Any]]:
    zero = timeline.started_s
    for number, span in enumerate(timeline.spans):
        call, unit = span.call, timeline.units[span.unit]
        name = visible(call.source.rpartition("/")[2] or call.source)
        began = _us(call.began_s - zero)
        yield {
            "ph": "X",
            "name": name,
            "cat": unit,
            "pid": _SLOTS,
            "tid": span.lane,
            "ts": began,
            "dur": _us(call.wall_s),
            "args": _arguments(span, unit),
        }
        if span.waited_s > SHORTEST_WAIT_S:
            about = {"name": name, "cat": unit, "pid": _QUEUE, "tid": 0, "id": number}
            yield {"ph": "b", **about, "ts": _us(span.waits_from_s - zero)}
            yield {"ph": "e", **about, "ts": began}


def _arguments(span: Span, unit: str) -> dict[str, Any]:
    call = span.call
    return {
        "unit": unit,
        "source": visible(call.source),
        "compiler": visible(call.compiler),
        "kind": visible(call.kind),
        "cpu_s": call.cpu_s,
        "waited_s": round(span.waited_s, 3),
        "peak_bytes": call.peak_bytes,
        "predicted_bytes": call.predicted_bytes,
        "cache": call.cache,
        "tries": call.tries,
        "status": call.status,
    }


def _counters(timeline: Timeline) -> Iterator[dict[str, Any]]:
    yield from _counter("memory (bytes)", memory(timeline), timeline)
    yield from _counter("waiting", waiting(timeline), timeline)


def _counter(name: str, steps: Steps, timeline: Timeline) -> Iterator[dict[str, Any]]:
    for when, amounts in zip(steps.times_s, steps.amounts, strict=True):
        yield {
            "ph": "C",
            "name": name,
            "pid": _SLOTS,
            "tid": 0,
            "ts": _us(when - timeline.started_s),
            "args": dict(zip(timeline.units, amounts, strict=True)),
        }


def _us(seconds: float) -> int:
    return round(seconds * 1e6)
