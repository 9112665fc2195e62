"""What is said of a run's end: a table of all units, and why a unit failed."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from rich.text import Text

from farm.console import compiles
from farm.console.gathered import Gathered
from farm.console.words import GLYPHS, duration, in_ascii, size
from farm.events import Outcome

if TYPE_CHECKING:
    from rich.console import Console

    from farm.events import UnitFinished

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_LEAST_WIDTH = 60
WORTH_SAYING_S = 10.0
"""A run that is shorter, and was to be, is held against no forecast."""
_SHORTEST_QUOTE = 6
"""A line of details that is shorter may be part of the message by accident."""


class Summary(Gathered):
    """Knows at the end how each unit went, in plan order."""

    def lines(self, width: int) -> list[Text]:
        """Return the table and the totals; no line is wrapped here."""
        rows = self.ended
        if not rows:
            return []
        label = max(len(row.unit) for row in rows)
        word = max(len(row.outcome) for row in rows)
        time = max(len(_time(row)) for row in rows)
        used = 2 + label + 2 + word + 2 + time + 2
        results = [_results(row) for row in rows]
        beside = all(used + len(text.plain) <= width for result in results for text in result)
        lines: list[Text] = []
        for row, result in zip(rows, results, strict=True):
            lines.append(_row(row, label=label, word=word, time=time))
            for number, text in enumerate(result):
                if beside and not number:
                    lines[-1].append("  ").append_text(text)
                else:
                    indent = used if beside else 4
                    # The message stands whole in the failure's own block.
                    if not row.wheels and row.outcome is not Outcome.STOPPED:
                        text.truncate(max(_LEAST_WIDTH, width) - indent, overflow="ellipsis")
                    lines.append(Text(" " * indent).append_text(text))
        took = compiles.lines(self.compiled, max(_LEAST_WIDTH, width))
        return [*lines, Text(""), *took, *([Text("")] if took else []), self._total(rows)]

    def _total(self, rows: list[UnitFinished]) -> Text:
        text = Text()
        for outcome in Outcome:
            count = sum(row.outcome is outcome for row in rows)
            if count:
                text.append(", " if text else "")
                text.append(f"{count} {outcome}", style=f"bold {GLYPHS[outcome][1]}")
        text.append(f" in {duration(self.seconds)}")
        if self.forecast_s is not None and max(self.forecast_s, self.seconds) >= WORTH_SAYING_S:
            text.append(f" (forecast: {duration(self.forecast_s)})")
        if self.folder:
            text.append(f"  {self.folder}", style="dim")
        return text


def _time(row: UnitFinished) -> str:
    tried = row.outcome in {Outcome.BUILT, Outcome.FAILED} or row.seconds > 0
    return duration(row.seconds) if tried else "–"


def _row(row: UnitFinished, *, label: int, word: int, time: int) -> Text:
    sign, colour = GLYPHS[row.outcome]
    text = Text().append(sign, style=colour).append(f" {row.unit:<{label}}  ")
    text.append(f"{row.outcome:<{word}}", style=colour)
    return text.append(f"  {_time(row):>{time}}")


def _results(row: UnitFinished) -> list[Text]:
    """Return a line for each wheel, or one that says why there is none."""
    if row.outcome in {Outcome.BUILT, Outcome.UNCHANGED}:
        return [_wheel(path) for path in row.wheels]
    if row.outcome is Outcome.STOPPED:
        return [Text(line) for line in (row.message, *row.details)]
    text = Text()
    if row.exit_code and row.outcome is Outcome.FAILED:
        text.append(f"exit {row.exit_code}", style="bold")
    if row.message:
        text.append("  " if text else "").append(row.message.split("\n")[0])
    return [text] if text else []


def _wheel(path: str) -> Text:
    text = Text(os.path.basename(path))  # noqa: PTH119 - a path as text stays text
    with suppress(OSError):  # it may have been moved since; its name is still worth saying
        text.append(f"  {size(os.stat(path).st_size)}", style="dim")  # noqa: PTH116 - as above
    return text


def failure_block(event: UnitFinished, *, step: str = "") -> list[Text]:
    """Return why a unit failed: step, error with context, log, and what repeats it.

    ``step`` is where it failed if the event does not say so itself.
    """
    where = event.step or step
    head = Text(f"{GLYPHS[event.outcome][0]} {event.unit}", style="bold red")
    head.append(f" {event.outcome}{f' in {where}' if where else ''}", style="bold")
    if event.seconds:
        head.append(f" after {duration(event.seconds)}")
    if event.exit_code:
        head.append(f" (exit code {event.exit_code})", style="dim")
    lines = [head, Text(""), *_explanation(event, where), Text("")]
    told = {"log": event.log, "hint": event.hint, "repeat": event.repeat}
    told |= {"reproduce": event.reproduce}
    width = max((len(name) + 1 for name, text in told.items() if text), default=0)
    lines += [
        Text().append(f"  {f'{name}:':<{width}} ", style="dim").append(text)
        for name, text in told.items()
        if text
    ]
    return lines


def _explanation(event: UnitFinished, step: str) -> list[Text]:
    """Return the details with the error in them made plain, or the error before the details."""
    message = event.message.removeprefix(f"{step}: ") if step else event.message
    details = [line for detail in event.details for line in detail.split("\n")]
    quoted = [
        len(line.strip()) >= min(_SHORTEST_QUOTE, len(message)) and line.strip() in message
        for line in details
    ]
    lines = [
        Text(f"    {line}", style="bold" if is_error else "dim")
        for line, is_error in zip(details, quoted, strict=True)
    ]
    if not any(quoted) and message:
        lines = [*(Text(f"  {part}", style="bold") for part in message.split("\n")), *lines]
    return lines


def say(console: Console, lines: list[Text]) -> None:
    """Print lines as they are: the terminal wraps long paths, so that they can be copied.

    No control character that a log or a message may hold reaches a terminal or a CI service.
    """
    for line in lines:
        line.plain = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", line.plain)
        if console.options.ascii_only:
            line.plain = in_ascii(line.plain)
        console.print(line, soft_wrap=True, highlight=False, markup=False)
