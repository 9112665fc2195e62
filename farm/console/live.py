"""A view for terminals: what is being built right now, drawn over itself.

Events only change a few values; a thread of rich draws them some times a second, so
that a compiler that prints thousands of lines costs the build nothing.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from rich.live import Live
from rich.text import Text

from farm.console.summary import Summary, failure_block, say
from farm.console.words import GLYPHS, clock, duration, in_ascii, size, squeeze, used
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
    from collections.abc import Callable, Iterator

    from rich.console import Console, ConsoleOptions, RenderResult

    from farm.events import Event

REFRESHES_PER_S = 8
SPEED_WINDOW_S = 5.0
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_SPINNER = "|/-\\"
_STEP_WIDTH = 12
_COUNT_WIDTH = 11
_CLOCK_WIDTH = 7
_BAR_WIDTH = 32
_LEAST_BAR_WIDTH = 6
_WIDEST = 110  # in a wider window the eye would lose the row
_TASKS_SHOWN = 4
_LINES_KEPT_FREE = 3


@dataclass(slots=True, kw_only=True)
class _Task:
    done: int = 0
    total: int | None = None
    measure: str = "bytes"
    samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=256))

    def take(self, event: TaskProgress) -> None:
        self.done, self.total, self.measure = event.done, event.total, event.unit_of_measure
        self.samples.append((event.time_s, event.done))
        while event.time_s - self.samples[0][0] > SPEED_WINDOW_S and len(self.samples) > 2:  # noqa: PLR2004 - a speed has two ends
            self.samples.popleft()

    def speed(self) -> float | None:
        """Return bytes per second over the last seconds, None while not known."""
        (begin_s, begin), (end_s, end) = self.samples[0], self.samples[-1]
        known = end_s > begin_s and end >= begin and self.measure == "bytes"
        return (end - begin) / (end_s - begin_s) if known else None


@dataclass(slots=True, kw_only=True)
class _Unit:
    label: str
    started_s: float | None = None
    step: str = ""
    last_line: str = ""
    progress: tuple[int, int] | None = None
    finished: UnitFinished | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Frame:
    """Widths and time of one drawing."""

    width: int
    height: int
    label_width: int
    now_s: float


class LiveView:
    """Draws a row for each unit, and bars for what is being fetched.

    Notices and failures are printed above and stay; at the end of the run the rows
    give way to the summary.  ``clock`` returns seconds since the epoch.
    """

    def __init__(self, console: Console, *, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._clock = clock
        self._summary = Summary()
        self._lock = threading.RLock()
        self._units: dict[str, _Unit] = {}
        self._tasks: dict[str, _Task] = {}
        self._compiling: dict[str, Compiling] = {}
        self._live = Live(
            self,
            console=console,
            refresh_per_second=REFRESHES_PER_S,
            transient=True,
            vertical_overflow="crop",
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError, ValueError):  # the terminal may be gone
            self._live.stop()

    def __call__(self, event: Event) -> None:
        """Take one event."""
        with self._lock:
            self._summary(event)
            lines = self._take(event)
        # printed without the lock: rich holds its own while it draws, and drawing takes ours
        if lines:
            with suppress(OSError, ValueError):
                say(self._console, lines)

    def _take(self, event: Event) -> list[Text]:
        """Change the picture; return what is to be printed above it."""
        match event:
            case StepOutput(unit=unit, line=line):
                if line.strip():
                    self._unit(unit).last_line = line
            case StepProgress(unit=unit, done=done, total=total):
                self._unit(unit).progress = (done, total)
            case Compiling(unit=unit):
                self._compiling.pop(unit, None)  # the latest comes last
                self._compiling[unit] = event
            case TaskProgress(task=task, finished=True):
                self._tasks.pop(task, None)
            case TaskProgress(task=task):
                self._tasks.setdefault(task, _Task()).take(event)
            case StepStarted() | StepFinished():
                self._step(event)
            case Notice(text=text, unit=unit):
                return [Text(f"{unit}: {text}" if unit else text, style="yellow")]
            case _:
                return self._run(event)
        return []

    def _step(self, event: StepStarted | StepFinished) -> None:
        unit = self._unit(event.unit)
        self._compiling.pop(event.unit, None)
        if isinstance(event, StepStarted):
            unit.step, unit.progress, unit.last_line = event.step, None, ""
        elif event.step == unit.step:
            unit.progress, unit.last_line = None, ""

    def _run(self, event: Event) -> list[Text]:
        match event:
            case RunStarted(units=units):
                self._units = {label: _Unit(label=label) for label in units}
            case UnitStarted(unit=unit):
                self._unit(unit).started_s = event.time_s
            case UnitFinished(unit=unit):
                self._unit(unit).finished = event
                self._compiling.pop(unit, None)
                if event.outcome is Outcome.FAILED:
                    step = self._summary.failed_step(event)
                    return [Text(""), *failure_block(event, step=step), Text("")]
            case RunFinished():
                self._units.clear()
                self._tasks.clear()
                self._compiling.clear()
                return self._summary.lines(self._console.width)
        return []

    def _unit(self, label: str) -> _Unit:
        return self._units.setdefault(label, _Unit(label=label))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw what is going on now; called by rich's thread."""
        with self._lock:
            longest = max(map(len, self._units), default=0)
            frame = _Frame(
                width=min(options.max_width, _WIDEST),
                height=max(4, console.height - _LINES_KEPT_FREE),
                label_width=min(longest, max(12, options.max_width * 45 // 100)),
                now_s=self._clock(),
            )
            lines = [*self._task_rows(frame), *self._pool_rows(frame), *self._unit_rows(frame)]
        for line in lines:
            if options.ascii_only:
                line.plain = in_ascii(line.plain)
            line.truncate(frame.width, overflow="ellipsis")
            line.no_wrap = True
            yield line

    def _task_rows(self, frame: _Frame) -> Iterator[Text]:
        spinner = self._spinner(frame)
        for name, task in list(self._tasks.items())[:_TASKS_SHOWN]:
            yield _task_row(name, task, frame, spinner)
        if len(self._tasks) > _TASKS_SHOWN:
            yield Text(f"  … and {len(self._tasks) - _TASKS_SHOWN} more", style="dim")

    def _pool_rows(self, frame: _Frame) -> Iterator[Text]:
        """Draw how compilers use their budget, as long as any compile tells of it."""
        if self._compiling:
            yield _pool_row(list(self._compiling.values()), frame, self._spinner(frame))

    def _unit_rows(self, frame: _Frame) -> Iterator[Text]:
        """Draw as much as the window holds: what runs first, then what is over, then the rest."""
        left = frame.height - min(len(self._tasks), _TASKS_SHOWN + 1) - bool(self._compiling)
        units = list(self._units.values())
        running = [unit for unit in units if unit.started_s is not None and not unit.finished]
        with_line = len(units) + len(running) <= left
        if len(units) <= left:
            for unit in units:
                yield from self._rows_of(unit, frame, with_line=with_line)
            return
        for unit in running[: left - 1]:
            yield from self._rows_of(unit, frame, with_line=False)
        yield self._counts(units, max(0, len(running) - (left - 1)))

    def _counts(self, units: list[_Unit], unseen: int) -> Text:
        """Say in one line what has no row."""
        text = Text("  ")
        for outcome in Outcome:
            count = sum(u.finished is not None and u.finished.outcome is outcome for u in units)
            if count:
                text.append(f"{count} {outcome.value}  ", style=GLYPHS[outcome][1])
        waiting = sum(unit.started_s is None and unit.finished is None for unit in units)
        rest = ((unseen, "more running"), (waiting, "waiting"))
        said = "  ".join(f"{count} {word}" for count, word in rest if count)
        return text.append(said, style="dim")

    def _rows_of(self, unit: _Unit, frame: _Frame, *, with_line: bool) -> Iterator[Text]:
        label = f"{squeeze(unit.label, frame.label_width):<{frame.label_width}}  "
        if unit.finished:
            yield _finished_row(unit.finished, label, frame)
        elif unit.started_s is None:
            yield Text(f"· {label}waiting", style="dim")
        else:
            head = Text().append(f"{self._spinner(frame)} ", style="cyan")
            head.append(label, style="bold")
            yield _running_row(unit, head, frame)
            if with_line and unit.last_line:
                yield Text(f"  {unit.last_line.expandtabs(4)}", style="dim")

    def _spinner(self, frame: _Frame) -> str:
        frames = _ASCII_SPINNER if self._console.options.ascii_only else _SPINNER
        return frames[int(frame.now_s * REFRESHES_PER_S) % len(frames)]


def _bar(fraction: float, width: int) -> Text:
    filled = min(width, max(0, round(fraction * width)))
    text = Text("━" * filled, style="cyan")
    return text.append("─" * (width - filled), style="bright_black")  # thin: told without colour


def _aligned(head: Text, tail: str, frame: _Frame) -> Text:
    """Put ``tail`` at the right edge, if there is room for it."""
    gap = frame.width - head.cell_len - len(tail)
    return head.append(" " * max(2, gap)).append(tail)


def _running_row(unit: _Unit, text: Text, frame: _Frame) -> Text:
    text.append(f"{squeeze(unit.step or 'starting', _STEP_WIDTH):<{_STEP_WIDTH}}")
    elapsed = clock(frame.now_s - (unit.started_s or frame.now_s))
    if unit.progress:
        done, total = unit.progress
        count = f"{done}/{total}"
        room = frame.width - text.cell_len - _COUNT_WIDTH - _CLOCK_WIDTH - 4
        if room >= _LEAST_BAR_WIDTH:
            text.append("  ").append_text(_bar(done / max(1, total), min(room, _BAR_WIDTH)))
        text.append(f"  {count}")
    return _aligned(text, elapsed, frame)


def _finished_row(event: UnitFinished, label: str, frame: _Frame) -> Text:
    sign, colour = GLYPHS[event.outcome]
    text = Text().append(f"{sign} ", style=colour).append(label)
    text.append(event.outcome, style=colour)
    return _aligned(text, duration(event.seconds) if event.seconds else "", frame)


def _task_row(name: str, task: _Task, frame: _Frame, spinner: str) -> Text:
    measure = size if task.measure == "bytes" else str
    amount = measure(task.done)
    if task.total:
        amount = f"{amount} of {measure(task.total)}"
    speed = task.speed()
    if speed is not None:
        amount = f"{amount}  {size(speed)}/s"
    name_width = max(12, frame.width * 40 // 100)
    text = Text().append(f"{spinner} ", style="blue")
    text.append(f"{squeeze(name, name_width):<{min(name_width, max(len(name), 24))}}")
    room = frame.width - text.cell_len - len(amount) - 4
    if task.total and room >= _LEAST_BAR_WIDTH:
        text.append("  ").append_text(_bar(task.done / task.total, min(room, _BAR_WIDTH)))
    return _aligned(text, amount, frame)


def _pool_row(told: list[Compiling], frame: _Frame, spinner: str) -> Text:
    """What all compilers take now, by whoever told last, and the hits of all units."""
    now = told[-1]
    noun = "compiler" if now.running == 1 else "compilers"
    text = Text().append(f"{spinner} ", style="magenta").append(f"{now.running} {noun}")
    amount = used(now)
    hits, calls = sum(each.hits for each in told), sum(each.calls for each in told)
    cached = f"{hits} of {calls} from the cache" if hits else f"{calls} done"
    room = frame.width - text.cell_len - len(amount) - len(cached) - 8
    if room >= _LEAST_BAR_WIDTH:
        fraction = now.memory_bytes / max(1, now.budget_bytes)
        text.append("  ").append_text(_bar(fraction, min(room, _BAR_WIDTH)))
    return _aligned(text.append(f"  {amount}"), cached, frame)
