"""One unit's way through a run: settle, bring, make ready, build, inspect, try, keep, show."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from farm.errors import (
    BaseError,
    CancelledError,
    FarmError,
    LockError,
    OutOfMemoryError,
    SmokeTestError,
)
from farm.events import Notice, Outcome, UnitStarted
from farm.plan.resolve import lock_problem
from farm.run.again import other_contents
from farm.run.attempt import COMPILE, STEPS, Work, failure, run_attempt
from farm.run.bundling import keep_bundle
from farm.run.drift import drift
from farm.run.estimates import earlier
from farm.run.keeping import keep_logs, keep_result, keep_trial
from farm.run.layout import write_context
from farm.run.lockstep import require_lockstep
from farm.run.looking import never_built, told
from farm.run.options import Again
from farm.run.recording import Circumstances, record_of
from farm.run.resources import Resource
from farm.run.room import needs_of_unit, require_room
from farm.run.salvage import Witness, salvage
from farm.run.secrets import network_secrets
from farm.run.settle import find, identify, known_base, wheels_of
from farm.run.smoke_test import SmokeTestBed, try_wheel, wheel_at
from farm.run.starved import fewer
from farm.run.tasks import all_of
from farm.store.bundle import MANIFEST
from farm.store.bundle import Ended as HowEnded
from farm.store.record import Input, write_record
from farm.store.results import Result

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.engine.engine import Engine
    from farm.model.unit import Unit
    from farm.plan.jobs import JobPlan
    from farm.render.context import Wheel
    from farm.run.attempt import Attempt
    from farm.run.prerequisites import Base
    from farm.run.run_context import RunContext
    from farm.run.settle import Identified
    from farm.store.record import Record

FIRST_ATTEMPT = 1
"""Attempts of a unit share the engine's cache; only after a failure comes another number."""
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a unit ended that did not fail; the result where there is one, else what it told."""

    outcome: Outcome
    result: Result | None = None
    message: str = ""
    details: tuple[str, ...] = ()


class _MovedError(BaseError):
    """A base has other packages than those that the unit was identified with."""


class UnitBuild:
    """One unit on its way; ``needed`` are the results of the units that it needs."""

    def __init__(
        self,
        context: RunContext,
        unit: Unit,
        jobs: JobPlan,
        *,
        needed: tuple[Result, ...],
        priority: float,
    ) -> None:
        self.context = context
        self.unit = unit
        self.jobs = jobs
        self.needed = needed
        self.priority = priority
        self.started = time.time()
        self.folder = context.run.unit_folder(unit.key)
        self.look = context.look_of(unit)
        self.replay = context.replay
        self.wheels = self.replay.needed if self.replay else wheels_of(needed)
        self.before: Result | None = None

    async def run(self) -> Ended:
        """Build the unit, unless its result is there.

        Raises:
            FarmError: why it has none.
        """
        self._tell_begin()
        try:
            return await self._run(await self._identify())
        except _MovedError:  # what its base is made of instead is known now
            return await self._run(await self._identify())

    async def _run(self, identified: Identified) -> Ended:
        key, results = self.unit.key, self.context.results
        waiting = Notice(text="another farm builds it: waiting for its end", unit=self.unit.label)
        async with self.context.tasks.holding(
            results.lock(key, identified.identity), lambda: self.context.sink(waiting)
        ):
            done = await self._task(lambda: find(self.context.place, identified))
            done = done or await self._brought(identified)
            if done and not self._again() and self.look is None:
                return Ended(outcome=Outcome.UNCHANGED, result=await self._unchanged(done))
            with results.scratch() as scratch:
                return await self._build(identified, scratch, done)

    async def _brought(self, identified: Identified) -> Result | None:
        """The result that another machine shared, kept here by now."""
        shared, cancel = self.context.shared, self.context.tasks.cancel
        if shared is None or self._again() or self.look is not None:
            return None
        key, results = self.unit.key, self.context.results
        return await self.context.tasks.run(
            lambda: shared.bring(key, identified.identity, results, cancel),
            {Resource.NETWORK: 1},
            priority=self.priority,
        )

    def _tell_begin(self) -> None:
        sink = self.context.sink
        sink(UnitStarted(unit=self.unit.label, max_jobs=self.jobs.max_jobs))
        for text in self.context.refused.get(self.unit.label, ()):
            warning = f"built although it is known not to work: {text}"
            sink(Notice(text=warning, unit=self.unit.label))
        problem = lock_problem(self.unit)
        if problem:
            raise LockError(
                f"cannot be built: {problem}", hint=f"run: farm lock {self.unit.label}"
            )

    async def _identify(self) -> Identified:
        if self.replay:
            return self.replay.identified
        place, locked = self.context.place, self.context.options.locked
        base = known_base(self.unit.base, place.cache, locked=locked)
        if base is None:
            made = await self.context.prerequisites.base(self.unit.base, self.priority)
            base = made.reference
        return identify(
            self.unit,
            base=base,
            needed=self.wheels,
            templates=self.context.templates,
            look=self.look,
        )

    def _again(self) -> bool:
        return self.context.options.again_for(self.unit.label in self.context.requested)

    async def _unchanged(self, done: Result) -> Result:
        """A result that is there: looked at and tried anew where something else is expected."""
        from farm.run.acceptance import still_accepted

        checked = await self._task(lambda: still_accepted(done.record, self.unit, done.folder))
        if checked is not done.record:
            try:
                tried = await self._try(wheel_at(done.folder, done.record.wheels[0]))
            except SmokeTestError as error:
                stays = f"the wheel, built before, stays in {done.folder}"
                error.hint = "; ".join(filter(None, (error.hint, stays)))
                raise
            record = replace(checked, smoke_test=tried)
            keep_trial(self.folder, done.folder)
            write_record(done.folder, record)
            done = Result(record=record, folder=done.folder)
        return await self._show(done)

    async def _build(self, identified: Identified, scratch: Path, done: Result | None) -> Ended:
        prerequisites = self.context.prerequisites
        staged, base = await all_of(
            prerequisites.inputs(self.unit, self.priority),
            prerequisites.base(self.unit.base, self.priority),
        )
        await self._task(lambda: require_lockstep(self.unit, staged))
        engine = await prerequisites.engine()
        if self.context.options.preflight:
            await self._task(lambda: self._require_room(staged, engine))
        if base.reference != identified.manifest.base:
            raise _MovedError(f"the base {base.reference.image} changed while it was used")
        circumstances, self.before = await self._circumstances(base, staged), done
        number, options = self._number(done), self.context.options
        with network_secrets(self.unit) as secrets:
            work = Work(
                identified=identified,
                engine=engine,
                folder=self.folder,
                scratch=scratch,
                jobs=await self._jobs_now(base),
                staged=staged,
                needed=self.wheels,
                secrets=secrets,
                cache_from=tuple(each.of(self.unit.key) for each in options.cache_from),
                cache_to=tuple(each.of(self.unit.key) for each in options.cache_to),
                apart=self.replay is not None,
            )
            await self._task(lambda: self._lay_out(work))
            try:
                return await self._built(work, number, circumstances)
            except CancelledError:
                raise
            except FarmError as error:
                await self._bundle(work, number, error)
                raise

    def _require_room(self, staged: dict[str, Path], engine: Engine) -> None:
        needs = needs_of_unit(self.unit, self.context.place, staged, engine.storage())
        require_room(self.unit.label, needs)

    async def _built(self, work: Work, number: int, circumstances: Circumstances) -> Ended:
        """Build, and once more with fewer jobs where memory ran out."""
        try:
            return await self._tried(work, number, circumstances)
        except OutOfMemoryError as error:
            jobs = fewer(work.jobs, error) if error.step == COMPILE else None
            if jobs is None:
                raise
            text = f"{error.message}; tried once more with MAX_JOBS={jobs.max_jobs}"
            self.context.sink(Notice(text=text, unit=self.unit.label))
        self.jobs, work = jobs, replace(work, jobs=jobs)
        return await self._tried(work, int(time.time()), replace(circumstances, jobs=jobs))

    async def _tried(self, work: Work, number: int, circumstances: Circumstances) -> Ended:
        attempt, _ = await all_of(
            self.context.tasks.run(
                lambda: self._attempt(work, number), self._demand(), priority=self.priority
            ),
            self._task(_load_acceptance),
        )
        return await self._after(work, attempt, circumstances)

    async def _bundle(self, work: Work, number: int, error: FarmError) -> None:
        """Keep all that a failure was made of, so that it can be had again elsewhere."""
        ended = HowEnded(
            outcome=Outcome.FAILED.value,
            exit_code=int(error.code),
            step=error.step,
            message=error.message,
            attempt=number,
        )
        cache, sink = self.context.place.cache, self.context.sink
        with suppress(CancelledError):  # what ended the build is what counts
            await self._task(lambda: keep_bundle(work, ended, self.folder, cache, sink))

    def _number(self, done: Result | None) -> int:
        if self._again() and self.context.options.again is Again.REBUILD:
            return int(time.time())
        return done.record.attempt if done else FIRST_ATTEMPT

    async def _jobs_now(self, base: Base) -> JobPlan:
        """The jobs, with what is known only by now."""
        priority = max(1, round(self.priority))
        return replace(self.jobs, priority=priority, cache_bytes=await self._cache_bytes(base))

    async def _cache_bytes(self, base: Base) -> int:
        """What the compile cache may keep; nothing where it is not to be asked, or cannot be."""
        size = self.context.options.cache_bytes
        anew = self._again() and self.context.options.again is Again.REBUILD
        if not size or anew or self.replay or self.look:
            return 0
        return size if await self.context.prerequisites.compile_cache(base) else 0

    def _demand(self) -> dict[Resource, int]:
        """One call of a compiler: the gate shares out what all of them take together."""
        return {Resource.ENGINE: 1, Resource.MEMORY: self.jobs.memory_bytes}

    def _lay_out(self, work: Work) -> None:
        manifest = work.identified.manifest
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "Dockerfile").write_text(manifest.dockerfile, encoding="utf-8")
        (self.folder / MANIFEST).write_text(manifest.text, encoding="utf-8")
        work.context.mkdir(parents=True)
        write_context(work.context, manifest.context, work.staged)

    def _attempt(self, work: Work, number: int) -> Attempt:
        witness = Witness(self.context.sink)
        cancel = self.context.tasks.cancel
        try:
            return run_attempt(work, number, witness, cancel)
        except FarmError:
            with suppress(OSError):  # a full disk: what ended the attempt is what counts
                salvage(work, witness, cancelled=cancel.is_set())
            raise

    async def _after(self, work: Work, attempt: Attempt, circumstances: Circumstances) -> Ended:
        """What becomes of a build that ran to its end."""
        compile_log = await self._task(lambda: keep_logs(attempt.exported, self.folder))
        if attempt.calls and attempt.ran:
            self.context.sink(attempt.calls)
        record = partial(record_of, work.identified, attempt, circumstances)
        if self.look is not None and attempt.stopped:
            return self._stop(attempt, record())
        if self.look is not None and attempt.compiled:
            raise never_built()
        try:
            if not attempt.compiled:
                log = compile_log or self.folder / "build.log"
                raise await self._task(lambda: failure(attempt, log, work.engine))
            result = await self._succeed(work, attempt, record)
            return Ended(outcome=Outcome.BUILT, result=result)
        except CancelledError:
            raise
        except FarmError as error:
            with suppress(OSError, FarmError):  # a full disk: what ended the build is what counts
                write_record(self.folder, record(error=error))
            raise

    async def _succeed(
        self, work: Work, attempt: Attempt, record: Callable[..., Record]
    ) -> Result:
        from farm.run.acceptance import accept, put_aside

        place = self.context.place
        accepted = await self.context.tasks.run(
            lambda: accept(
                attempt.exported,
                self.unit,
                aside=self.folder / "rejected",
                compilers=attempt.compilers,
            ),
            {Resource.DISK: 1},
            priority=self.priority,
        )
        wheel = attempt.exported / accepted.wheel.filename
        others = await self._task(lambda: other_contents(self.before, wheel))
        for text in (*accepted.warnings, *others):
            self.context.sink(Notice(text=text, unit=self.unit.label))
        try:
            tried = await self._try(wheel_at(attempt.exported, accepted.wheel))
        except SmokeTestError as error:
            aside = put_aside(wheel, self.folder / "rejected")
            error.hint = "; ".join(filter(None, (error.hint, aside)))
            raise
        made = record(accepted=replace(accepted, tried=tried))
        for text in await self._task(lambda: drift(made, earlier(self.unit.key, place))):
            self.context.sink(Notice(text=text, unit=self.unit.label))
        result = await self._task(lambda: keep_result(work, wheel, made, self.context))
        return await self._show(result)

    async def _try(self, wheel: Wheel) -> dict[str, object]:
        """Try the wheel in a clean container, where its recipe says how."""
        if self.unit.smoke_test is None and not self.unit.untried:
            text = "the wheel was not tried: its recipe has no smoke_test"
            self.context.sink(Notice(text=text, unit=self.unit.label))
        with self.context.results.scratch() as scratch:
            bed = SmokeTestBed(
                folder=self.folder,
                scratch=scratch,
                prerequisites=self.context.prerequisites,
                templates=self.context.templates,
                sink=self.context.sink,
                priority=self.priority,
            )
            return await try_wheel(self.unit, wheel, self.wheels, bed)

    async def _show(self, result: Result) -> Result:
        """Let ``out/`` show a result."""
        results, out = self.context.results, self.context.place.out
        return await self._task(lambda: results.show(result, out, self.unit.key))

    def _stop(self, attempt: Attempt, record: Record) -> Ended:
        """Keep what the build would have done in the run's folder; nothing is kept besides."""
        shutil.move(attempt.exported / STEPS, self.folder / STEPS)
        write_record(self.folder, record)
        message, details = told(attempt.steps)
        return Ended(outcome=Outcome.STOPPED, message=message, details=details)

    async def _circumstances(self, base: Base, staged: dict[str, Path]) -> Circumstances:
        return Circumstances(
            run=self.context.run.name,
            options=self.context.options,
            engine=await self.context.prerequisites.engine_facts(),
            packed={d: p.name for d, p in staged.items() if not d.startswith("sha256:")},
            base=base.about,
            jobs=self.jobs,
            needs=tuple(
                Input(name=each.record.unit, digest=each.identity) for each in self.needed
            ),
            refused=self.context.refused.get(self.unit.label, ()),
            started_s=self.started,
        )

    async def _task(self, work: Callable[[], T]) -> T:
        """A little work on the disk."""
        return await self.context.tasks.run(work, {Resource.DISK: 1}, priority=self.priority)


def _load_acceptance() -> None:
    """Load what looks into wheels while the engine builds one, which takes longer."""
    import farm.attest.sbom
    import farm.run.acceptance  # noqa: F401 - for later
