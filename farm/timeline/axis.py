"""Round numbers for axes."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SECONDS = (
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300),
    *(600, 900, 1800, 3600, 7200, 14400, 21600, 43200, 86400),
)
_UNITS = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1, "B"))
FAR_BELOW = 0.4
"""Of a budget: where less is used, an axis up to it would show nothing."""


def seconds(span_s: float, most: int) -> Iterator[float]:
    """At most so many marks within a span, at round times."""
    step = _SECONDS[min(bisect_left(_SECONDS, span_s / max(1, most)), len(_SECONDS) - 1)]
    step *= max(1, round(span_s / step / most))
    return (step * n for n in range(int(span_s / step) + 1))


def amounts(most: float, count: int) -> Iterator[float]:
    """At most so many marks up to an amount, at 1, 2 or 5 times a power of ten."""
    raw = max(most / max(1, count), 1.0)
    power = 10.0 ** (len(str(int(raw))) - 1)
    step = next(n * power for n in (1, 2, 5, 10) if n * power >= raw)
    return (step * n for n in range(1, int(most / step) + 1))


def clock(time_s: float, span_s: float) -> str:
    """A time as short as its axis needs: ``1:02:03``, ``2:03``, ``3.5``, all from 0."""
    if span_s < 60:  # noqa: PLR2004 - seconds in a minute
        return f"{time_s:.3f}".rstrip("0").rstrip(".") + " s"
    minutes, rest = divmod(round(time_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if span_s >= 3600 else f"{minutes}:{rest:02d}"  # noqa: PLR2004


def size(amount: float) -> str:
    """Bytes in decimal units, in three digits."""
    unit, name = next((each for each in _UNITS if amount >= each[0]), _UNITS[-1])
    return f"{amount / unit:.3g} {name}"


def top(most: float, budget: float | None) -> float:
    """Where an axis of memory ends: above the budget, unless far less was used."""
    above = budget if budget and most >= budget * FAR_BELOW else 0
    return max(most, above, 1) * 1.08
