"""Run one build as a child process: the only place that starts ``buildx build``.

It is a process of its own, and not a library call, because a build must be
cancelled within a second, must end when the farm is killed, and must be given
up when the engine stops answering.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from farm.engine.buildx_client import POLL_S, Client, Watch, answers, client_environment
from farm.engine.rawjson import NO_SPACE, Progress, StepSummary
from farm.errors import (
    BuildError,
    CancelledError,
    EngineError,
    FarmError,
    OutOfMemoryError,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.engine.endpoint import Endpoint
    from farm.events import Event

CANCEL_GRACE_S = 0.2
PIPE_GRACE_S = 5.0
FULL_BYTES = 1 << 20
TAIL_LINES = 12
LOST_TIMEOUT_S = 5.0

_LOST_HINT = "see farm engine status and farm doctor; what was built so far stays in its cache"
_STEP_FAILED = "did not complete successfully"
_KILLED = "exit code: 137"
_LOST = (
    "code = Unavailable",
    "error reading from server: EOF",
    "Cannot connect to the Docker daemon",
    "cannot connect to the docker daemon",
    "failed to connect to the docker API",
    "connection refused",
    "connection reset by peer",
    "broken pipe",
    "transport is closing",
    "context canceled",
    "graceful_stop",
    "permission denied while trying to connect",
)


class Cancel(Protocol):
    """Tells whether the build is still wanted; ``threading.Event`` is one."""

    def is_set(self) -> bool:
        """Return True when the build is to end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build, and where the result goes.

    ``output`` is a folder to which the target's files are copied; nothing is
    kept in the engine but its cache, unless ``image`` names an image that the
    target becomes there instead.  ``secrets`` are ids and files, so that no
    secret is in a command line.  ``contexts`` are named build contexts.
    """

    unit: str
    context: Path
    dockerfile: Path
    target: str
    output: Path
    image: str = ""
    build_args: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, Path], ...] = ()
    contexts: tuple[tuple[str, str], ...] = ()
    no_cache_stages: tuple[str, ...] = ()
    cgroup_parent: str = ""
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """How a build ended that ran to its end, well or not.

    ``error`` is what BuildKit says (``failed to solve: …``), empty on success;
    ``farm_errors`` is what the programs in the container said after ``farm:
    error:``; ``said`` the last plain lines; ``clipped`` is True when the engine
    cut the live log, ``no_space`` when a step wrote that the disk is full.
    """

    exit_status: int
    seconds: float
    steps: tuple[StepSummary, ...] = ()
    error: str = ""
    farm_errors: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    clipped: bool = False
    no_space: bool = False

    @property
    def failed_step(self) -> str:
        """The step that failed, or nothing."""
        failed = [step for step in self.steps if step.error]
        own = [step for step in failed if "context canceled" not in step.error]
        return next((step.name for step in own or failed), "")


def command(endpoint: Endpoint, request: BuildRequest) -> list[str]:
    """Return the argument vector of a build."""
    argv = [*endpoint.buildx, "build", "--progress=rawjson"]
    argv += ["--file", str(request.dockerfile), "--target", request.target]
    kept = (("type", "docker"), ("name", request.image))
    argv += ["--output", _fields(*kept if request.image else local(request.output))]
    for name, value in request.build_args:
        argv += ["--build-arg", f"{name}={value}"]
    for name, path in request.secrets:
        argv += ["--secret", _fields(("id", name), ("src", str(path)))]
    for name, value in request.contexts:
        argv += ["--build-context", f"{name}={value}"]
    if request.no_cache_stages:
        argv += ["--no-cache-filter", ",".join(request.no_cache_stages)]
    cgroup = request.cgroup_parent or endpoint.cgroup_parent
    if cgroup:
        argv += ["--cgroup-parent", cgroup]
    return [*argv, str(request.context)]


def local(folder: Path) -> tuple[tuple[str, str], ...]:
    """Return the output that copies the target's files to a folder."""
    return (("type", "local"), ("dest", str(folder)))


def _fields(*pairs: tuple[str, str]) -> str:
    """Return key=value fields as the CSV that buildx parses; a path may hold commas."""
    fields = [f"{key}={value}" for key, value in pairs]
    quoted = ['"' + f.replace('"', '""') + '"' if set(f) & set(',"') else f for f in fields]
    return ",".join(quoted)


def build(
    endpoint: Endpoint,
    request: BuildRequest,
    on_event: Callable[[Event], None],
    *,
    cancel: Cancel,
    watch: Watch | None = None,
) -> BuildResult:
    """Build, emitting events from another thread, and return how it ended.

    A step that fails is a result, with its error.  Nothing keeps running after
    the return, whatever happened.

    Raises:
        CancelledError: ``cancel`` was set; at most 1.5 s after that.
        BuildError: It took longer than the request's ``timeout_s``.
        EngineError: The engine is not there, went away, or stopped answering.
        StorageError: The engine or the output folder has no space left.
        OutOfMemoryError: A step was killed, most likely by the kernel.
    """
    started = time.monotonic()
    client = _start(endpoint, request, on_event)
    reader = _thread(client.read)
    worker = _thread(client.work)
    _thread(client.guard, endpoint, watch or Watch())
    try:
        given_up = _wait(client, cancel, request.timeout_s)
    finally:
        client.ended.set()
        client.interrupt() if client.process.poll() is None else client.kill()
        client.process.wait()
        reader.join(CANCEL_GRACE_S if cancel.is_set() else PIPE_GRACE_S)
        client.chunks.put(b"")  # something that is not ours may hold the pipe open for ever
        worker.join(CANCEL_GRACE_S if cancel.is_set() else None)
        client.muted = True  # whoever asked is told no more once this returns
        if client.process.stderr is not None and not reader.is_alive():
            client.process.stderr.close()
    if client.broken is not None:
        raise client.broken
    result = _result(client, seconds=round(time.monotonic() - started, 3))
    if cancel.is_set() and (given_up or result.exit_status != 0):
        raise CancelledError(f"{request.unit} was cancelled")
    if given_up:
        raise BuildError(f"{request.unit} took longer than {request.timeout_s:g} s and was ended")
    if client.lost:
        raise EngineError(f"the engine {endpoint.name} stopped answering", hint=_LOST_HINT)
    _raise_if_not_the_steps_fault(endpoint, request, result, client.process.returncode)
    return result


def _thread(target: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def _start(endpoint: Endpoint, request: BuildRequest, on_event: Callable[[Event], None]) -> Client:
    argv = command(endpoint, request)
    # The client must not outlive a farm that is killed; where there is no setpriv, it
    # ends with the connection to its terminal or not at all.
    if shutil.which(argv[0]) is None:  # setpriv would hide it
        raise EngineError(f"there is no program {argv[0]}", hint="run farm doctor")
    setpriv = shutil.which("setpriv")
    guarded = [setpriv, "--pdeathsig", "KILL", *argv] if setpriv else argv
    try:
        process = subprocess.Popen(
            guarded,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=client_environment(endpoint),
            start_new_session=True,
        )
    except OSError as error:
        raise EngineError(
            f"cannot start {argv[0]}: {error.strerror}", hint="run farm doctor"
        ) from error
    return Client(process=process, progress=Progress(request.unit), on_event=on_event)


def _wait(client: Client, cancel: Cancel, timeout_s: float | None) -> bool:
    """Wait for the end; return True if the build was given up (cancelled, or too late)."""
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        try:
            client.process.wait(POLL_S)
        except subprocess.TimeoutExpired:
            if cancel.is_set() or (deadline is not None and time.monotonic() > deadline):
                return True
        else:
            return False


def _result(client: Client, *, seconds: float) -> BuildResult:
    progress = client.progress
    status = client.process.returncode
    return BuildResult(
        exit_status=status if status >= 0 else 128 - status,
        seconds=seconds,
        steps=progress.steps(),
        error=(progress.error() or "buildx ended without a word") if status else "",
        farm_errors=tuple(progress.farm_errors),
        said=tuple(progress.plain[-TAIL_LINES:]),
        clipped=progress.clipped,
        no_space=progress.no_space,
    )


def _raise_if_not_the_steps_fault(
    endpoint: Endpoint, request: BuildRequest, result: BuildResult, returncode: int
) -> None:
    """Tell apart what went wrong around the steps from what went wrong in one."""
    if returncode == 0:
        return
    if returncode < 0:
        raise EngineError(
            f"{request.unit}: the build's client was ended by {signal.Signals(-returncode).name}",
            hint="somebody killed it, or memory ran out on this machine; build again",
        )
    in_step = _STEP_FAILED in result.error  # and then the error repeats the step's own text
    if result.no_space if in_step else _is_full(request.output, result.error):
        raise StorageError(
            f"{request.unit}: no space left, in the engine's storage or in {request.output}",
            hint="free space, or let farm clean drop caches, and build again",
            details=(result.error,),
        )
    if in_step:
        if _KILLED in result.error.rsplit(_STEP_FAILED, 1)[1]:
            raise OutOfMemoryError(
                f"{request.unit}: step {result.failed_step} was killed (exit code 137)",
                hint="most likely memory ran out: build with a smaller MAX_JOBS",
                details=result.said,
            )
        return
    if any(text in result.error for text in _LOST):
        raise _lost(endpoint, result.error)


def _is_full(output: Path, error: str) -> bool:
    """Tell whether the disk is full; older engines only say that the receiver went away."""
    if NO_SPACE in error.lower().encode():
        return True
    folder = next(path for path in (output, *output.parents) if path.exists())
    return shutil.disk_usage(folder).free < FULL_BYTES


def _lost(endpoint: Endpoint, why: str) -> FarmError:
    alive = answers(endpoint, threading.Event(), timeout_s=LOST_TIMEOUT_S)
    did = "ended the build" if alive else "went away"
    return EngineError(
        f"the engine {endpoint.name} {did}: {why}",
        hint=_LOST_HINT,
    )
