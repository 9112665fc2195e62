"""One build of one unit on an engine, and what became of its compile step."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from farm.engine.engine import MOUNTS_APART, BuildRequest
from farm.engine.storage import no_space
from farm.errors import (
    OUT_OF_MEMORY_HINT,
    BuildError,
    FarmError,
    IntegrityError,
    OutOfMemoryError,
    PatchError,
)
from farm.inspect.compilers import parse_compilers
from farm.run.alone import alone_s
from farm.run.compiles import compiled_of
from farm.run.logs import CALLS
from farm.run.starved import ALONE, KILLED, compiled_file, looks_out_of_memory

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path

    from farm.engine.caches import LayerCache
    from farm.engine.engine import BuildResult, Engine
    from farm.events import Compiled, Sink
    from farm.model.compiler import Compiler
    from farm.plan.jobs import JobPlan
    from farm.render.context import Wheel
    from farm.run.first_error import FirstError
    from farm.run.secrets import Secrets
    from farm.run.settle import Identified

COMPILE = "compile"
"""The step that keeps its own log and status."""
STEPS = "steps.json"
"""What a build would have done that was stopped after configuring (farm.inside.until)."""
_REFUSED = "exit code: 65"
"""What the engine says of a step that was given something else than its digest says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """A build that ran to its end.

    ``status`` is what the compile step said of itself, ``compilers`` those that
    it really used, as far as its build system says, ``calls`` what their calls took, and
    ``steps`` what it would have done, where it was stopped after configuring.
    """

    number: int
    result: BuildResult
    exported: Path
    status: dict[str, Any] = field(default_factory=dict)
    compilers: tuple[Compiler, ...] = ()
    calls: Compiled | None = None
    steps: dict[str, Any] = field(default_factory=dict)

    @property
    def compiled(self) -> bool:
        """Whether the compile step succeeded."""
        return self.result.exit_status == 0 and self.status.get("exit_status") == 0

    @property
    def stale_failure(self) -> bool:
        """Whether this is an earlier failure that the engine's cache served again."""
        good = self.compiled or self.stopped
        return not good and self.result.exit_status == 0 and self._cached(COMPILE)

    @property
    def ran(self) -> bool:
        """Whether the compile step did anything: the engine's cache did not answer it."""
        return not self._cached(COMPILE)

    @property
    def stopped(self) -> bool:
        """Whether the build was ended after configuring, as asked, and nothing failed."""
        return self.result.exit_status == 0 and self.steps.get("exit_status") == 0

    @property
    def refused(self) -> bool:
        """Whether a step was given something else than its digest says."""
        return any(_REFUSED in step.error for step in self.result.steps)

    def _cached(self, name: str) -> bool:
        return any(step.cached for step in self.result.steps if step.name == name)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What is built where: ``folder`` gets the logs, ``scratch`` context and output.

    ``staged`` maps digests of the context to files, ``needed`` are the wheels of the units that
    this one needs.  ``sending`` is part of the context's name where it is sent anew.  A build
    that is ``apart`` runs programs of others: it shares no cache mount with ours.
    """

    identified: Identified
    engine: Engine
    folder: Path
    scratch: Path
    jobs: JobPlan
    staged: Mapping[str, Path] = field(default_factory=dict)
    needed: tuple[Wheel, ...] = ()
    secrets: Secrets = ()
    cache_from: tuple[LayerCache, ...] = ()
    cache_to: tuple[LayerCache, ...] = ()
    sending: str = ""
    apart: bool = False

    @property
    def context(self) -> Path:
        """The folder of the build context, of a name of its own.

        The engine keeps what was sent from folders of one name (buildx: the base
        name is the session's shared key) and compares only size and time before it
        takes a file from there: of another unit's, if the folders were called the same.
        """
        return self.scratch / f"context-{self.identified.identity}{self.sending}"


def run_attempt(work: Work, number: int, sink: Sink, cancel: threading.Event) -> Attempt:
    """Build once.  An earlier failure out of the engine's cache is no answer: it runs again.

    So it does where a step was given something else than its digest says: that may be what
    the engine kept of an earlier context of this name, which it takes again unless size or
    time differ.

    Raises:
        FarmError: the engine, the disk or the user ended it (see `farm.engine.engine`).
    """
    attempt = _run(work, number, sink, cancel)
    if attempt.stale_failure:
        attempt = _run(work, int(time.time()), sink, cancel)
    if attempt.refused:
        anew = replace(work, sending=f"-{time.time_ns()}")
        work.context.rename(anew.context)
        attempt = _run(anew, number, sink, cancel)
    return attempt


def _run(work: Work, number: int, sink: Sink, cancel: threading.Event) -> Attempt:
    exported = work.scratch / f"result-{number}"
    # A secret is in no cache key: other numbers of jobs compile nothing again.
    jobs = work.scratch / "jobs"
    jobs.write_text(work.jobs.as_file, encoding="ascii")
    request = BuildRequest(
        unit=work.identified.unit.label,
        context=work.context,
        dockerfile=work.folder / "Dockerfile",
        target="result",
        output=exported,
        build_args=(("FARM_ATTEMPT", str(number)), *([MOUNTS_APART] if work.apart else [])),
        secrets=(*work.secrets, ("jobs", jobs)),
        cache_from=work.cache_from,
        cache_to=work.cache_to,
    )
    result = work.engine.solve(request, sink, cancel=cancel)
    return Attempt(
        number=number,
        result=result,
        exported=exported,
        status=_status(exported, work.jobs),
        compilers=_read_compilers(exported),
        calls=compiled_of(request.unit, exported / "logs" / CALLS),
        steps=read_mapping(exported / STEPS),
    )


def _status(exported: Path, jobs: JobPlan) -> dict[str, Any]:
    """What the compile step said of itself, and how long it would have taken alone."""
    status = read_mapping(exported / "status.json")
    seconds = status.get("seconds")
    if jobs.budget is None or not isinstance(seconds, (int, float)):
        return status
    alone = alone_s(exported / "logs" / CALLS, seconds, jobs.budget.cores)
    return status if alone is None else status | {"alone_s": round(alone, 3)}


def read_mapping(path: Path) -> dict[str, Any]:
    """What a program in the container wrote as JSON; empty if it wrote nothing whole."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _read_compilers(exported: Path) -> tuple[Compiler, ...]:
    try:
        return parse_compilers(json.loads((exported / "compilers.json").read_text("utf-8")))
    except (OSError, ValueError):
        return ()


def failure(attempt: Attempt, log: Path, engine: Engine) -> FarmError:
    """Why an attempt has no wheel: the first real error line of ``log``, with its context."""
    from farm.run.first_error import first_error

    # The compile step fails without failing the build, so that its log gets out.
    result, step = attempt.result, attempt.result.failed_step or COMPILE
    if result.farm_errors and attempt.refused:
        return IntegrityError(result.farm_errors[0], step=step)
    if result.farm_errors and step == "patched":
        return PatchError(result.farm_errors[0], step=step)
    with log.open(encoding="utf-8", errors="replace") as lines:
        first = first_error(lines)
    if _starved(attempt, log, first):
        return out_of_memory(step, log, first)
    if result.no_space:
        said = (first.line, first.context) if first else ("", ())
        return no_space(engine.name, engine.storage(), what=said[0], step=step, details=said[1])
    if first is not None:
        return BuildError(first.line, details=first.context, step=step)
    status = attempt.status.get("exit_status", result.exit_status)
    return BuildError(f"exit status {status}", details=(result.error,), step=step)


def _starved(attempt: Attempt, log: Path, first: FirstError | None) -> bool:
    """Whether memory ran out: the kernel counted it, killed the step, or the log says so."""
    if attempt.status.get("oom_kills") or attempt.status.get("exit_status") == KILLED:
        return True
    with log.open(encoding="utf-8", errors="replace") as lines:
        return looks_out_of_memory(lines, first)


def out_of_memory(step: str, log: Path, first: FirstError | None) -> OutOfMemoryError:
    """Memory ran out in a step, at the file that the log or the gate names."""
    around = first.context if first else ()
    file = compiled_file(log, first)
    at = f" while {file} was compiled" if file else ""
    message = f"memory ran out in the step {step}{at}: the kernel ended a process"
    if any(ALONE in line for line in around):
        message = next(line for line in around if ALONE in line).strip()
        message = message.removeprefix("farm: error: ")
    return OutOfMemoryError(message, step=step, hint=OUT_OF_MEMORY_HINT, details=around)
