"""A view for logs: one line for each thing that happens, with its time and its unit."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from rich.text import Text

from farm.console.summary import Summary, failure_block, say
from farm.console.words import GLYPHS, duration, size, used
from farm.events import (
    Compiling,
    Notice,
    Outcome,
    RunFinished,
    RunStarted,
    StepFinished,
    StepOutput,
    StepProgress,
    StepStarted,
    TaskProgress,
    UnitFinished,
    UnitStarted,
)

if TYPE_CHECKING:
    from rich.console import Console

    from farm.console.services import Service
    from farm.events import Event

EVERY_PER_CENT = 10
EVERY_S = 10.0
_LABEL_WIDTH = 40
_STEP_WIDTH = 12
_LINE_CHARACTERS = 120
_LOG_LINES = 100


@dataclass(slots=True, kw_only=True)
class _Pace:
    """When something last told of its progress."""

    time_s: float
    per_cent: float = 0.0

    def due(self, now_s: float, per_cent: float | None) -> bool:
        """Tell whether it is time to tell again."""
        leap = per_cent is not None and per_cent - self.per_cent >= EVERY_PER_CENT
        return leap or now_s - self.time_s >= EVERY_S


def _beside(now: Compiling | None) -> str:
    """What stands behind a step's progress: how compilers use their budget."""
    if now is None:
        return ""
    noun = "compiler" if now.running == 1 else "compilers"
    hits = f", {now.hits} hit{'' if now.hits == 1 else 's'}" if now.hits else ""
    return f"  ({now.running} {noun}, {used(now)}{hits})"


class PlainView:
    """Prints lines such as ``05:12:07  llama-cpp-python@0.2.44:cpu  compile  [12/34] …``.

    In a job of a CI ``service`` the end of each log is there to be unfolded, and failures
    are annotations where it has such; it reads commands again once the view is left.
    """

    def __init__(self, console: Console, *, service: Service | None = None) -> None:
        self._console = console
        self._service = service
        self._begun = False
        self._summary = Summary()
        self._lock = threading.Lock()
        self._width = 0
        self._last_lines: dict[str, str] = {}
        self._compiling: dict[str, Compiling] = {}
        self._paces: dict[tuple[str, str], _Pace] = {}

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock, suppress(OSError, ValueError):  # ValueError: the stream is closed
            self._summary(event)
            if self._service and not self._begun:
                self._begun = True
                self._write(self._service.begin())
            self._show(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Let the service read commands again."""
        if self._service and self._begun:
            with suppress(OSError, ValueError):
                self._write(self._service.end())

    def _show(self, event: Event) -> None:
        match event:
            case StepOutput(unit=unit, line=line):
                self._last_lines[unit] = line
            case Compiling(unit=unit):
                self._compiling[unit] = event
            case StepProgress():
                self._step_goes_on(event)
            case StepStarted(unit=unit, step=step):
                self._paces[unit, step] = _Pace(time_s=event.time_s)
                self._line(event, unit, step, "…")
            case StepFinished(unit=unit, step=step):
                self._step_ended(event)
            case TaskProgress():
                self._task(event)
            case Notice(unit=unit, text=text):
                self._line(event, unit or "", "", text)
            case _:
                self._run(event)

    def _run(self, event: Event) -> None:
        match event:
            case RunStarted(run=run, units=units):
                self._width = min(_LABEL_WIDTH, max(map(len, units), default=0))
                count = f"{len(units)} unit{'' if len(units) == 1 else 's'}"
                self._line(event, "", "", f"run {run}: {count}")
            case UnitStarted(unit=unit, max_jobs=jobs):
                self._line(event, unit, "", f"begins, MAX_JOBS={jobs}")
            case UnitFinished():
                self._unit_ended(event)
            case RunFinished():
                lines = self._summary.lines(self._console.width)
                say(self._console, [Text(""), *lines] if lines else [])

    def _step_goes_on(self, event: StepProgress) -> None:
        pace = self._paces.setdefault((event.unit, event.step), _Pace(time_s=event.time_s))
        per_cent = 100 * event.done / max(1, event.total)
        if not pace.due(event.time_s, per_cent):
            return
        pace.time_s, pace.per_cent = event.time_s, per_cent
        said = self._last_lines.get(event.unit, "").lstrip()
        text = said if said.startswith("[") else f"[{event.done}/{event.total}]"
        now = self._compiling.get(event.unit)
        self._line(event, event.unit, event.step, text[:_LINE_CHARACTERS] + _beside(now))

    def _step_ended(self, event: StepFinished) -> None:
        if event.error:
            text = Text(f"failed: {event.error}", style="red")
        elif event.cached:
            text = Text("cached", style="dim")
        else:
            text = Text(f"done in {duration(event.seconds)}")
        self._line(event, event.unit, event.step, text)

    def _task(self, event: TaskProgress) -> None:
        pace = self._paces.setdefault((event.task, ""), _Pace(time_s=event.time_s))
        if not event.finished and not pace.due(event.time_s, None):
            return
        pace.time_s = event.time_s
        measure = size if event.unit_of_measure == "bytes" else str
        amount = measure(event.done)
        if event.finished:
            del self._paces[event.task, ""]
            amount = f"done, {amount}"
        elif event.total:
            amount = f"{amount} of {measure(event.total)}"
        self._line(event, "", "", f"{event.task}: {amount}")

    def _unit_ended(self, event: UnitFinished) -> None:
        sign, colour = GLYPHS[event.outcome]
        text = Text(f"{sign} {event.outcome}", style=colour)
        if event.seconds:
            text.append(f" after {duration(event.seconds)}", style="default")
        if event.message and event.outcome is not Outcome.FAILED:
            text.append(f": {event.message}", style="default")
        self._line(event, event.unit, "", text)
        if event.outcome is Outcome.FAILED:
            step = self._summary.failed_step(event)
            say(self._console, [Text(""), *failure_block(event, step=step), Text("")])
            self._annotate(event, step)
        if self._service and event.outcome in {Outcome.BUILT, Outcome.FAILED}:
            self._log_end(self._service, event)

    def _annotate(self, event: UnitFinished, step: str) -> None:
        if self._service:
            title = f"{event.unit} failed{f' in {step}' if step else ''}"
            message = event.message
            self._write(
                self._service.error(message, title=title, file=event.file, line=event.line)
            )

    def _log_end(self, service: Service, event: UnitFinished) -> None:
        """Print a log's last lines, folded."""
        from pathlib import Path

        from farm.run.error_lines import clean
        from farm.run.logs import tail

        lines = tail(Path(event.log), _LOG_LINES) if event.log else []
        if lines:
            self._write(service.group(f"{event.unit}: its log's end"))
            say(self._console, [Text(clean(line)) for line in lines])
            self._write(service.group_end())

    def _write(self, text: str) -> None:
        self._console.file.write(text)
        self._console.file.flush()

    def _line(self, event: Event, unit: str, step: str, text: str | Text) -> None:
        stamp = time.strftime("%H:%M:%S", time.localtime(event.time_s))
        line = Text().append(stamp, style="dim").append("  ")
        if unit:
            line.append(f"{unit:<{self._width}}  ")
        if step:
            line.append(f"{step:<{_STEP_WIDTH}}  ")
        say(self._console, [line.append(text)])
