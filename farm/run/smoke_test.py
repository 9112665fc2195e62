"""Try a finished wheel in a clean container on the engine, as its recipe says."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from farm.engine.engine import BuildRequest, Container
from farm.engine.gpu import find_gpu
from farm.errors import OUT_OF_MEMORY_HINT, FarmError, OutOfMemoryError, SmokeTestError
from farm.events import Notice
from farm.render.context import Wheel
from farm.render.smoke_test import (
    DRIVER_FOLDER,
    SmokeTestBuild,
    render_smoke_test,
    smoke_test_entries,
    takes_build_base,
)
from farm.run.attempt import read_mapping
from farm.run.layout import write_context
from farm.run.logs import extract, tail
from farm.run.resources import Resource
from farm.run.secrets import network_secrets
from farm.run.starved import KILLED, is_sign

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator
    from pathlib import Path

    from farm.engine.engine import BuildResult, Engine
    from farm.events import Sink
    from farm.model.unit import Unit
    from farm.run.prerequisites import Prerequisites
    from farm.store.record import WheelFile

STEP = "smoke_test"
LOG = "smoke-test.log"
DOCKERFILE = "Dockerfile.smoke-test"
_MISSING_LIBRARY = "cannot open shared object file"
_KILLED = "ended by signal 9"
"""What `farm.inside.smoke` says of what was killed and printed nothing."""
_LAST_LINES = 12
GPU_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeTestBed:
    """Where wheels are tried: ``folder`` takes the logs, ``scratch`` all that is only passing."""

    folder: Path
    scratch: Path
    prerequisites: Prerequisites
    templates: tuple[Path, ...]
    sink: Sink
    priority: float = 0.0

    @property
    def cancel(self) -> threading.Event:
        """Ends what runs when it is set."""
        return self.prerequisites.tasks.cancel


async def try_wheel(
    unit: Unit, wheel: Wheel, needed: tuple[Wheel, ...], bed: SmokeTestBed
) -> dict[str, object]:
    """Install a unit's wheel in a clean container, import and run what its recipe says.

    ``needed`` are the wheels that the unit was built with.  Returns what the record
    says of it.  The Dockerfile, and the log where it came so far, are left in the folder.

    Raises:
        SmokeTestError: it cannot be installed, imported or run.
        FarmError: the engine, the disk or the user ended it.
    """
    test = unit.smoke_test
    if test is None:
        return {"untried": unit.untried} if unit.untried else {}
    started = time.time()
    prerequisites = bed.prerequisites
    clean = await prerequisites.base(test.base, bed.priority)
    image = ""
    if takes_build_base(unit, test):
        image = (await prerequisites.base(unit.base, bed.priority)).reference.image
    trial = SmokeTestBuild(
        unit=unit,
        smoke_test=test,
        wheel=wheel,
        needed=needed,
        clean=clean.reference.image,
        build=image,
    )
    staged = await prerequisites.inputs(unit, bed.priority)
    engine = await prerequisites.engine()
    told, on_gpu = await prerequisites.tasks.run(
        lambda: _on_engine(trial, staged, engine, bed),
        {Resource.ENGINE: 1},
        priority=bed.priority,
    )
    return {
        "passed": told["passed"],
        "gpu": on_gpu,
        "base": clean.about,
        "requirements": [f"{p.name}=={p.version}" for p in (test.lock.pins if test.lock else ())],
        "stubs": told.get("stubs", []),
        "seconds": round(time.time() - started, 3),
    }


def _on_engine(
    trial: SmokeTestBuild, staged: dict[str, Path], engine: Engine, bed: SmokeTestBed
) -> tuple[dict[str, Any], str]:
    with _laid_out(trial, staged, bed) as request:
        told = _smoke(trial, request, engine, bed)
        on_gpu = _on_gpu(trial, request, engine, bed) if trial.smoke_test.gpu_script else ""
    return told, on_gpu


@contextmanager
def _laid_out(
    trial: SmokeTestBuild, staged: dict[str, Path], bed: SmokeTestBed
) -> Iterator[BuildRequest]:
    """Dockerfile and context on disk for the time of the trial, and what to build of them."""
    bed.folder.mkdir(parents=True, exist_ok=True)
    dockerfile = bed.folder / DOCKERFILE
    dockerfile.write_text(render_smoke_test(trial, bed.templates), encoding="utf-8")
    context = bed.scratch / f"smoke-test-{trial.wheel.sha256}"
    context.mkdir(parents=True)
    write_context(context, smoke_test_entries(trial), staged)
    with network_secrets(trial.unit) as secrets:
        yield BuildRequest(
            unit=trial.unit.label,
            context=context,
            dockerfile=dockerfile,
            target="result",
            output=bed.scratch / "smoke-test",
            # Never out of the engine's cache: what passed once may have passed by luck.
            build_args=(("FARM_ATTEMPT", str(time.time_ns())),),
            secrets=secrets,
        )


def _smoke(
    trial: SmokeTestBuild, request: BuildRequest, engine: Engine, bed: SmokeTestBed
) -> dict[str, Any]:
    """Import and run; returns what passed, with seconds, and which libraries were empty ones."""
    result = engine.solve(request, bed.sink, cancel=bed.cancel)
    log = request.output / "logs" / f"{STEP}.log"
    if log.exists():
        shutil.copyfile(log, bed.folder / LOG)
    told = read_mapping(request.output / "smoke.json")
    if result.exit_status:
        raise _not_installed(trial, result, bed.folder)
    if told.get("failed") is not None or "passed" not in told:
        status = read_mapping(request.output / "status.json")
        if status.get("oom_kills") or told.get("line") == _KILLED:
            raise _starved(told, bed.folder)
        raise _failed(told, bed.folder)
    return told


def _on_gpu(
    trial: SmokeTestBuild, request: BuildRequest, engine: Engine, bed: SmokeTestBed
) -> str:
    """Run the recipe's script in a container with the machine's GPU, if it has one."""
    gpu = find_gpu(trial.unit.accelerator)
    if gpu is None:
        text = f"not run: this machine shows no GPU for {trial.unit.accelerator}"
        bed.sink(Notice(text=f"gpu_script was {text}", unit=trial.unit.label))
        return text
    image = f"farm-smoke-test:{trial.wheel.sha256[:12]}"
    wanted = replace(request, target="gpu", image=image)
    result = engine.solve(wanted, bed.sink, cancel=bed.cancel)
    if result.exit_status:
        raise _not_installed(trial, result, bed.folder)
    container = Container(
        image=image,
        command=("/opt/venv/bin/python", "-I", "-B", "-"),
        stdin=trial.smoke_test.gpu_script.encode(),
        devices=gpu.devices,
        files=tuple((library, f"{DRIVER_FOLDER}/{library.name}") for library in gpu.libraries),
        timeout_s=GPU_TIMEOUT_S,
        disposable=True,
    )
    done = engine.run(container, cancel=bed.cancel)
    with (bed.folder / LOG).open("a", encoding="utf-8") as log:
        log.write(f"with the GPU:\n{done.text}")
    if done.status:
        last = next((line for line in reversed(done.text.splitlines()) if line.strip()), "")
        told = {"failed": "gpu_script", "line": last or f"exit status {done.status}"}
        raise (_starved if done.status == KILLED else _failed)(told, bed.folder)
    return "passed"


def _not_installed(trial: SmokeTestBuild, result: BuildResult, folder: Path) -> FarmError:
    """The container could not be made ready: nothing of the wheel was tried yet."""
    step = result.failed_step or STEP
    said = _said(folder / "build.log", step)
    pip = [line for line in said if line.startswith("ERROR: ")]
    why = next(iter((*result.farm_errors, *pip, result.error)), "")
    if any(is_sign(line) for line in said):
        return OutOfMemoryError(
            f"memory ran out in the step {step}, before the wheel was tried",
            details=said[-_LAST_LINES:],
            hint=OUT_OF_MEMORY_HINT,
            step=step,
        )
    hint = ""
    if step == "installed":
        hint = (
            "name what is missing in smoke_test.requires, then "
            f"'farm lock {trial.unit.label}', which knows only what the source tells"
        )
    return SmokeTestError(
        f"{trial.wheel.filename} cannot be tried: {why}",
        details=said[-_LAST_LINES:],
        hint=hint,
        step=step,
    )


def _said(build_log: Path, step: str) -> list[str]:
    """What a step printed, from the log of the build."""
    own = build_log.with_name(f"{step}.log")
    try:
        extract(build_log, own, step=step)
        return own.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    finally:
        own.unlink(missing_ok=True)


def _starved(told: dict[str, Any], folder: Path) -> OutOfMemoryError:
    """Something was killed, which says nothing of the wheel."""
    return OutOfMemoryError(
        f"memory ran out in the smoke test, at {told.get('failed') or 'an unknown place'}",
        details=[line for line in tail(folder / LOG, _LAST_LINES) if line.strip()],
        hint="let fewer units build meanwhile (-j 1), or have more memory",
        step=STEP,
    )


def _failed(told: dict[str, Any], folder: Path) -> SmokeTestError:
    """Something that the recipe names does not work."""
    line = str(told.get("line", "it ended without a word"))
    hint = ""
    if _MISSING_LIBRARY in line:
        hint = (
            "name the package that holds it in smoke_test.system_packages, or, where it needs "
            "hardware, the library in smoke_test.stubs"
        )
    return SmokeTestError(
        f"{told.get('failed') or 'the smoke test'} fails in a clean container: {line}",
        details=[line for line in tail(folder / LOG, _LAST_LINES) if line.strip()],
        hint=hint,
        step=STEP,
    )


def wheel_at(folder: Path, wheel: WheelFile) -> Wheel:
    """A wheel of a result, as a context takes it."""
    return Wheel(filename=wheel.filename, sha256=wheel.sha256, path=folder / wheel.filename)
