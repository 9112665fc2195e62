"""A timeline as one page that needs nothing from outside, and runs nothing but its own script.

Its policy names script and style by their hashes (CSP level 2, "hash-source"), so that no name of
a file could ever run anything; names come as JSON that the script shows as text.
"""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from farm.timeline.spans import colour, longest, visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.timeline.spans import Span, Timeline

MOST_CALLS: Final = 100_000
"""In a page; of more, those that took longest."""


def page(timeline: Timeline) -> str:
    """The page's whole text."""
    script, style = _asset("page.js"), _asset("page.css")
    policy = (
        "default-src 'none'; base-uri 'none'; form-action 'none'; "
        f"script-src {_hash(script)}; style-src {_hash(style)}"
    )
    parts = {
        "policy": policy,
        "title": escape(timeline.title),
        "style": style,
        "data": _inert(data(timeline)),
        "script": script,
    }
    # Split first: what is put in is not looked at again.
    pieces = _asset("page.html").split("@")
    return "".join(parts.get(piece, piece) for piece in pieces)


def data(timeline: Timeline) -> dict[str, Any]:
    """What the page's script draws: times in ms from the beginning, names once, calls as rows."""
    spans = longest(timeline, MOST_CALLS)
    zero = timeline.started_s
    compilers = _index(visible(span.call.compiler) for span in spans)
    kinds = _index(visible(span.call.kind) for span in spans)
    return {
        "started": zero,
        "units": timeline.units,
        "colours": [colour(number) for number in range(len(timeline.units))],
        "lanes": timeline.lanes,
        "compilers": list(compilers),
        "kinds": list(kinds),
        "budget": timeline.budget_bytes,
        "cores": timeline.cores,
        "skipped": timeline.skipped,
        "leftOut": len(timeline.spans) - len(spans),
        "idle": [
            (idle.lane, idle.unit, _ms(idle.begin_s - zero), _ms(idle.end_s - zero))
            for idle in timeline.idle
        ],
        "calls": [_row(span, zero, compilers, kinds) for span in spans],
    }


def _row(
    span: Span, zero: float, compilers: dict[str, int], kinds: dict[str, int]
) -> list[int | float | str]:
    """A call in the order in which the script takes it apart (``FIELDS`` there)."""
    call = span.call
    return [
        span.unit,
        span.lane,
        _ms(call.began_s - zero),
        _ms(call.wall_s),
        _ms(span.waited_s),
        _ms(call.cpu_s),
        call.peak_bytes,
        call.predicted_bytes,
        compilers[visible(call.compiler)],
        kinds[visible(call.kind)],
        call.tries,
        call.status,
        call.cache,
        visible(call.source),
    ]


def _index(names: Iterable[str]) -> dict[str, int]:
    return {name: number for number, name in enumerate(dict.fromkeys(names))}


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _inert(value: object) -> str:
    """JSON in which nothing ends the element that holds it, or begins a comment."""
    text = json.dumps(value, separators=(",", ":"))  # ASCII alone
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


@cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
