"""A run as Markdown: a table of its units and why some failed, for a CI service's page.

All that a recipe, a package or a compiler had a say in is shown as the text that it is: every
sign that Markdown or HTML reads is written as a character reference.
"""

from __future__ import annotations

import html
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.console import compiles
from farm.console.words import GLYPHS, duration, size
from farm.events import Outcome
from farm.store.record import read_record

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from farm.console.gathered import Gathered
    from farm.events import Compiled, UnitFinished
    from farm.store.record import Record

MOST_BYTES = 1 << 20
"""What GitHub shows of a step, in all that it appends:
https://docs.github.com/en/actions/reference/workflow-commands#step-isolation-and-limits"""
_DETAIL_CHARACTERS = 4000
_COLUMNS = ("unit", "state", "time", "forecast", "wheel", "architectures proved", "log")
# What nothing reads into anything.  "www." becomes a link by itself, as "http:" does.
_SIGN = re.compile(r"[^\w\s./,=+-]|_|(?<=www)\.", re.IGNORECASE)
_ORDER = tuple(Outcome)


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkdownReport:
    """What a run came to.  ``forecasts`` are seconds by label, ``here`` is where paths start."""

    gathered: Gathered
    forecasts: Mapping[str, float]
    here: Path

    def text(self, most_bytes: int = MOST_BYTES) -> str:
        """The page, cut between units where it would be longer."""
        rows = self.gathered.ended
        parts = [f"### farm: {_total(rows, self.gathered)}\n\n"]
        parts += [_table_head(*_COLUMNS)]
        parts += [self._row(row) for row in rows]
        parts += ["\n", *_compiles(self.gathered.compiled)]
        parts += [self._failure(row) for row in rows if row.outcome is Outcome.FAILED]
        return _within(parts, most_bytes)

    def _row(self, row: UnitFinished) -> str:
        record = read_record(Path(row.wheels[0]).parent) if row.wheels else None
        cells = (
            shown(row.unit),
            f"{GLYPHS[row.outcome][0]} {row.outcome.value}",
            duration(row.seconds) if row.seconds else "",
            _forecast(row, self.forecasts.get(row.unit)),
            shown(", ".join(_wheels(record))),
            shown(_proved(record)),
            shown(self._path(row.log)),
        )
        return f"| {' | '.join(cells)} |\n"

    def _failure(self, row: UnitFinished) -> str:
        step = self.gathered.failed_step(row)
        title = f"{row.unit} failed{f' in {step}' if step else ''} (exit code {row.exit_code})"
        quoted = "\n".join((row.message, *row.details))[:_DETAIL_CHARACTERS]
        lines = [f"#### {shown(title)}\n\n<pre>{html.escape(visible(quoted))}</pre>\n"]
        told = (("log", self._path(row.log)), ("hint", row.hint), ("repeat", row.repeat))
        lines += [f"\n{name}: {shown(text)}\n" for name, text in told if text]
        return "".join(lines) + "\n"

    def _path(self, path: str) -> str:
        """A path as short as it can be said here."""
        inside = path and Path(path).is_relative_to(self.here)
        return os.path.relpath(path, self.here) if inside else path


def shown(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    one_line = " ".join(visible(text).split())
    return _SIGN.sub(lambda found: f"&#{ord(found[0])};", one_line)


def visible(text: str) -> str:
    """Text without what cannot be seen, or turns the direction of what can."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


def _total(rows: list[UnitFinished], gathered: Gathered) -> str:
    counts = ((outcome, sum(row.outcome is outcome for row in rows)) for outcome in _ORDER)
    said = ", ".join(f"{count} {outcome.value}" for outcome, count in counts if count)
    forecast_s = gathered.forecast_s
    forecast = f" (forecast: {duration(forecast_s)})" if forecast_s is not None else ""
    return f"{said or 'no unit'} in {duration(gathered.seconds)}{forecast}"


def _forecast(row: UnitFinished, seconds: float | None) -> str:
    return duration(seconds) if seconds and row.outcome is not Outcome.UNCHANGED else ""


def _wheels(record: Record | None) -> list[str]:
    return [size(wheel.size_bytes) for wheel in record.wheels] if record else []


def _proved(record: Record | None) -> str:
    """Architectures for which machine code was found in the wheel."""
    modules: Any = record.contents.get("modules", ()) if record else ()
    code = (each for module in modules for each in module.get("device_code", ()))
    archs = {each["arch"] for each in code if each.get("kind") == "machine code"}
    return " ".join(sorted(archs))


def _compiles(compiled: Sequence[Compiled]) -> Iterator[str]:
    """What compilers took, a row for each unit; the longest and the largest are folded."""
    if not compiled:
        return
    yield _table_head("compiled", "calls", "wall", "CPU", "peak", "cache hits")
    for each in compiled:
        rates = (compiles.hit_rate(each.hits, each.misses), compiles.hits_by_compiler(each))
        cells = (
            shown(each.unit),
            str(each.count),
            duration(each.wall_s),
            duration(each.cpu_s),
            size(each.at_once_bytes),
            shown(": ".join(filter(None, rates))),
        )
        yield f"| {' | '.join(cells)} |\n"
    yield "\n<details><summary>The longest and the largest compiles</summary>\n\n"
    yield _table_head("longest", "", "unit", "largest", "", "unit")
    pairs = zip(compiles.longest(compiled), compiles.largest(compiled), strict=True)
    for long, large in pairs:
        cells = (
            *(shown(long.call.source), duration(long.figure), shown(long.unit)),
            *(shown(large.call.source), size(large.figure), shown(large.unit)),
        )
        yield f"| {' | '.join(cells)} |\n"
    yield "\n</details>\n\n"


def _table_head(*columns: str) -> str:
    return f"| {' | '.join(columns)} |\n|{' --- |' * len(columns)}\n"


def _within(parts: Iterable[str], most_bytes: int) -> str:
    text: list[str] = []
    left = most_bytes
    rest = "\n\nThe rest is left out: it would be longer than a page may be.\n"
    for part in parts:
        left -= len(part.encode())
        if left < len(rest):
            return "".join([*text, rest] if left + len(part.encode()) >= len(rest) else text)
        text.append(part)
    return "".join(text)
