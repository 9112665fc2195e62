"""Build one unit: inputs, base, context, engine, check, record, publish."""

from __future__ import annotations

import shutil
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import CancelledError, FarmError, LockError, NeededUnitError, SmokeTestError
from farm.events import Notice, Outcome, UnitFinished, UnitStarted
from farm.host.files import storage_error
from farm.plan.jobs import plan_jobs
from farm.plan.resolve import lock_problem
from farm.run.acceptance import accept, put_aside, still_accepted
from farm.run.attempt import (
    COMPILE,
    STEPS,
    Attempt,
    Work,
    context_folder,
    failure,
    run_attempt,
)
from farm.run.context import write_context
from farm.run.identify import identify, needed_wheels, template_folders
from farm.run.lockstep import require_lockstep
from farm.run.logs import compose
from farm.run.looking import never_built, told
from farm.run.options import Again
from farm.run.recording import Circumstances, needs_of, record_of
from farm.run.repeat import repeat_command
from farm.run.salvage import Witness, salvage
from farm.run.schedule import Report
from farm.run.secrets import network_secrets
from farm.run.smoke_test import DOCKERFILE as TRIAL_DOCKERFILE
from farm.run.smoke_test import LOG as TRIAL_LOG
from farm.run.smoke_test import Bench, try_wheel, wheel_at
from farm.store.record import write_record
from farm.store.results import find_result, publish, result_folder

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from farm.model.unit import Unit
    from farm.plan.jobs import JobPlan
    from farm.render.context import Wheel
    from farm.run.acceptance import Accepted
    from farm.run.identify import Identified
    from farm.run.site import Site
    from farm.run.supplies import Supplies
    from farm.store.record import Record, WheelFile

FIRST_ATTEMPT = 1
"""Attempts of a unit share the engine's cache; only after a failure comes another number."""


class UnitBuilder:
    """Builds the units of one run; see `farm.run.schedule.Worker`."""

    def __init__(self, site: Site, supplies: Supplies, cancel: threading.Event) -> None:
        self.site = site
        self.supplies = supplies
        self.cancelled = cancel

    def build(self, unit: Unit) -> Report:
        """Build a unit, whatever happens; the report says how it ended."""
        started = time.time()
        try:
            return _Build(self, unit, started).run()
        except FarmError as error:
            return self._ended(unit, error, started)
        except OSError as error:
            return self._ended(unit, storage_error(error, self.site.run.folder), started)

    def skip(self, unit: Unit, because: str) -> Report:
        """Report a unit that is not tried, since one that it needs has no wheels."""
        error = NeededUnitError(f"not tried: it needs {because}, which was not built")
        return self._ended(unit, error, time.time(), outcome=Outcome.BLOCKED)

    def cancel(self, unit: Unit) -> Report:
        """Report a unit that is not tried because the run ends."""
        return self._ended(unit, CancelledError("not tried: the run was cancelled"), time.time())

    def _ended(
        self,
        unit: Unit,
        error: FarmError,
        started: float,
        *,
        outcome: Outcome = Outcome.FAILED,
    ) -> Report:
        if isinstance(error, CancelledError):
            outcome = Outcome.CANCELLED
        folder = self.site.run.unit_folder(unit.key)
        log = folder / "build.log"
        self.site.sink(
            UnitFinished(
                unit=unit.label,
                outcome=outcome,
                seconds=time.time() - started,
                exit_code=int(error.code),
                log=str(log) if log.exists() else "",
                step=error.step,
                message=error.message,
                hint=error.hint,
                details=error.details,
                repeat=repeat_command(unit, self.site) if outcome is Outcome.FAILED else "",
            )
        )
        return Report(unit=unit.label, outcome=outcome, exit_code=int(error.code))


class _Build:
    """One unit on its way through a run."""

    def __init__(self, builder: UnitBuilder, unit: Unit, started: float) -> None:
        site = self.site = builder.site
        self.supplies = builder.supplies
        self.cancelled = builder.cancelled
        self.unit = unit
        self.started = started
        self.folder = site.run.unit_folder(unit.key)
        self.jobs: JobPlan = plan_jobs(
            unit.jobs,
            site.machine,
            parallel_units=site.parallel,
            max_jobs=site.options.max_jobs,
            nvcc_threads=site.options.nvcc_threads,
        )
        self.base: dict[str, object] = {}
        self.look = site.options.look if unit.label in site.looked else None

    def run(self) -> Report:
        self.site.sink(UnitStarted(unit=self.unit.label, max_jobs=self.jobs.max_jobs))
        for text in self.unit.refused:
            warning = f"built although it is known not to work: {text}"
            self.site.sink(Notice(text=warning, unit=self.unit.label))
        problem = lock_problem(self.unit)
        if problem:
            raise LockError(
                f"cannot be built: {problem}", hint=f"run: farm lock {self.unit.label}"
            )
        staged = self.supplies.inputs(self.unit)
        require_lockstep(self.unit, staged)
        image, self.base = self.supplies.base(self.unit.base)
        identified = self._identify(image)
        with _locked(self.site, self.unit, self.cancelled):
            done = find_result(self.site.place.out, self.unit.key, identified.identity)
            if done and not self._again():
                return self._unchanged(done)
            return self._on_engine(identified, staged, done)

    def _again(self) -> bool:
        wanted = self.site.options.again is not Again.KEEP
        return wanted and self.unit.label in self.site.requested

    def _identify(self, image: str) -> Identified:
        return identify(
            self.unit,
            base=image,
            needed=needed_wheels(self.unit, self.site.place.out),
            templates=template_folders(self.site.place.project),
            look=self.look,
        )

    def _lay_out(self, identified: Identified, staged: dict[str, Path]) -> None:
        context = context_folder(self.folder, identified)
        context.mkdir(parents=True)
        (self.folder / "Dockerfile").write_text(identified.dockerfile, encoding="utf-8")
        write_context(context, identified.entries, staged)

    def _unchanged(self, record: Record) -> Report:
        folder = result_folder(self.site.place.out, self.unit.key)
        checked = still_accepted(record, self.unit, folder)
        if checked is not record:
            try:
                tried = self._try(wheel_at(folder, record.wheels[0]))
            except SmokeTestError as error:
                stays = f"the wheel, built before, stays in {folder}"
                error.hint = "; ".join(filter(None, (error.hint, stays)))
                raise
            self._keep_trial(folder)
            write_record(folder, replace(checked, smoke_test=tried))
        self._finish(Outcome.UNCHANGED, record.wheels, folder)
        return Report(unit=self.unit.label, outcome=Outcome.UNCHANGED)

    def _on_engine(
        self, identified: Identified, staged: dict[str, Path], done: Record | None
    ) -> Report:
        self._lay_out(identified, staged)
        number = done.attempt if done else FIRST_ATTEMPT
        if self._again() and self.site.options.again is Again.REBUILD:
            number = int(time.time())
        with network_secrets(self.unit) as secrets:
            work = Work(
                identified=identified,
                endpoint=self.supplies.endpoint(),
                folder=self.folder,
                jobs=self.jobs,
                secrets=secrets,
            )
            attempt = self._attempt(work, number)
        compile_log = self._logs(attempt)
        if self.look is not None and attempt.stopped:
            return self._stop(identified, attempt)
        if self.look is not None and attempt.compiled:
            shutil.rmtree(attempt.exported, ignore_errors=True)
            raise never_built()
        try:
            if not attempt.compiled:
                raise failure(attempt, compile_log or self.folder / "build.log")
            return self._succeed(identified, attempt)
        except CancelledError:
            raise
        except FarmError as error:
            with suppress(OSError):  # a full disk: what ended the build is what counts
                write_record(self.folder, self._record(identified, attempt, None, error))
            raise

    def _attempt(self, work: Work, number: int) -> Attempt:
        witness = Witness(self.site.sink)
        try:
            return run_attempt(work, number, witness, self.cancelled)
        except FarmError:
            with suppress(OSError):  # a full disk: what ended the attempt is what counts
                salvage(work, witness, cancelled=self.cancelled.is_set())
            raise
        finally:
            shutil.rmtree(context_folder(self.folder, work.identified), ignore_errors=True)

    def _logs(self, attempt: Attempt) -> Path | None:
        """Move the step's own logs beside the build log, which gets its whole lines."""
        logs = attempt.exported / "logs"
        raw, timed = logs / "compile.log", logs / "compile.timed.log"
        if not raw.exists():
            return None
        build_log = self.folder / "build.log"
        whole = self.folder / "build.whole.log"
        compose(build_log, timed, whole)
        whole.replace(build_log)
        timed.unlink()
        return raw.rename(self.folder / "compile.log")

    def _succeed(self, identified: Identified, attempt: Attempt) -> Report:
        accepted = accept(
            attempt.exported,
            self.unit,
            aside=self.folder / "rejected",
            compilers=attempt.compilers,
        )
        wheel = accepted.wheel
        for text in accepted.warnings:
            self.site.sink(Notice(text=text, unit=self.unit.label))
        try:
            tried = self._try(wheel_at(attempt.exported, wheel))
        except SmokeTestError as error:
            aside = put_aside(attempt.exported / wheel.filename, self.folder / "rejected")
            error.hint = "; ".join(filter(None, (error.hint, aside)))
            raise
        staging = self.folder / "result"
        (staging / "logs").mkdir(parents=True)
        (attempt.exported / wheel.filename).rename(staging / wheel.filename)
        for name in ("build.log", "compile.log"):
            if (self.folder / name).exists():
                shutil.copyfile(self.folder / name, staging / "logs" / name)
        shutil.copyfile(self.folder / "Dockerfile", staging / "Dockerfile")
        self._keep_trial(staging)
        record = self._record(identified, attempt, replace(accepted, tried=tried), None)
        write_record(staging, record)
        write_record(self.folder, record)
        folder = publish(staging, self.site.place.out, self.unit.key)
        shutil.rmtree(attempt.exported, ignore_errors=True)
        self._finish(Outcome.BUILT, (wheel,), folder)
        return Report(unit=self.unit.label, outcome=Outcome.BUILT)

    def _try(self, wheel: Wheel) -> dict[str, object]:
        """Try the wheel in a clean container, where its recipe says how."""
        if self.unit.smoke_test is None and not self.unit.untried:
            text = "the wheel was not tried: its recipe has no smoke_test"
            self.site.sink(Notice(text=text, unit=self.unit.label))
        bench = Bench(
            folder=self.folder,
            supplies=self.supplies,
            templates=template_folders(self.site.place.project),
            sink=self.site.sink,
            cancel=self.cancelled,
        )
        needed = needed_wheels(self.unit, self.site.place.out)
        return try_wheel(self.unit, wheel, needed, bench)

    def _keep_trial(self, result: Path) -> None:
        """Keep how the wheel was tried beside it."""
        for name, target in ((TRIAL_DOCKERFILE, result), (TRIAL_LOG, result / "logs")):
            if (self.folder / name).exists():
                shutil.copyfile(self.folder / name, target / name)

    def _stop(self, identified: Identified, attempt: Attempt) -> Report:
        """Keep what the build would have done in the run's folder; nothing is published."""
        (attempt.exported / STEPS).replace(self.folder / STEPS)
        shutil.rmtree(attempt.exported, ignore_errors=True)
        write_record(self.folder, self._record(identified, attempt, None, None))
        message, details = told(attempt.steps)
        self.site.sink(
            UnitFinished(
                unit=self.unit.label,
                outcome=Outcome.STOPPED,
                seconds=time.time() - self.started,
                log=str(self.folder / "build.log"),
                step=COMPILE,
                message=message,
                details=details,
            )
        )
        return Report(unit=self.unit.label, outcome=Outcome.STOPPED)

    def _finish(self, outcome: Outcome, wheels: tuple[WheelFile, ...], folder: Path) -> None:
        self.site.sink(
            UnitFinished(
                unit=self.unit.label,
                outcome=outcome,
                seconds=time.time() - self.started,
                wheels=tuple(str(folder / wheel.filename) for wheel in wheels),
                log=str(folder / "logs" / "build.log"),
            )
        )

    def _record(
        self,
        identified: Identified,
        attempt: Attempt,
        accepted: Accepted | None,
        error: FarmError | None,
    ) -> Record:
        circumstances = Circumstances(
            run=self.site.run.name,
            engine=self.supplies.endpoint().name,
            base=self.base,
            jobs=self.jobs,
            needs=needs_of(self.unit, self.site.place.out),
            started_s=self.started,
        )
        return record_of(identified, attempt, circumstances, accepted=accepted, error=error)


class _locked:  # noqa: N801 - reads as a statement: with _locked(…)
    """One farm at a time for one unit of one output folder; waiting can be cancelled."""

    def __init__(self, site: Site, unit: Unit, cancel: threading.Event) -> None:
        from filelock import FileLock

        folder = site.place.out / ".farm" / "locks"
        folder.mkdir(parents=True, exist_ok=True)
        self.lock = FileLock(folder / f"{unit.key.folder.replace('/', '@')}.lock")
        self.waiting = Notice(text="another farm builds it: waiting for its end", unit=unit.label)
        self.sink = site.sink
        self.cancel = cancel

    def __enter__(self) -> None:
        from filelock import Timeout

        told = False
        while True:
            try:
                self.lock.acquire(timeout=0.2)
            except Timeout:
                if self.cancel.is_set():
                    raise CancelledError("cancelled while another farm builds it") from None
                if not told:
                    self.sink(self.waiting)
                told = True
            else:
                return

    def __exit__(self, *_: object) -> None:
        self.lock.release()
