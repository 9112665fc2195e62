"""One run: settle what stands, build the rest, keep its logs, report how each unit ended."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.engine.where import maybe_elsewhere
from farm.errors import ExitCode
from farm.events import Outcome, RunFinished, RunStarted
from farm.host.files import storage_errors
from farm.host.in_use import in_use
from farm.host.machine import this_machine
from farm.load.folders import mark_cache
from farm.run.interrupts import interrupts
from farm.run.logged import Logged
from farm.run.options import Again
from farm.run.prerequisites import Prerequisites
from farm.run.resources import Resources
from farm.run.run_context import RunContext
from farm.run.runs import RunSummary, new_run, write_summary
from farm.run.settle import result_store, settle, template_folders
from farm.run.share import capacity_of, given
from farm.run.sharing import open_shared
from farm.run.tasks import Tasks
from farm.run.unchanged import report
from farm.run.units import Report, Units
from farm.store.results import STATE, ResultStore

if TYPE_CHECKING:
    import threading

    from farm.engine.engine import Engine
    from farm.events import Sink
    from farm.model.unit import UnitKey
    from farm.plan.plan import Plan
    from farm.run.options import BuildOptions, Workplace
    from farm.run.replay import Replay
    from farm.run.settle import Settled
    from farm.store.remote import RemoteResults


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """How a run ended: a report for each unit in plan order, and the process's exit code.

    ``stood`` are all units with their identities if there was nothing to do.
    """

    reports: tuple[Report, ...]
    exit_code: int
    stood: tuple[tuple[UnitKey, str], ...] = ()


def build(  # noqa: PLR0913 - what a caller may want to choose
    plan: Plan,
    place: Workplace,
    options: BuildOptions,
    sink: Sink,
    cancel: threading.Event,
    *,
    engine: Engine | None = None,
    replay: Replay | None = None,
) -> Outcomes:
    """Build what is not built yet, on ``engine`` or the one that the options choose.

    With ``replay`` the plan's one unit is built from that, whatever is there already;
    the result is kept below ``out`` alone.

    Where every result is already there and intact, nothing is started and
    nothing written.

    Raises:
        UsageError: more memory is asked for than this machine has.
        StorageError: the output or the cache folder cannot be written at all.
    """
    if options.memory_bytes and engine is None and not maybe_elsewhere(os.environ, options.engine):
        given(this_machine(), options)  # before anything is done for a run that is refused
    shared = open_shared(options, sink)
    settled = {} if replay else settle(plan, place, locked=options.locked, shared=shared)
    keep = options.again is Again.KEEP and not (options.look or options.sign_key)
    if keep and settled and all(_stands(each, place, shared) for each in settled.values()):
        return _unchanged(settled, place, sink)
    with storage_errors(place.cache):
        mark_cache(place.cache)
    with in_use(place.cache, place.out / STATE):
        return _run(plan, settled, place, options, sink, cancel, engine, replay, shared)


def _run(  # noqa: PLR0913, PLR0917 - what `build` was given
    plan: Plan,
    settled: dict[str, Settled],
    place: Workplace,
    options: BuildOptions,
    sink: Sink,
    cancel: threading.Event,
    engine: Engine | None,
    replay: Replay | None,
    shared: RemoteResults | None,
) -> Outcomes:
    with (
        new_run(place.out) as run,
        interrupts(cancel),
        Logged(run, plan.units, sink) as emit,
    ):
        labels = tuple(unit.label for unit in plan.units)
        emit(RunStarted(run=run.name, units=labels, folder=str(run.folder)))
        if shared is not None:
            shared.sink = emit
        tasks = Tasks(Resources(capacity_of(this_machine(), options)), cancel)
        context = RunContext(
            place=place,
            run=run,
            options=options,
            sink=emit,
            tasks=tasks,
            prerequisites=Prerequisites(
                place.cache, options, emit, tasks, engine, replay.held if replay else None
            ),
            results=ResultStore(place.out / STATE / "kept") if replay else result_store(place),
            templates=template_folders(place.project),
            requested=plan.requested,
            refused=plan.refused,
            looked=_looked(plan) if options.look else frozenset(),
            replay=replay,
            shared=shared,
        )
        return _to_the_end(Units(plan, context, settled))


def _to_the_end(units: Units) -> Outcomes:
    """Build all, and leave a summary however that ends."""
    started, context = time.time(), units.context
    try:
        asyncio.run(units.run())
    finally:
        reports = units.reports()
        summary = RunSummary(
            name=context.run.name,
            command=context.options.command,
            started_s=started,
            seconds=round(time.time() - started, 3),
            exit_code=exit_code_of(reports),
            units={report.unit: str(report.outcome) for report in reports},
        )
        write_summary(context.run, summary)
        context.sink(
            RunFinished(
                exit_code=summary.exit_code,
                seconds=summary.seconds,
                forecast_s=units.forecast_s(),
            )
        )
    return Outcomes(reports=reports, exit_code=summary.exit_code)


def _stands(settled: Settled, place: Workplace, shared: RemoteResults | None) -> bool:
    """Whether nothing is to do for a unit, not even to share it."""
    if not settled.shown(place.out) or settled.result is None:
        return False
    if shared is None or not shared.fills:
        return True
    listing = settled.listing
    return listing is not None and listing.expected == settled.result.record.expected


def _unchanged(settled: dict[str, Settled], place: Workplace, sink: Sink) -> Outcomes:
    results = [(each.unit.key, each.result.record) for each in settled.values() if each.result]
    report(results, place.out, sink)
    return Outcomes(
        reports=tuple(Report(unit=key.label, outcome=Outcome.UNCHANGED) for key, _ in results),
        exit_code=0,
        stood=tuple((key, record.identity) for key, record in results),
    )


def _looked(plan: Plan) -> frozenset[str]:
    """What was asked for, but for what another unit needs: that one must be built."""
    needed = {need.label for unit in plan.units for need in unit.needs}
    return plan.requested - needed


def exit_code_of(reports: tuple[Report, ...]) -> int:
    """The code of the first unit in plan order that failed by itself; else of the first not ok."""
    failed = [report for report in reports if report.outcome is Outcome.FAILED]
    others = [report for report in reports if not report.ok]
    codes = (report.exit_code for report in (*failed, *others))
    return next((code for code in codes if code), int(ExitCode.OK))
