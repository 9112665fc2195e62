"""One run: build a plan, keep its logs and records, report how each unit ended."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from farm.errors import ExitCode
from farm.events import Outcome, RunFinished, RunStarted
from farm.host.files import storage_error
from farm.host.in_use import in_use
from farm.host.machine import this_machine
from farm.load.folders import mark_cache
from farm.run.identify import standings
from farm.run.options import Again
from farm.run.runs import RunSummary, new_run, write_summary
from farm.run.schedule import Report, run_units
from farm.run.unchanged import report
from farm.store.results import STATE

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from farm.events import Event, Sink
    from farm.model.unit import UnitKey
    from farm.plan.plan import Plan
    from farm.run.identify import Standing
    from farm.run.options import BuildOptions, Workplace
    from farm.run.runs import Run
    from farm.run.site import Site


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """How a run ended: a report for each unit in plan order, and the process's exit code.

    ``stood`` are all units with their identities if there was nothing to do.
    """

    reports: tuple[Report, ...]
    exit_code: int
    stood: tuple[tuple[UnitKey, str], ...] = ()


def build(
    plan: Plan, place: Workplace, options: BuildOptions, sink: Sink, cancel: threading.Event
) -> Outcomes:
    """Build what is not built yet.

    Where every result is already there and intact, nothing is started and
    nothing written.

    Raises:
        StorageError: the output or the cache folder cannot be written at all.
    """
    standing = standings(plan, place)
    keep = options.again is Again.KEEP and options.look is None
    if keep and all(each.stands for each in standing):
        return _unchanged(standing, place.out, sink)
    try:
        mark_cache(place.cache)
    except OSError as error:
        raise storage_error(error, place.cache) from error
    with in_use(place.cache, place.out / STATE):
        return _run(plan, place, options, sink, cancel)


def _run(
    plan: Plan, place: Workplace, options: BuildOptions, sink: Sink, cancel: threading.Event
) -> Outcomes:
    run = new_run(place.out)
    started = time.time()
    with _Logged(run, plan, sink) as emit:
        labels = tuple(unit.label for unit in plan.units)
        emit(RunStarted(run=run.name, units=labels, folder=str(run.folder)))
        site = _site(plan, place, options, run, emit)
        reports = _build_units(plan, site, cancel)
        seconds = round(time.time() - started, 3)
        exit_code = exit_code_of(reports)
        summary = RunSummary(
            name=run.name,
            command=options.command,
            started_s=started,
            seconds=seconds,
            exit_code=exit_code,
            units={report.unit: str(report.outcome) for report in reports},
        )
        write_summary(run, summary)
        emit(RunFinished(exit_code=exit_code, seconds=seconds))
    return Outcomes(reports=reports, exit_code=exit_code)


def _unchanged(standing: tuple[Standing, ...], out: Path, sink: Sink) -> Outcomes:
    results = [(each.unit.key, each.result) for each in standing if each.result]
    report(results, out, sink)
    return Outcomes(
        reports=tuple(Report(unit=key.label, outcome=Outcome.UNCHANGED) for key, _ in results),
        exit_code=0,
        stood=tuple((key, record.identity) for key, record in results),
    )


class _Logged:
    """A sink that writes the run's logs before it passes each event on.

    A run whose logs could not be written whole ends with a StorageError.
    """

    def __init__(self, run: Run, plan: Plan, sink: Sink) -> None:
        from farm.run.logs import LogWriter

        self._logs = LogWriter({unit.label: run.unit_folder(unit.key) for unit in plan.units})
        self._sink = sink
        self._folder = run.folder

    def __call__(self, event: Event) -> None:
        self._logs(event)
        self._sink(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._logs.close()
        if kind is None and self._logs.failure is not None:
            raise storage_error(self._logs.failure, self._folder)


def _site(plan: Plan, place: Workplace, options: BuildOptions, run: Run, emit: Sink) -> Site:
    from farm.run.site import Site

    return Site(
        place=place,
        run=run,
        options=options,
        machine=this_machine(options.memory_bytes),
        parallel=min(options.parallel, len(plan.units)),
        requested=plan.requested,
        looked=_looked(plan) if options.look else frozenset(),
        sink=emit,
    )


def _looked(plan: Plan) -> frozenset[str]:
    """What was asked for, but for what another unit needs: that one must be built."""
    needed = {need.label for unit in plan.units for need in unit.needs}
    return plan.requested - needed


def _build_units(plan: Plan, site: Site, cancel: threading.Event) -> tuple[Report, ...]:
    from farm.run.supplies import Supplies
    from farm.run.unit import UnitBuilder

    supplies = Supplies(site.place.cache, site.options, site.sink, cancel)
    builder = UnitBuilder(site, supplies, cancel)
    return run_units(
        plan,
        builder,
        parallel=site.parallel,
        fail_fast=site.options.fail_fast,
        cancel=cancel,
    )


def exit_code_of(reports: tuple[Report, ...]) -> int:
    """The code of the first unit in plan order that failed by itself; else of the first not ok."""
    failed = [report for report in reports if report.outcome is Outcome.FAILED]
    others = [report for report in reports if not report.ok]
    codes = (report.exit_code for report in (*failed, *others))
    return next((code for code in codes if code), int(ExitCode.OK))
