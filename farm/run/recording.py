"""Make the record of a build from what went into it and what came of it."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import farm
from farm.errors import ExitCode
from farm.events import Outcome
from farm.host.urls import public_url
from farm.model.unit import ImageBase
from farm.run.compiles import totals
from farm.run.settle import expectation
from farm.store.record import Input, Record, StepTime

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.errors import FarmError
    from farm.host.machine import Machine
    from farm.plan.jobs import JobPlan
    from farm.run.acceptance import Accepted
    from farm.run.attempt import Attempt
    from farm.run.options import BuildOptions
    from farm.run.prerequisites import EngineFacts
    from farm.run.settle import Identified


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is true of one build without being part of its identity.

    ``base`` names the base's content and exact packages; ``needs`` are the
    results that the unit was built with.  ``packed`` are archives that farm packed, by the
    digest of the commit or folder.
    """

    run: str
    options: BuildOptions
    engine: EngineFacts
    packed: Mapping[str, str]
    base: dict[str, object]
    jobs: JobPlan
    needs: tuple[Input, ...]
    refused: tuple[str, ...]
    started_s: float


def record_of(
    identified: Identified,
    attempt: Attempt,
    circumstances: Circumstances,
    *,
    accepted: Accepted | None = None,
    error: FarmError | None = None,
) -> Record:
    """The record of a build that ended well, or with ``error``, or stopped without either."""
    unit = identified.unit
    ended = Outcome.FAILED if error else Outcome.BUILT if accepted else Outcome.STOPPED
    return Record(
        unit=unit.label,
        package=unit.key.package,
        version=unit.key.version,
        variant=unit.key.variant,
        python=unit.python,
        accelerator=unit.accelerator,
        archs=unit.archs,
        features=unit.features,
        toolchain=unit.toolchain,
        host_compiler="-".join(unit.host_compiler),
        identity=identified.identity,
        outcome=str(ended),
        exit_code=int(error.code if error else ExitCode.OK),
        message=error.message if error else "",
        run=circumstances.run,
        farm=farm.__version__,
        started_s=circumstances.started_s,
        seconds=round(time.time() - circumstances.started_s, 3),
        options=_options(circumstances.options),
        machine=_machine(circumstances.engine.machine),
        engine=circumstances.engine.name,
        engine_version=circumstances.engine.version,
        base=circumstances.base,
        max_jobs=circumstances.jobs.max_jobs,
        jobs=circumstances.jobs.arithmetic,
        attempt=attempt.number,
        # Packages on top of an image come over the network, at whatever version it has.
        hermetic=not isinstance(unit.base, ImageBase),
        env=dict(unit.env),
        inputs=_inputs(identified, circumstances.packed),
        needs=circumstances.needs,
        wheels=(accepted.wheel,) if accepted else (),
        steps=tuple(
            StepTime(name=step.name, seconds=step.seconds, cached=step.cached)
            for step in attempt.result.steps
        ),
        refused=circumstances.refused,
        compile=_compile(attempt),
        contents=accepted.contents if accepted else {},
        expected=expectation(unit) if accepted else "",
        smoke_test=accepted.tried if accepted else {},
        compilers=attempt.compilers,
    )


def _compile(attempt: Attempt) -> dict[str, object]:
    """What the compile step said of itself, and what its compilers took."""
    found = dict(attempt.status)
    if attempt.steps:
        found["steps"] = attempt.steps
    if attempt.calls:
        found["calls"] = totals(attempt.calls)
    return found


def _options(options: BuildOptions) -> dict[str, object]:
    """What was asked of the run and bears on a unit; no path of this machine, no command line."""
    return {
        "again": str(options.again),
        "engine": options.engine,
        "locked": options.locked,
        "max_jobs": options.max_jobs,
        "memory_bytes": options.memory_bytes,
        "nvcc_threads": options.nvcc_threads,
        "offline": options.offline,
        "preflight": options.preflight,
    }


def _machine(machine: Machine) -> dict[str, object]:
    """What the engine has to build with, and the system that farm runs on."""
    system = os.uname()
    return {
        "cores": machine.cores,
        "memory_bytes": machine.memory_bytes,
        "kernel": f"{system.sysname} {system.release}",
        "architecture": system.machine,
    }


def _inputs(identified: Identified, packed: Mapping[str, str]) -> tuple[Input, ...]:
    """Every file of the context by digest, with where sources came from."""
    sources = (identified.unit.source, *identified.unit.sources)
    origins = {source.digest: public_url(source.url) for source in sources}
    return tuple(
        Input(
            name=entry.target,
            digest=entry.digest,
            origin=origins.get(entry.digest, ""),
            packed=packed.get(entry.digest, ""),
        )
        for entry in identified.manifest.context
    )
