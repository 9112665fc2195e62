"""All units of a run on their ways at once, each after those that it needs."""

from __future__ import annotations

import asyncio
import time
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import (
    CancelledError,
    ExitCode,
    FarmError,
    InternalError,
    NeededUnitError,
    StorageError,
    UsageError,
)
from farm.events import Notice, Outcome, UnitFinished
from farm.host.files import FULL_ERRNOS, storage_error
from farm.run.estimates import estimates_of
from farm.run.outlook import outlook, to_build
from farm.run.places import place_of
from farm.run.repeat import repeat_command, reproduce_command
from farm.run.resources import Resource
from farm.run.share import capacity_of, given, jobs_of
from farm.run.unit import Ended, UnitBuild
from farm.store.bundle import NAME as BUNDLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.model.unit import Unit
    from farm.plan.jobs import JobPlan
    from farm.plan.plan import Plan
    from farm.run.outlook import Outlook
    from farm.run.run_context import RunContext
    from farm.run.settle import Settled
    from farm.store.results import Result


_POLL_S = 0.05


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How a unit ended.  ``exit_code`` is 0 unless it failed, was blocked or cancelled."""

    unit: str
    outcome: Outcome
    exit_code: int = 0

    @property
    def ok(self) -> bool:
        """Whether its wheels are there."""
        return self.outcome in {Outcome.BUILT, Outcome.UNCHANGED}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """A unit's report, and the result that others may need."""

    report: Report
    result: Result | None = None


class Units:
    """Builds the units of a plan; whatever becomes of one, the others go on."""

    def __init__(
        self,
        plan: Plan,
        context: RunContext,
        settled: Mapping[str, Settled],
    ) -> None:
        self.plan = plan
        self.context = context
        self.settled = settled
        self.jobs: dict[str, JobPlan] = {}
        self.estimates = estimates_of(plan, context.place)
        seconds = {label: each.seconds for label, each in self.estimates.items()}
        self.priorities = longest_paths(plan, seconds)
        self.outlook: Outlook | None = None
        self._ways: dict[str, asyncio.Task[_Told]] = {}
        self._told: dict[str, _Told] = {}
        self._refused: UsageError | None = None
        self._sharing: list[asyncio.Task[None]] = []

    async def run(self) -> None:
        """Let every unit go its way, and wait for all."""
        async with self.context.tasks.watched():
            await self._size()
            for unit in self.plan.units:
                self._ways[unit.label] = asyncio.ensure_future(self._way(unit))
            await asyncio.gather(*self._ways.values())
            await asyncio.gather(*self._sharing)

    async def _size(self) -> None:
        """Take the measure of the machine that compiles: what is shared, each unit's jobs.

        More memory asked for than that one has is told by every unit.
        """
        context, options = self.context, self.context.options
        try:
            machine = given(await context.prerequisites.machine(), options)
        except UsageError as error:
            self._refused = error
            return
        context.tasks.resources.resize(capacity_of(machine, options))
        if not options.look:
            building = to_build(self.plan, self.settled, options)
            self.outlook = outlook(self.plan, building, self.estimates, machine, options)
        self.jobs = {unit.label: jobs_of(unit, machine, options) for unit in self.plan.units}

    def reports(self) -> tuple[Report, ...]:
        """Every unit's report, in plan order; who has none was ended with the run."""
        ended = Outcome.CANCELLED, int(ExitCode.CANCELLED)
        return tuple(
            self._told[unit.label].report
            if unit.label in self._told
            else Report(unit=unit.label, outcome=ended[0], exit_code=ended[1])
            for unit in self.plan.units
        )

    def forecast_s(self) -> float | None:
        """How long the run was to last, if that can be held against how long it did."""
        if self.outlook is None or self.outlook.guessed:
            return None
        told = {report.unit: report.outcome for report in self.reports()}
        built = all(told[label] is Outcome.BUILT for label in self.outlook.units)
        return round(self.outlook.seconds, 3) if built else None

    async def _way(self, unit: Unit) -> _Told:
        started = time.time()
        try:
            ended = await self._ended(unit)
        except Exception as error:  # noqa: BLE001 - one unit's fault, of whatever kind, is its own
            told = self._failed(unit, explained(error), started)
        else:
            told = self._finished(unit, ended, started)
            self._sharing.append(asyncio.ensure_future(self._share(unit, told.result)))
        self._told[unit.label] = told
        return told

    async def _ended(self, unit: Unit) -> Ended:
        needs = [await self._ways[need.label] for need in unit.needs]
        if self.context.tasks.cancel.is_set():
            raise CancelledError("not tried: the run was cancelled")
        if self._refused:
            raise self._refused
        for need in needs:
            if need.result is None:
                raise NeededUnitError(
                    f"not tried: it needs {need.report.unit}, which was not built"
                )
        if self._stands(unit):
            return Ended(outcome=Outcome.UNCHANGED, result=self.settled[unit.label].result)
        way = UnitBuild(
            self.context,
            unit,
            self.jobs[unit.label],
            needed=tuple(need.result for need in needs if need.result),
            priority=self.priorities[unit.label],
        )
        return await way.run()

    async def _share(self, unit: Unit, result: Result | None) -> None:
        """Let other machines have a result; nobody waits for that, but the end of the run."""
        shared, cancel = self.context.shared, self.context.tasks.cancel
        if shared is None or result is None:
            return
        offering = asyncio.ensure_future(
            self.context.tasks.run(
                lambda: shared.offer(unit.key, result.identity, self.context.results),
                {Resource.NETWORK: 1},
            )
        )
        while not offering.done() and not cancel.is_set():  # a transfer heeds no cancelling
            await asyncio.wait({offering}, timeout=_POLL_S)
        offering.cancel()
        try:
            await offering
        except (CancelledError, asyncio.CancelledError):
            return
        except Exception as error:  # noqa: BLE001 - the unit is built, whatever this is
            text = f"its result was not shared: {explained(error).message}"
            self.context.sink(Notice(text=text, unit=unit.label))

    def _stands(self, unit: Unit) -> bool:
        """Whether nothing is to do for a unit, whatever becomes of the others."""
        again = self.context.options.again_for(unit.label in self.context.requested)
        if again or self.context.look_of(unit) is not None:
            return False
        return self.settled[unit.label].shown(self.context.place.out)

    def _finished(self, unit: Unit, ended: Ended, started: float) -> _Told:
        folder = ended.result.folder if ended.result else None
        wheels = ended.result.record.wheels if ended.result else ()
        if self.context.options.sign_key and ended.result:
            self._tell_unsigned(unit, ended.result)
        log = folder / "logs" if folder else self.context.run.unit_folder(unit.key)
        self.context.sink(
            UnitFinished(
                unit=unit.label,
                outcome=ended.outcome,
                seconds=time.time() - started,
                wheels=tuple(str(folder / wheel.filename) for wheel in wheels if folder),
                log=str(log / "build.log"),
                step="" if folder else "compile",
                message=ended.message,
                details=ended.details,
            )
        )
        return _Told(report=Report(unit=unit.label, outcome=ended.outcome), result=ended.result)

    def _tell_unsigned(self, unit: Unit, result: Result) -> None:
        from farm.attest.files import is_signed

        if not is_signed(result.record):
            text = "its provenance is not signed, since it was built before: --rebuild signs it"
            self.context.sink(Notice(text=text, unit=unit.label))

    def _failed(self, unit: Unit, error: FarmError, started: float) -> _Told:
        outcome = _OUTCOMES.get(type(error), Outcome.FAILED)
        failed = outcome is Outcome.FAILED
        if failed and self.context.options.fail_fast:
            self.context.tasks.cancel.set()
        log = self.context.run.unit_folder(unit.key) / "build.log"
        place = place_of(unit, error, self.context.place.project) if failed else None
        repeat, reproduce = self._commands(unit) if failed else ("", "")
        self.context.sink(
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
                repeat=repeat,
                reproduce=reproduce,
                file=place.file if place else "",
                line=place.line if place else None,
            )
        )
        report = Report(unit=unit.label, outcome=outcome, exit_code=int(error.code))
        return _Told(report=report)

    def _commands(self, unit: Unit) -> tuple[str, str]:
        """What to type after a failure: to build again, and to do just the same again."""
        bundle = self.context.run.unit_folder(unit.key) / BUNDLE
        repeat = "" if self.context.replay else repeat_command(unit, self.context)
        return repeat, reproduce_command(bundle, self.context) if bundle.exists() else ""


_OUTCOMES = {CancelledError: Outcome.CANCELLED, NeededUnitError: Outcome.BLOCKED}


def explained(error: Exception) -> FarmError:
    """An exception that ended a unit, as its user needs it."""
    if isinstance(error, FarmError):
        return error
    if isinstance(error, OSError) and error.errno in FULL_ERRNOS:
        return storage_error(error, str(error.filename or "the disk"))
    if isinstance(error, OSError) and error.filename:
        return StorageError(f"cannot use {error.filename}: {error.strerror}")
    lines = traceback.format_exception(error)
    return InternalError(
        f"unexpected {type(error).__name__}: {error}",
        hint="this is a bug in farm: please report it with these lines",
        details="".join(lines).splitlines()[-12:],
    )


def longest_paths(plan: Plan, seconds: Mapping[str, float]) -> dict[str, float]:
    """For each unit how long it takes from its beginning to the end of all that need it.

    ``seconds`` are the estimates of the units themselves, by label.
    """
    paths = dict(seconds)
    for unit in reversed(plan.units):  # those that need it come after it
        for need in unit.needs:
            own = seconds[need.label]
            paths[need.label] = max(paths[need.label], own + paths[unit.label])
    return paths
