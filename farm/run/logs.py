"""Readable logs of units: written live, made whole afterwards, read back.

A unit's ``build.log`` holds lines of three forms, each after its UTC time::

    2026-11-22T05:12:00.123Z ==> compile                 a step begins
    2026-11-22T05:12:00.456Z [compile] cc -c x.c         a step's output
    2026-11-22T05:14:10.789Z <== compile: done in 130 s  a step is over

An engine may have clipped the output; `compose` puts the step's own log in its place.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
from contextlib import AbstractContextManager, suppress
from typing import TYPE_CHECKING, BinaryIO

from farm.events import (
    Notice,
    StepFinished,
    StepOutput,
    StepStarted,
    UnitFinished,
    UnitStarted,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from farm.events import Event

BUILD_LOG = "build.log"
COMPILE_LOG = "compile.log"
"""The bytes that the compile itself printed."""
CALLS = "calls.jsonl"
"""What each call of a compiler took, a line of JSON each (inside/gate.c)."""
PIECE_BYTES = 1 << 20
"""Longer lines are handled in pieces, so that no line has to fit into memory."""

_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z ")
_STAMP_BYTES = 25
_POLL_S = 0.2


def timestamp(seconds: float) -> str:
    """Return ISO-8601 in UTC with milliseconds."""
    whole, milliseconds = divmod(int(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{milliseconds:03d}Z"


class _File:
    """A log that is appended to, whether or not it is replaced meanwhile by a whole one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("ab", buffering=0)

    def write(self, line: str) -> None:
        # the engine's answer may hold anything; a line of the log is one line
        text = line.replace("\n", " ").encode("utf-8", "replace")
        self._stream.write(text + b"\n")

    def look_again(self) -> None:
        """Open what now has the log's name, if that is another file."""
        try:
            same = os.path.samestat(self._path.stat(), os.fstat(self._stream.fileno()))
        except OSError:
            same = False
        if not same:
            self._stream.close()
            self._stream = self._path.open("ab", buffering=0)

    def close(self) -> None:
        self._stream.close()


class LogWriter(AbstractContextManager["LogWriter"]):
    """A sink that writes ``build.log`` into the folder of each unit, line by line, at once.

    ``folders`` maps a unit's label to its folder.  A sink must not raise: the first
    failure to write (a full disk, say) is kept in ``failure`` instead.
    """

    def __init__(self, folders: Mapping[str, Path]) -> None:
        self.failure: OSError | None = None
        self._folders = dict(folders)
        self._files: dict[str, _File] = {}
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        """Write what the event says, if it belongs to a unit."""
        unit = getattr(event, "unit", None)
        line = _line(event)
        if unit not in self._folders or line is None:
            return
        with self._lock:
            try:
                self._write(unit, event, f"{timestamp(event.time_s)} {line}")
            except OSError as error:
                self.failure = self.failure or error

    def close(self) -> None:
        """Close every log."""
        with self._lock:
            for file in self._files.values():
                with suppress(OSError):
                    file.close()
            self._files.clear()

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, unit: str, event: Event, line: str) -> None:
        file = self._files.get(unit)
        if file is None:
            if isinstance(event, UnitFinished):
                return  # it was never begun: there is nothing to keep
            file = self._files[unit] = _File(self._folders[unit] / BUILD_LOG)
        elif not isinstance(event, StepOutput):
            file.look_again()
        file.write(line)
        if isinstance(event, UnitFinished):
            self._files.pop(unit).close()


def _line(event: Event) -> str | None:
    """Return what a log says of an event, or None where it says nothing."""
    text: str | None = None
    match event:
        case StepOutput(step=step, line=line):
            text = f"[{step}] {line}"
        case StepStarted(step=step):
            text = f"==> {step}"
        case StepFinished(step=step, error=error, cached=cached, seconds=seconds):
            how = "out of the cache" if cached else f"done in {seconds:.1f} s"
            text = f"<== {step}: {f'failed: {error}' if error else how}"
        case UnitStarted(unit=unit, max_jobs=jobs):
            text = f"=== {unit} begins, MAX_JOBS={jobs}"
        case UnitFinished(unit=unit, outcome=outcome, seconds=seconds, message=message):
            text = f"=== {unit} {outcome} after {seconds:.1f} s{message and ': ' + message}"
        case Notice(text=notice):
            text = f"--- {notice}"
    return text


def compose(build_log: Path, timed_log: Path, out: Path, *, step: str = "compile") -> None:
    """Write ``build_log`` to ``out``, the lines of one step taken from that step's own log.

    Of a step that was run more than once (again after a failure), the last run is
    replaced: ``timed_log`` is of that one.  Each of its lines begins with its time.
    Where it is missing or empty the build log is copied as it is.  Both are read in
    pieces; ``out`` appears whole or not at all, and may be ``build_log`` itself.

    Raises:
        OSError: the build log cannot be read, or ``out`` not written.
    """
    temporary = out.with_name(f".{out.name}.new")
    try:
        if timed_log.exists() and timed_log.stat().st_size:
            begin = _last_begin(build_log, step)
            with build_log.open("rb") as log, temporary.open("wb") as target:
                _merge(log, timed_log, target, step=step, begin=begin)
        else:
            shutil.copyfile(build_log, temporary)
        temporary.replace(out)
    finally:
        temporary.unlink(missing_ok=True)


def extract(build_log: Path, out: Path, *, step: str = "compile") -> None:
    """Write to ``out`` what a step printed when it ran last, without times and names.

    Raises:
        OSError: the build log cannot be read, or ``out`` not written.
    """
    label = f"[{step}] ".encode()
    begin = _last_begin(build_log, step)
    with build_log.open("rb") as log, out.open("wb") as target:
        log.seek(max(begin, 0))
        wanted = False
        for piece, at_start in _pieces(log):
            if at_start:
                wanted = piece.startswith(label, _STAMP_BYTES)
            if wanted:
                target.write(piece[_STAMP_BYTES + len(label) :] if at_start else piece)


def _last_begin(path: Path, step: str) -> int:
    """Return the offset of the line at which a step began last, -1 if it never did."""
    marker, begin, offset = f"==> {step}\n".encode(), -1, 0
    with path.open("rb") as log:
        for piece, at_start in _pieces(log):
            if at_start and piece[_STAMP_BYTES:] == marker:
                begin = offset
            offset += len(piece)
    return begin


def _merge(log: BinaryIO, timed_log: Path, target: BinaryIO, *, step: str, begin: int) -> None:
    """Copy a log; from ``begin`` on leave out the step's lines, and put its own log there."""
    label = f"[{step}] ".encode()
    offset, dropping, merged = 0, False, False
    for piece, at_start in _pieces(log):
        if at_start:
            dropping = offset > begin and piece.startswith(label, _STAMP_BYTES)
        if not dropping:
            target.write(piece)
        if not merged and (dropping or offset == begin):
            _insert(timed_log, target, label)
            merged = True
        offset += len(piece)
    if not merged:
        _insert(timed_log, target, label)


def _insert(timed_log: Path, target: BinaryIO, label: bytes) -> None:
    """Copy a step's own log, its name after the time of each line."""
    stamp, ended = b"", True
    with timed_log.open("rb") as own:
        for piece, at_start in _pieces(own):
            text = piece
            if at_start:
                found = _STAMP.match(piece)
                stamp, text = (found.group(), piece[found.end() :]) if found else (stamp, piece)
                target.write(stamp + label)
            target.write(text)
            ended = piece.endswith(b"\n")
    if not ended:
        target.write(b"\n")


def _pieces(stream: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """Yield the lines with their newlines, long ones in pieces; tell which begin a line."""
    at_start = True
    while piece := stream.readline(PIECE_BYTES):
        yield piece, at_start
        at_start = piece.endswith(b"\n")


def tail(path: Path, count: int) -> list[str]:
    """Return the last ``count`` lines, undecodable bytes replaced; none if there is no file.

    Raises:
        OSError: the file exists but cannot be read.
    """
    data = b""
    try:
        with path.open("rb") as stream:
            left = stream.seek(0, os.SEEK_END)
            while left and data.count(b"\n") <= count:
                size = min(left, PIECE_BYTES // 16)
                left = stream.seek(left - size)
                data = stream.read(size) + data
    except FileNotFoundError:
        return []
    lines = data.split(b"\n")
    if not lines[-1]:
        lines.pop()
    return [line.decode("utf-8", "replace") for line in lines[max(0, len(lines) - count) :]]


class _Follower:
    """Where the reading of a growing file stands."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stream: BinaryIO | None = None
        self._rest = b""
        self._last_stamp = b""
        self._skip_to = b""

    def read(self) -> Iterator[str]:
        """Yield the whole lines that have come since the last call."""
        if self._stream is None or self._replaced():
            yield from self._drain()
            self._open()
        yield from self._drain()

    def end(self) -> Iterator[str]:
        """Yield what is left, a line without an end included."""
        yield from self.read()
        if self._rest and self._new(self._rest):
            yield self._rest.decode("utf-8", "replace")
        if self._stream is not None:
            self._stream.close()

    def _replaced(self) -> bool:
        """Tell whether the name now stands for another file, or the file was cut."""
        if self._stream is None:
            return False
        try:
            named, held = self._path.stat(), os.fstat(self._stream.fileno())
        except FileNotFoundError:
            return False
        return not os.path.samestat(named, held) or named.st_size < self._stream.tell()

    def _open(self) -> None:
        try:
            stream = self._path.open("rb")
        except FileNotFoundError:
            return
        if self._stream is not None:
            self._stream.close()
        self._stream, self._rest = stream, b""
        self._skip_to = self._last_stamp

    def _drain(self) -> Iterator[str]:
        while self._stream is not None and (data := self._stream.read(PIECE_BYTES)):
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                if self._new(line):
                    yield line.decode("utf-8", "replace")

    def _new(self, line: bytes) -> bool:
        """Tell whether a line is later than all that the replaced file had shown."""
        found = _STAMP.match(line)
        if found is None:
            return True
        self._last_stamp = max(self._last_stamp, found.group())
        return found.group() > self._skip_to


def follow(path: Path, stop: Callable[[], bool]) -> Iterator[str]:
    """Yield the lines of a log as they come, until ``stop()`` is true and all is read.

    The file need not exist yet.  When it is replaced by a whole one (`compose`), only
    lines later than those already shown follow.

    Raises:
        OSError: the file exists but cannot be read.
    """
    follower = _Follower(path)
    while not stop():
        yield from follower.read()
        time.sleep(_POLL_S)
    yield from follower.end()
