"""How planning grows, drawn as SVG by hand: one line of points, axes from zero."""

from __future__ import annotations

from math import ceil, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.bench.planning import Planned

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 56, 40, 56
TIME, MEMORY, INK, GRID = "#2563eb", "#d97706", "#334155", "#e2e8f0"


def svg(planned: list[Planned], about: Mapping[str, str]) -> str:
    """Seconds (left axis) and peak memory (right axis) over the number of units."""
    most_units = planned[-1].units
    seconds = _round_up(max(min(each.wall_s) for each in planned))
    megabytes = _round_up(max(each.peak_rss_bytes for each in planned) / 1e6)
    times = [(each.units / most_units, min(each.wall_s) / seconds) for each in planned]
    memory = [(each.units / most_units, each.peak_rss_bytes / 1e6 / megabytes) for each in planned]
    title = f"Planning, YAML to units: the quickest of {len(planned[0].wall_s)} processes each"
    below = f"{about['processor']}, {about['cores']} cores, Python {about['python']}"
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
            f'font-family="system-ui, sans-serif" font-size="12" fill="{INK}">'
        ),
        f"<title>{title}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="22" font-size="14">{title}</text>',
        *_grid(most_units, seconds, megabytes),
        *_line(memory, MEMORY),
        *_line(times, TIME),
        f'<text x="{LEFT}" y="{HEIGHT - 10}" fill="#64748b">{below}, {about["date"]}</text>',
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _round_up(value: float) -> float:
    """The next number above whose quarters are short: 1, 2, 4, 6, 8 or 10 times a power of ten."""
    power = 10.0 ** ceil(log10(value) - 1)
    steps = (step * power for step in (1, 2, 4, 6, 8, 10))
    return float(next(step for step in steps if step >= value))


def _at(point: tuple[float, float]) -> tuple[float, float]:
    x = LEFT + point[0] * (WIDTH - LEFT - RIGHT)
    y = HEIGHT - BOTTOM - point[1] * (HEIGHT - TOP - BOTTOM)
    return round(x, 1), round(y, 1)


def _grid(units: int, seconds: float, megabytes: float) -> Iterator[str]:
    for step in range(5):
        share = step / 4
        x, y = _at((share, share))
        yield f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="{GRID}"/>'
        yield _label(LEFT - 8, y + 4, f"{seconds * share:g} s", "end", TIME)
        yield _label(WIDTH - RIGHT + 8, y + 4, f"{megabytes * share:g} MB", "start", MEMORY)
        yield _label(x, HEIGHT - BOTTOM + 18, f"{units * share:,.0f}", "middle", INK)
    yield _label(WIDTH - RIGHT, HEIGHT - BOTTOM + 34, "units", "end", INK)


def _label(x: float, y: float, text: str, anchor: str, colour: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{colour}">{text}</text>'


def _line(points: list[tuple[float, float]], colour: str) -> Iterator[str]:
    places = [_at(point) for point in points]
    path = " ".join(f"{x},{y}" for x, y in places)
    yield f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>'
    for x, y in places:
        yield f'<circle cx="{x}" cy="{y}" r="3.5" fill="{colour}"/>'
