"""Read the stream that ``buildx build --progress=rawjson`` writes, and make events of it.

Each line is a JSON object, BuildKit's ``SolveStatus`` (client/graph.go): lists of
``vertexes`` (one for each operation), ``statuses`` (transfers), ``logs`` (base64).
Lines that are no JSON follow after an error.  A vertex that belongs to a
Dockerfile's stage is called ``[stage n/m] …``; the stage is the farm's step.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from farm.events import Compiling, StepFinished, StepOutput, StepProgress, StepStarted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.events import Event

ENGINE_STEP = "engine"
"""The step of everything that is in no stage: contexts, image lookups, exporting."""

CLIPPED = b"[output clipped, log limit"
FARM_ERROR = "farm: error: "
NO_SPACE = b"no space left on device"
LINE_BYTES = 1 << 16
"""Longer lines are shown cut; the whole ones are in the step's own log."""
PLAIN_LINES = 200

_STAGE = re.compile(r"\[(?:[a-z0-9]+/[a-z0-9/]+ )?(?P<stage>[^\s\]]+) +(?P<n>\d+)/(?P<m>\d+)\] ")
_COUNT = re.compile(r"\s*\[\s*(?P<done>\d+)/(?P<total>\d+)\]")  # ninja; "of" is always > 0
_PERCENT = re.compile(r"\s*\[\s*(?P<done>\d{1,3})%\]")  # make, as cmake generates it
_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\0-\x08\x0a-\x1f\x7f]"
)
_POOL_SIGN = "farm: pool: "
_POOL = re.compile(
    _POOL_SIGN + r"running=(?P<running>\d{1,5}) bytes=(?P<memory_bytes>\d{1,18})"
    r" of=(?P<budget_bytes>\d{1,18}) calls=(?P<calls>\d{1,9}) hits=(?P<hits>\d{1,9})"
)
"""How the compile step says how compilers use their budget (farm.inside.step)."""
_IMPORTS = "importing cache manifest"
_EXPORTS = ("exporting cache", "exporting to GitHub")
_NOT_THERE = re.compile(r"WARNING: (?P<text>local cache import .*)")
_SOLVE_ERROR = re.compile(r"(?:ERROR|error): (?P<text>.*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class StepSummary:
    """One step of a build, over: ``seconds`` of work, and whether all came from the cache."""

    name: str
    seconds: float
    cached: bool
    error: str = ""


@dataclass(slots=True, kw_only=True)
class _Vertex:
    """An operation.  It may run in several intervals: its start time → its end time."""

    step: str
    index: int = 1
    total: int = 1
    is_from: bool = False
    cached: bool = False
    done: bool = False
    error: str = ""
    intervals: dict[float, float] = field(default_factory=dict)
    pending: bytes = b""

    @property
    def seconds(self) -> float:
        return sum(end - start for start, end in self.intervals.items())


@dataclass(slots=True, kw_only=True)
class _Step:
    vertexes: list[_Vertex] = field(default_factory=list)
    open: bool = False
    told: bool = False

    def begun(self) -> float:
        starts = (start for vertex in self.vertexes for start in vertex.intervals)
        return min(starts, default=math.inf)

    def complete(self) -> bool:
        """Tell whether every operation of the stage is known and done."""
        last = max((vertex.total for vertex in self.vertexes), default=0)
        indexes = {vertex.index for vertex in self.vertexes if vertex.done}
        return len(indexes) >= last and all(vertex.done for vertex in self.vertexes)

    def summary(self, name: str) -> StepSummary:
        return StepSummary(
            name=name,
            seconds=round(sum(vertex.seconds for vertex in self.vertexes), 3),
            cached=all(vertex.cached for vertex in self.vertexes if not vertex.is_from),
            error=next((vertex.error for vertex in self.vertexes if vertex.error), ""),
        )


def progress(line: str) -> tuple[int, int] | None:
    """Return (done, total) where a line begins as ninja's or cmake's progress does."""
    count = _COUNT.match(line)
    if count and 0 < int(count["total"]) >= int(count["done"]):
        return int(count["done"]), int(count["total"])
    percent = _PERCENT.match(line)
    if percent and int(percent["done"]) <= 100:  # noqa: PLR2004 - per cent
        return int(percent["done"]), 100
    return None


def readable(line: bytes) -> str:
    """Return a line as text that a terminal shows and does not obey.

    Undecodable bytes are replaced; of a line that was overwritten with carriage
    returns the last state is kept; escape sequences and control characters go.
    """
    cut = line if len(line) <= LINE_BYTES else line[:LINE_BYTES] + " …".encode()
    text = cut.decode("utf-8", "replace").rstrip("\r").rsplit("\r", 1)[-1]
    return _CONTROL.sub("", text)


def seconds(stamp: object) -> float | None:
    """Return the seconds since the epoch of a Go time stamp (RFC 3339, nanoseconds).

    Anything else gives None: a stream that is odd in one place is still read on.
    """
    try:
        return datetime.fromisoformat(str(stamp)).timestamp()
    except (ValueError, OverflowError):
        return None


class Progress:
    """The state of one build's stream: bytes in, events out.  It does no input or output."""

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._rest = b""
        self._spread: list[bytes] = []
        self._vertexes: dict[str, _Vertex] = {}
        self._steps: dict[str, _Step] = {}
        self.no_space = False
        self.plain: list[str] = []
        self.farm_errors: list[str] = []
        self.unimported: list[str] = []
        """Why caches of layers gave nothing, which fails no build."""
        self.unexported = ""
        """Why a cache of layers could not be written."""

    def feed(self, data: bytes) -> list[Event]:
        """Take the next bytes, which may end anywhere; return what they tell."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [event for line in lines for event in self._whole(line)]

    def close(self) -> list[Event]:
        """Take the end of the stream: whatever is open ends here."""
        rest, self._rest = self._rest, b""
        events = [event for line in [*self._spread, rest] for event in self._line(line)]
        self._spread.clear()
        for vertex in self._vertexes.values():
            if vertex.pending:
                events.extend(self._output(vertex, [vertex.pending]))
                vertex.pending = b""
        for name, step in self._steps.items():
            if step.open:
                events.append(self._finish(name, step))
        return events

    def steps(self) -> tuple[StepSummary, ...]:
        """Return the steps so far, in the order in which they began; idle ones come last."""
        ordered = sorted(self._steps.items(), key=lambda item: item[1].begun())
        return tuple(step.summary(name) for name, step in ordered)

    def error(self) -> str:
        """Return the build's error in BuildKit's words (``failed to solve: …`` and after)."""
        for line in reversed(self.plain):
            found = _SOLVE_ERROR.match(line)
            if found:
                text = found["text"]
                return text[text.find("failed to solve") :] if "failed to solve" in text else text
        errors = [v.error for v in self._vertexes.values() if v.error]
        own = [text for text in errors if "context canceled" not in text]
        return next(iter(own or errors), "")

    def _whole(self, line: bytes) -> Iterator[Event]:
        """Take one line; buildx 0.13 spreads an object over several, later ones write one line."""
        if line == b"{" or self._spread:
            self._spread.append(line)
            if line != b"}":
                return
            line = b"".join(self._spread)
            self._spread.clear()
        yield from self._line(line)

    def _line(self, line: bytes) -> Iterator[Event]:
        if not line.strip():
            return
        message = _object(line)
        if message is None:
            text = readable(line)
            self.plain = [*self.plain, text][-PLAIN_LINES:]
            if found := _NOT_THERE.match(text):
                self.unimported.append(found["text"])
            return
        touched: dict[str, None] = {}
        for item in _items(message, "vertexes"):
            touched[self._vertex(item)] = None
        # A vertex may end and begin again within one message, so look when all is read;
        # then step by step, so that one is told to have ended before the next begins.
        logs = list(_items(message, "logs"))
        for name in sorted(touched, key=lambda name: self._steps[name].begun()):
            yield from self._opened(name)
            yield from (
                event for item in logs if self._step(item) == name for event in self._log(item)
            )
            yield from self._closed(name)
        for item in logs:
            if self._step(item) not in touched:
                yield from self._log(item)

    def _step(self, item: dict[str, Any]) -> str:
        """Return the step to which a log entry belongs, or nothing."""
        vertex = self._vertexes.get(str(item.get("vertex", "")))
        return vertex.step if vertex else ""

    def _vertex(self, item: dict[str, Any]) -> str:
        """Take news about an operation; return its step."""
        digest = str(item.get("digest", ""))
        vertex = self._vertexes.get(digest)
        if vertex is None:
            vertex = self._vertexes[digest] = _named(str(item.get("name", "")))
            self._steps.setdefault(vertex.step, _Step()).vertexes.append(vertex)
        vertex.cached = vertex.cached or bool(item.get("cached"))
        self._failed(vertex, str(item.get("name", "")), str(item.get("error") or ""))
        start, end = seconds(item.get("started")), seconds(item.get("completed"))
        if start is not None:
            vertex.intervals[start] = start if end is None else max(start, end)
        vertex.done = end is not None
        return vertex.step

    def _failed(self, vertex: _Vertex, name: str, error: str) -> None:
        """Take the error of an operation; a cache that gives nothing is no fault of the build."""
        if error and name.startswith(_IMPORTS):
            self.unimported.append(error)
        elif error:
            vertex.error = error
            self.unexported = error if name.startswith(_EXPORTS) else self.unexported

    def _opened(self, name: str) -> Iterator[Event]:
        step = self._steps[name]
        # looking up an image happens twice, and is no news the second time
        running = any(
            vertex.intervals and not vertex.done and not (vertex.is_from and step.told)
            for vertex in step.vertexes
        )
        ended = any(vertex.done for vertex in step.vertexes) and not step.told
        if not step.open and (running or ended) and name != ENGINE_STEP:
            step.open = step.told = True
            yield StepStarted(unit=self._unit, step=name)

    def _closed(self, name: str) -> Iterator[Event]:
        step = self._steps[name]
        if step.open and step.complete():
            yield self._finish(name, step)

    def _finish(self, name: str, step: _Step) -> StepFinished:
        step.open = False
        told = step.summary(name)
        return StepFinished(
            unit=self._unit,
            step=name,
            seconds=told.seconds,
            cached=told.cached,
            error=told.error,
        )

    def _log(self, item: dict[str, Any]) -> Iterator[Event]:
        vertex = self._vertexes.get(str(item.get("vertex", "")))
        try:
            data = base64.b64decode(item.get("data") or "")
        except (binascii.Error, ValueError, TypeError):
            return
        if vertex is None:
            return
        self.no_space = self.no_space or NO_SPACE in data.lower()
        # everything beyond LINE_BYTES of an unfinished line is dropped, but not its end
        *lines, rest = (vertex.pending + data).split(b"\n")
        vertex.pending = rest[: LINE_BYTES + 1]
        yield from self._output(vertex, lines)

    def _output(self, vertex: _Vertex, lines: list[bytes]) -> Iterator[Event]:
        for line in _readable_lines(lines):
            if line.startswith(FARM_ERROR):
                self.farm_errors.append(line.removeprefix(FARM_ERROR))
            if used := _POOL.fullmatch(line) if line.startswith(_POOL_SIGN) else None:
                numbers = {name: int(number) for name, number in used.groupdict().items()}
                yield Compiling(unit=self._unit, **numbers)
                continue
            yield StepOutput(unit=self._unit, step=vertex.step, line=line)
            counted = progress(line) if line.lstrip().startswith("[") else None
            if counted:
                done, total = counted
                yield StepProgress(unit=self._unit, step=vertex.step, done=done, total=total)


def _readable_lines(lines: list[bytes]) -> list[str]:
    """Return lines as ``readable`` does, quickly where there is nothing to clean.

    buildx gives up three seconds after the end if nobody has read what it has
    to say, and a compile can write 100,000 lines in a second.
    """
    whole = b"\n".join(lines).decode("utf-8", "replace")
    plain = whole.replace("\n", "").replace("\t", "").isprintable()
    if plain and max(map(len, lines), default=0) <= LINE_BYTES:
        return whole.split("\n") if lines else []
    return [readable(line) for line in lines]


def _object(line: bytes) -> dict[str, Any] | None:
    """Return a line's JSON object, or None if it is plain text."""
    if not line.startswith(b"{"):
        return None
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _items(message: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    """Return the objects of a list that may be absent or null."""
    items = message.get(key)
    yield from (
        item for item in (items if isinstance(items, list) else ()) if isinstance(item, dict)
    )


def _named(name: str) -> _Vertex:
    """Return a new operation, its step read from its name."""
    found = _STAGE.match(name)
    if not found:
        return _Vertex(step=ENGINE_STEP)
    rest = name[found.end() :]
    return _Vertex(
        step=found["stage"],
        index=int(found["n"]),
        total=int(found["m"]),
        is_from=rest.startswith("FROM "),
    )
