"""Run the units of a plan in parallel, each after those that it needs."""

from __future__ import annotations

from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from farm.events import Outcome

if TYPE_CHECKING:
    import threading

    from farm.model.unit import Unit
    from farm.plan.plan import Plan

_POLL_S = 0.1


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


class Worker(Protocol):
    """What the scheduler calls; neither call may raise."""

    def build(self, unit: Unit, /) -> Report:
        """Build one unit."""

    def skip(self, unit: Unit, because: str, /) -> Report:
        """Report a unit that is not tried: ``because`` is the label of one that it needs."""

    def cancel(self, unit: Unit, /) -> Report:
        """Report a unit that is not tried because the run ends."""


def run_units(
    plan: Plan, worker: Worker, *, parallel: int, fail_fast: bool, cancel: threading.Event
) -> tuple[Report, ...]:
    """Build every unit of the plan; reports come back in plan order.

    A unit that fails takes only those that need it along.  With ``fail_fast``
    the first failure sets ``cancel``, and what runs is ended.
    """
    slots = max(parallel, 1)
    scheduler = _Scheduler(plan, worker, cancel, slots=slots, fail_fast=fail_fast)
    with ThreadPoolExecutor(max_workers=slots, thread_name_prefix="unit") as pool:
        try:
            scheduler.run(pool)
        except BaseException:
            cancel.set()  # else leaving the pool would wait for builds that nobody wants
            raise
    return tuple(scheduler.reports[unit.label] for unit in plan.units)


class _Scheduler:
    def __init__(
        self, plan: Plan, worker: Worker, cancel: threading.Event, *, slots: int, fail_fast: bool
    ) -> None:
        self.worker = worker
        self.cancel = cancel
        self.slots = slots
        self.fail_fast = fail_fast
        self.waiting = {unit.label: unit for unit in plan.units}
        self.running: dict[Future[Report], Unit] = {}
        self.reports: dict[str, Report] = {}

    def run(self, pool: ThreadPoolExecutor) -> None:
        try:
            while self.waiting or self.running:
                self._settle()
                self._start(pool)
                if self.running:
                    self._wait()
        except BaseException:
            # Ctrl-C outside of the wait, say: the pool waits for what runs, which must end.
            self.cancel.set()
            raise

    def _wait(self) -> None:
        try:
            # A timeout, so that the main thread notices Ctrl-C in between.
            done, _ = wait(self.running, timeout=_POLL_S, return_when=FIRST_COMPLETED)
        except KeyboardInterrupt:
            # The first Ctrl-C ends what runs and lets it report; a second one ends this too.
            if self.cancel.is_set():
                raise
            self.cancel.set()
            return
        for future in done:
            del self.running[future]
            self._take(future.result())

    def _take(self, report: Report) -> None:
        self.reports[report.unit] = report
        if report.outcome is Outcome.FAILED and self.fail_fast:
            self.cancel.set()

    def _settle(self) -> None:
        """Report what will not be tried: the run ends, or a needed unit has no wheels."""
        for label, unit in list(self.waiting.items()):
            lost = next((n.label for n in unit.needs if not self._may_come(n.label)), None)
            if self.cancel.is_set():
                self._take(self.worker.cancel(unit))
            elif lost is not None:
                self._take(self.worker.skip(unit, lost))
            else:
                continue
            del self.waiting[label]

    def _may_come(self, label: str) -> bool:
        report = self.reports.get(label)
        return report is None or report.ok

    def _start(self, pool: ThreadPoolExecutor) -> None:
        """Start what can start; the others wait here, where a cancel still finds them."""
        for label, unit in list(self.waiting.items()):
            if len(self.running) >= self.slots:
                return
            if all(need.label in self.reports for need in unit.needs):
                del self.waiting[label]
                self.running[pool.submit(self.worker.build, unit)] = unit
