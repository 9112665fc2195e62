"""An engine that builds nothing: it is told how things end, and remembers what was asked.

It does what a unit's way through a run notices of a real one: events, files in the
output folder, the typed errors, a cache that serves a finished step again (a failure
too), and that a cancelled or broken build leaves nothing there.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import json
import re
import threading
import time
import zipfile
from collections import defaultdict
from collections.abc import Callable  # noqa: TC003 - a dataclass field
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from farm.engine.engine import BuildResult
from farm.engine.rawjson import StepSummary
from farm.errors import (
    BuildError,
    CancelledError,
    EngineError,
    FarmError,
    OutOfMemoryError,
    StorageError,
)
from farm.events import StepFinished, StepOutput, StepStarted
from farm.host.machine import Machine
from farm.host.programs import Finished
from farm.inside.step import timestamp
from farm.run.starved import ALONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from farm.debian.bases import BaseImage
    from farm.engine.engine import BuildRequest, Container, Session
    from farm.events import Sink
    from farm.host.programs import Cancel

COMPILE, TRIAL, GPU, LOG, LOAD, RUN = "compile", "smoke_test", "gpu", "log", "load", "run"
"""What may be asked of it, besides any other target of a build, by the target's name."""
PATIENCE_S = 600.0
"""How long it waits for anything before the test is at fault."""
LINE = "the compiler says something"
ERROR_LINE = "thing.c:1:1: error: no such thing"
_NAMED = re.compile(r"(?P<package>[^@]+)@(?P<version>[^:]+):")


class Ends(Enum):
    """How something that was asked ends."""

    WELL = "well"
    BADLY = "the compiler, the import or the container fails, and says so in its results"
    BROKEN = "a step fails in the engine's own eyes: nothing comes out"
    LOST = "the engine goes away"
    KILLED = "the step is killed for memory, though it was alone"
    CROWDED = "the step is killed for memory, which fewer jobs may not need"
    FULL = "the disk is full, half of the result is there"
    LATE = "it takes longer than it may"
    HUNG = "it goes on until it is cancelled"
    UNFORESEEN = "something that nobody thought of"


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What was asked: ``unit`` is the build's label, the base's tag, or the container's image."""

    step: str
    unit: str
    asked: BuildRequest | BaseImage | Container


class FakeEngine:
    """See `farm.engine.engine.Engine`; safe to call from several threads.

    ``calls`` is everything that was asked, in order; ``built`` counts how often a
    compile really ran for a unit; ``most`` is how many builds there were at once.
    ``on_call``, if set, is called at the beginning of each call, in its thread: what it
    raises ends the call.
    """

    def __init__(self, *, cores: int = 4, memory_bytes: int = 16 << 30) -> None:
        self.name = "fake"
        self.kind = "fake"
        self.machine = Machine(cores=cores, memory_bytes=memory_bytes)
        self.calls: list[Call] = []
        self.images: set[str] = set()
        self.wheels: dict[str, tuple[str, bytes]] = {}
        self.compiler_calls: dict[str, bytes] = {}
        self.built: dict[str, int] = defaultdict(int)
        self.running: list[tuple[str, str]] = []
        self.most = 0
        self.on_call: Callable[[Call], None] | None = None
        self._endings: dict[tuple[str, str], list[Ends]] = defaultdict(list)
        self._cache: dict[str, dict[str, bytes]] = {}
        self._changed = threading.Condition()

    def tell(self, unit: str, step: str, *endings: Ends) -> None:
        """Say how the next calls for a unit's step end; those after them end well."""
        with self._changed:
            self._endings[unit, step] += endings

    def until(self, condition: Callable[[FakeEngine], object]) -> None:
        """Wait until something holds of this engine; looked at whenever a call begins or ends."""
        with self._changed:
            assert self._changed.wait_for(lambda: condition(self), PATIENCE_S), self.calls

    def asked(self, step: str, unit: str = "") -> int:
        """How often a step was asked for, of one unit or of all."""
        return sum(c.step == step and unit in {"", c.unit} for c in self.calls)

    def version(self) -> str:
        """Nobody made it."""
        return "0"

    def solve(self, request: BuildRequest, sink: Sink, *, cancel: Cancel) -> BuildResult:
        """Build nothing."""
        step = _step(request)
        key = _key(request)
        files = self._cache.get(key)
        cached = files is not None
        call = Call(step=step, unit=request.unit, asked=request)
        with self._call(call, cancel, cached=cached) as ending:
            if files is None:
                files = self._play(step, request, sink, ending, cancel)
            else:
                _tell(sink, request.unit, step, cached=True)
            if files is None:
                return _broken(step)
            for name, content in files.items():
                path = request.output / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            with self._changed:
                self._cache[key] = files
                if request.image:
                    self.images.add(request.image)
            summary = StepSummary(name=step, seconds=0.0, cached=cached)
            return BuildResult(exit_status=0, seconds=0.0, steps=(summary,))

    def load(self, image: BaseImage, *, cancel: Cancel) -> None:
        """Take note of a base."""
        with self._call(Call(step=LOAD, unit=image.tag, asked=image), cancel) as ending:
            _raise(ending, image.tag, cancel)
            if ending is not Ends.WELL:
                raise EngineError(f"{image.tag} cannot be loaded")
            with self._changed:
                self.images.add(image.tag)

    def run(self, container: Container, *, cancel: Cancel) -> Finished:
        """Run nothing; with BADLY it ends with status 1."""
        with self._call(Call(step=RUN, unit=container.image, asked=container), cancel) as ending:
            try:
                if container.image not in self.images:
                    raise EngineError(f"no such image: {container.image}")
                _raise(ending, container.image, cancel)
                well = ending is Ends.WELL
                return Finished(status=0 if well else 1, output=b"fine\n" if well else b"bad\n")
            finally:
                if container.disposable:
                    with self._changed:
                        self.images.discard(container.image)

    def session(self, container: Container, *, cancel: Cancel) -> AbstractContextManager[Session]:
        """Nobody can be in a container that is none."""
        raise NotImplementedError

    def storage(self) -> None:
        """Nowhere."""

    def capacity(self) -> Machine:
        """What it was made with."""
        return self.machine

    @contextmanager
    def _call(self, call: Call, cancel: Cancel, *, cached: bool = False) -> Iterator[Ends]:
        with self._changed:
            self.calls.append(call)
            self.running.append((call.step, call.unit))
            self.most = max(self.most, len(self.running))
            endings = self._endings[call.unit, call.step]
            ending = endings.pop(0) if endings and not cached else Ends.WELL
            self._changed.notify_all()
        try:
            if self.on_call is not None:
                self.on_call(call)
            if cancel.is_set():
                raise CancelledError(f"{call.unit} was cancelled")
            yield ending
        finally:
            with self._changed:
                self.running.remove((call.step, call.unit))
                self._changed.notify_all()

    def _play(
        self, step: str, request: BuildRequest, sink: Sink, ending: Ends, cancel: Cancel
    ) -> dict[str, bytes] | None:
        """Let a step end as told; returns what it brings out, None where it breaks."""
        sink(StepStarted(unit=request.unit, step=step))
        sink(StepOutput(unit=request.unit, step=step, line=LINE))
        if step == COMPILE:
            with self._changed:
                self.built[request.unit] += 1
        if ending is Ends.FULL:
            request.output.mkdir(parents=True, exist_ok=True)
            (request.output / "half-1.0-py3-none-any.whl").write_bytes(b"PK")
        try:
            _raise(ending, request.unit, cancel)
        except BaseException as error:
            _tell(sink, request.unit, step, error=str(error), started=False)
            raise
        if ending is Ends.BROKEN:
            _tell(sink, request.unit, step, error="exit code: 1", started=False)
            return None
        _tell(sink, request.unit, step, started=False)
        return self._files(step, request.unit, well=ending is Ends.WELL)

    def _files(self, step: str, unit: str, *, well: bool) -> dict[str, bytes]:
        if step == TRIAL:
            told = {"passed": {"import": 0.1}} if well else {"failed": "import", "line": "no"}
            return {"smoke.json": _json(told), f"logs/{TRIAL}.log": b"tried\n"}
        if step != COMPILE:
            return {}
        line = LINE if well else ERROR_LINE
        status = {"step": step, "exit_status": 0 if well else 1, "seconds": 0.0, "oom_kills": 0}
        files = {
            "status.json": _json(status),
            f"logs/{step}.log": f"{line}\n".encode(),
            f"logs/{step}.timed.log": f"{timestamp(time.time())} {line}\n".encode(),
        }
        if unit in self.compiler_calls:
            files["logs/calls.jsonl"] = self.compiler_calls[unit]
        if well:
            name, content = self.wheels.get(unit) or wheel_of(unit)
            files[name] = content
        return files


def wheel_of(unit: str) -> tuple[str, bytes]:
    """The smallest wheel of a unit, by the label."""
    named = _NAMED.match(unit)
    assert named, unit
    return minimal_wheel(named["package"], named["version"])


def minimal_wheel(
    package: str, version: str, *, tag: str = "py3-none-any", files: Mapping[str, bytes] = {}
) -> tuple[str, bytes]:
    """File name and bytes of a wheel in which nothing is wrong; equal for equal arguments."""
    name = package.replace("-", "_").replace(".", "_")
    info = f"{name}-{version}.dist-info"
    content = dict(files) or {f"{name}/__init__.py": b""}
    content[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.4\nName: {package}\nVersion: {version}\n"
        "License-Expression: MIT\nLicense-File: LICENSE\n"
    ).encode()
    content[f"{info}/licenses/LICENSE"] = b"MIT\n"
    pure = str(tag.endswith("any")).lower()
    content[f"{info}/WHEEL"] = (
        f"Wheel-Version: 1.0\nGenerator: fake\nRoot-Is-Purelib: {pure}\nTag: {tag}\n".encode()
    )
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for path, data in content.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        writer.writerow((path, f"sha256={digest}", len(data)))
    writer.writerow((f"{info}/RECORD", "", ""))
    content[f"{info}/RECORD"] = rows.getvalue().encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for path, data in content.items():
            archive.writestr(zipfile.ZipInfo(path), data)
    return f"{name}-{version}-{tag}.whl", packed.getvalue()


def _step(request: BuildRequest) -> str:
    """What a build is for: its compile and its trial have targets of one name."""
    if request.target != "result":
        return request.target
    return TRIAL if "smoke-test" in request.dockerfile.name else COMPILE


def _key(request: BuildRequest) -> str:
    """What an engine's cache knows a build by: all that goes in but secrets."""
    text = [request.dockerfile.read_text(encoding="utf-8"), request.target, *request.build_args]
    text += [
        (str(path.relative_to(request.context)), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in sorted(request.context.rglob("*"))
        if path.is_file()
    ]
    return hashlib.sha256(repr(text).encode()).hexdigest()


def _raise(ending: Ends, what: str, cancel: Cancel) -> None:
    """Raise what an ending raises, if it does."""
    errors: dict[Ends, FarmError | ZeroDivisionError] = {
        Ends.LOST: EngineError(f"the engine fake went away: {what}"),
        Ends.KILLED: OutOfMemoryError(f"{what} was killed {ALONE}", step=COMPILE),
        Ends.CROWDED: OutOfMemoryError(f"{what} was killed", step=COMPILE),
        Ends.FULL: StorageError(f"{what}: no space left"),
        Ends.LATE: BuildError(f"{what} took longer than it may and was ended"),
        Ends.UNFORESEEN: ZeroDivisionError("nobody thought of this"),
    }
    if ending is Ends.HUNG:
        deadline = time.monotonic() + PATIENCE_S
        while not cancel.is_set():
            assert time.monotonic() < deadline, f"nobody cancelled {what}"
            time.sleep(0.005)
        raise CancelledError(f"{what} was cancelled")
    if ending in errors:
        raise errors[ending]


def _broken(step: str) -> BuildResult:
    error = 'failed to solve: process "x" did not complete successfully: exit code: 1'
    summary = StepSummary(name=step, seconds=0.0, cached=False, error="exit code: 1")
    return BuildResult(exit_status=1, seconds=0.0, steps=(summary,), error=error)


def _tell(
    sink: Sink,
    unit: str,
    step: str,
    *,
    cached: bool = False,
    error: str = "",
    started: bool = True,
) -> None:
    if started:
        sink(StepStarted(unit=unit, step=step))
    sink(StepFinished(unit=unit, step=step, seconds=0.0, cached=cached, error=error))


def _json(value: object) -> bytes:
    return json.dumps(value).encode()
