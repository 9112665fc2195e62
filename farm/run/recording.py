"""Make the record of a build from what went into it and what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import farm
from farm.errors import ExitCode
from farm.events import Outcome
from farm.model.unit import ImageBase
from farm.run.settle import expectation
from farm.store.record import Input, Record, StepTime

if TYPE_CHECKING:
    from farm.errors import FarmError
    from farm.plan.jobs import JobPlan
    from farm.run.acceptance import Accepted
    from farm.run.attempt import Attempt
    from farm.run.settle import Identified


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """What is true of one build without being part of its identity.

    ``base`` names the base's content and exact packages; ``needs`` are the
    results that the unit was built with.
    """

    run: str
    engine: str
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
    accepted: Accepted | None,
    error: FarmError | None,
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
        engine=circumstances.engine,
        base=circumstances.base,
        max_jobs=circumstances.jobs.max_jobs,
        jobs=circumstances.jobs.arithmetic,
        attempt=attempt.number,
        # Packages on top of an image come over the network, at whatever version it has.
        hermetic=not isinstance(unit.base, ImageBase),
        env=dict(unit.env),
        inputs=_inputs(identified),
        needs=circumstances.needs,
        wheels=(accepted.wheel,) if accepted else (),
        steps=tuple(
            StepTime(name=step.name, seconds=step.seconds, cached=step.cached)
            for step in attempt.result.steps
        ),
        refused=circumstances.refused,
        compile=attempt.status | ({"steps": attempt.steps} if attempt.steps else {}),
        contents=accepted.contents if accepted else {},
        expected=expectation(unit) if accepted else "",
        smoke_test=accepted.tried if accepted else {},
        compilers=attempt.compilers,
    )


def _inputs(identified: Identified) -> tuple[Input, ...]:
    """Every file of the context by digest, with where sources came from."""
    sources = (identified.unit.source, *identified.unit.sources)
    origins = {source.digest: source.url for source in sources}
    return tuple(
        Input(name=entry.target, digest=entry.digest, origin=origins.get(entry.digest, ""))
        for entry in identified.manifest.context
    )
