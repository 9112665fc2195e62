"""Run one build as a child process: the only place that starts ``buildx build``.

It is a process of its own, and not a library call, because a build must be
cancelled within a second, must end when the farm is killed, and must be given
up when the engine stops answering.
"""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

from farm.engine.buildx_client import Client, Watch, answers
from farm.engine.caches import export_failure, variables
from farm.engine.engine import BuildResult
from farm.engine.rawjson import NO_SPACE, Progress
from farm.engine.storage import folder_of, no_space
from farm.errors import (
    OUT_OF_MEMORY_HINT,
    BuildError,
    CancelledError,
    EngineError,
    OutOfMemoryError,
)
from farm.events import Notice
from farm.host import programs
from farm.host.files import free_bytes, full_disk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.engine.endpoint import Endpoint
    from farm.engine.engine import BuildRequest
    from farm.events import Sink
    from farm.host.programs import Cancel

CANCEL_GRACE_S = 0.2
FULL_BYTES = 1 << 20
TAIL_LINES = 12
LOST_TIMEOUT_S = 5.0

_LOST_HINT = "see farm engine status and farm doctor; what was built so far stays in its cache"
_STEP_FAILED = "did not complete successfully"
_KILLED = "exit code: 137"
_NOT_COPIED = "failed to copy files"
"""What BuildKit says where the client cannot write what was built (fsutil)."""
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


def command(endpoint: Endpoint, request: BuildRequest) -> list[str]:
    """Return the argument vector of a build."""
    argv = [*endpoint.buildx, "build", "--progress=rawjson"]
    argv += ["--file", str(request.dockerfile), "--target", request.target]
    kept = (("type", "docker"), ("name", request.image))
    copied = (("type", "local"), ("dest", str(request.output)))
    argv += ["--output", fields(*kept if request.image else copied)]
    for name, value in request.build_args:
        argv += ["--build-arg", f"{name}={value}"]
    for name, path in request.secrets:
        argv += ["--secret", fields(("id", name), ("src", str(path)))]
    for cache in request.cache_from:
        argv += ["--cache-from", fields(*cache.pairs)]
    for cache in request.cache_to:
        argv += ["--cache-to", fields(*cache.pairs)]
    return [*argv, str(request.context)]


def fields(*pairs: tuple[str, str]) -> str:
    """Return key=value fields as the CSV that buildx parses; a path may hold commas."""
    parts = [f"{key}={value}" for key, value in pairs]
    quoted = ['"' + p.replace('"', '""') + '"' if set(p) & set(',"') else p for p in parts]
    return ",".join(quoted)


def build(
    endpoint: Endpoint,
    request: BuildRequest,
    on_event: Sink,
    *,
    cancel: Cancel,
    watch: Watch | None = None,
) -> BuildResult:
    """Build; see `farm.engine.engine.Engine.solve`.  Cancelled it ends within some 1.5 s."""
    started = time.monotonic()
    client = Client(progress=Progress(request.unit), on_event=on_event, cancel=cancel)
    worker = _thread(client.work)
    _thread(client.guard, endpoint, watch or Watch())
    try:
        status = _run(endpoint, request, client)
    finally:
        client.ended.set()
        client.chunks.put(b"")
        worker.join(CANCEL_GRACE_S if cancel.is_set() else None)
        client.muted = True  # whoever asked is told no more once this returns
    if client.broken is not None:
        raise client.broken
    if status and cancel.is_set():
        raise CancelledError(f"{request.unit} was cancelled")
    progress = client.progress
    result = BuildResult(
        exit_status=status if status >= 0 else 128 - status,
        seconds=round(time.monotonic() - started, 3),
        steps=progress.steps(),
        error=(progress.error() or "buildx ended without a word") if status else "",
        farm_errors=tuple(progress.farm_errors),
        said=tuple(progress.plain[-TAIL_LINES:]),
        no_space=progress.no_space,
    )
    for text in progress.unimported:
        on_event(Notice(text=f"nothing was taken from a cache: {text}", unit=request.unit))
    if request.cache_to and status:
        failed = export_failure(endpoint.name, request.unit, result.error, progress.unexported)
        if failed:
            raise failed
    _raise_if_not_the_steps_fault(endpoint, request, result, status)
    return result


def _thread(target: Callable[..., None], *arguments: object) -> threading.Thread:
    thread = threading.Thread(target=target, args=arguments, daemon=True)
    thread.start()
    return thread


def _run(endpoint: Endpoint, request: BuildRequest, client: Client) -> int:
    """Run buildx to its end; returns its status."""
    argv = command(endpoint, request)
    try:
        return programs.run(
            argv,
            env=endpoint.environment() | variables((*request.cache_from, *request.cache_to)),
            merged=True,
            on_data=client.chunks.put,
            cancel=client,
            timeout_s=request.timeout_s,
        ).status
    except CancelledError:
        if not client.lost:
            raise CancelledError(f"{request.unit} was cancelled") from None
        why = f"the engine {endpoint.name} stopped answering"
        raise EngineError(why, hint=_LOST_HINT) from None
    except TimeoutError as error:
        late = f"{request.unit} took longer than {request.timeout_s:g} s and was ended"
        raise BuildError(late) from error
    except programs.MissingProgramError as error:
        raise EngineError(f"there is no program {error}", hint="run farm doctor") from error
    except OSError as error:
        why = f"cannot start {argv[0]}: {error.strerror}"
        raise EngineError(why, hint="run farm doctor") from error


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
        if _NOT_COPIED in result.error or free_bytes(request.output) < FULL_BYTES:
            raise full_disk(request.output)
        folder, step = folder_of(endpoint), result.failed_step
        raise no_space(endpoint.name, folder, step=step, details=(result.error,))
    if in_step:
        if _KILLED in result.error.rsplit(_STEP_FAILED, 1)[1]:
            raise OutOfMemoryError(
                f"memory ran out in the step {result.failed_step}: it was killed (exit code 137)",
                step=result.failed_step,
                hint=OUT_OF_MEMORY_HINT,
                details=result.said,
            )
        return
    if any(text in result.error for text in _LOST):
        alive = answers(endpoint, threading.Event(), timeout_s=LOST_TIMEOUT_S)
        did = "ended the build" if alive else "went away"
        raise EngineError(f"the engine {endpoint.name} {did}: {result.error}", hint=_LOST_HINT)


def _is_full(output: Path, error: str) -> bool:
    """Tell whether the disk is full; older engines only say that the receiver went away."""
    if NO_SPACE in error.lower().encode():
        return True
    return free_bytes(output) < FULL_BYTES
