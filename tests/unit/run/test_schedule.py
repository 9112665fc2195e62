"""The scheduler: every unit reported once, dependents of failures blocked, siblings run."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.events import Outcome
from farm.model.unit import (
    Expected,
    JobRule,
    LockInputs,
    RootfsBase,
    Source,
    Unit,
    UnitKey,
)
from farm.plan.plan import Plan
from farm.run.schedule import Report, run_units
from farm.run.session import exit_code_of

OK = {Outcome.BUILT, Outcome.UNCHANGED}


def key(name: str) -> UnitKey:
    return UnitKey(package=name, version="1", variant="cpu")


def unit(name: str, *needs: str) -> Unit:
    return Unit(
        key=key(name), base_variant="cpu", python="3.13", accelerator="cpu", archs=(), features=(),
        toolchain="cpu", host_compiler=("gcc", "14"),
        base=RootfsBase(name="b", suite="trixie", snapshot=None, packages=()), toolkit=None,
        source=Source(name=name, kind="sdist", filename="x", digest="y"), sources=(), patches=(),
        edits=(), lock=None, lock_stem="cpu", unlocked="", env=(), forbid_output=(),
        lock_inputs=LockInputs(source="", requires=(), provided=(), python="", glibc=""),
        needs=tuple(key(need) for need in needs), reasons=(),
        jobs=JobRule(memory_per_job_bytes=1, reason=""),
        expected=Expected(extensions=None, tag=None),
    )  # fmt: skip


def plan_of(needs: dict[str, list[str]]) -> Plan:
    units = tuple(unit(name, *needed) for name, needed in needs.items())
    return Plan(units=units, requested=frozenset(u.label for u in units))


@dataclass
class Builder:
    """A worker that takes down what it is asked; ``outcomes`` says how builds end."""

    outcomes: dict[str, Outcome] = field(default_factory=dict)
    cancel_in: str = ""
    takes_s: float = 0
    cancelled: threading.Event = field(default_factory=threading.Event)
    calls: list[tuple[str, str]] = field(default_factory=list)
    running: int = 0
    most: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def build(self, unit: Unit) -> Report:
        with self.lock:
            self.calls.append(("build", unit.key.package))
            self.running += 1
            self.most = max(self.most, self.running)
        if unit.key.package == self.cancel_in:
            self.cancelled.set()
        time.sleep(self.takes_s)
        with self.lock:
            self.running -= 1
        outcome = self.outcomes.get(unit.key.package, Outcome.BUILT)
        return Report(unit=unit.label, outcome=outcome, exit_code=0 if outcome in OK else 9)

    def skip(self, unit: Unit, because: str) -> Report:
        self.calls.append(("skip", unit.key.package))
        assert because in {need.label for need in unit.needs}
        return Report(unit=unit.label, outcome=Outcome.BLOCKED, exit_code=15)

    def cancel(self, unit: Unit) -> Report:
        self.calls.append(("cancel", unit.key.package))
        return Report(unit=unit.label, outcome=Outcome.CANCELLED, exit_code=130)

    def run(
        self, needs: dict[str, list[str]], *, parallel: int = 2, fail_fast: bool = False
    ) -> dict[str, Outcome]:
        reports = run_units(
            plan_of(needs), self, parallel=parallel, fail_fast=fail_fast, cancel=self.cancelled
        )
        assert [r.unit for r in reports] == [key(name).label for name in needs]
        assert sorted(name for _, name in self.calls) == sorted(needs)
        return {name: report.outcome for name, report in zip(needs, reports, strict=True)}


@st.composite
def dags(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"p{n}" for n in range(draw(st.integers(1, 9)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        for index, name in enumerate(names)
    }


ENDS = st.sampled_from([Outcome.BUILT, Outcome.UNCHANGED, Outcome.FAILED])


def needed_by(needs: dict[str, list[str]], name: str) -> set[str]:
    """Everything that a unit needs, directly or not."""
    return {n for need in needs[name] for n in (need, *needed_by(needs, need))}


@settings(deadline=None, max_examples=80)
@given(dags(), st.data(), st.integers(1, 4))
def test_a_failure_takes_only_those_along_that_need_it(
    needs: dict[str, list[str]], data: st.DataObject, parallel: int
) -> None:
    ends = {name: data.draw(ENDS, label=name) for name in needs}
    builder = Builder(outcomes=ends)
    found = builder.run(needs, parallel=parallel)
    failed = {name for name, outcome in ends.items() if outcome is Outcome.FAILED}
    for name in needs:
        lost = needed_by(needs, name) & failed
        assert found[name] is (Outcome.BLOCKED if lost else ends[name])
    order = [name for what, name in builder.calls if what == "build"]
    for name in order:
        assert needed_by(needs, name) <= set(order[: order.index(name)])
    assert builder.most <= parallel


@settings(deadline=None, max_examples=60)
@given(dags(), st.data(), st.integers(1, 3))
def test_with_fail_fast_nothing_starts_after_the_first_failure_is_known(
    needs: dict[str, list[str]], data: st.DataObject, parallel: int
) -> None:
    ends = {name: data.draw(ENDS, label=name) for name in needs}
    builder = Builder(outcomes=ends)
    found = builder.run(needs, parallel=parallel, fail_fast=True)
    failed = [name for name in needs if found[name] is Outcome.FAILED]
    assert builder.cancelled.is_set() == bool(failed)
    if parallel == 1:
        assert len(failed) <= 1
        if failed:
            built = [name for what, name in builder.calls if what == "build"]
            assert built[-1] == failed[0]


@settings(deadline=None, max_examples=60)
@given(dags(), st.data())
def test_a_cancel_lets_what_runs_report_and_starts_nothing_more(
    needs: dict[str, list[str]], data: st.DataObject
) -> None:
    ending = data.draw(st.sampled_from(sorted(needs)))
    builder = Builder(cancel_in=ending)
    found = builder.run(needs, parallel=1)
    built = [name for what, name in builder.calls if what == "build"]
    assert built[-1] == ending
    assert {name for name, outcome in found.items() if outcome is Outcome.CANCELLED} == set(
        needs
    ) - set(built)


def test_a_run_that_was_cancelled_before_it_began_builds_nothing() -> None:
    builder = Builder()
    builder.cancelled.set()
    assert set(builder.run({"a": [], "b": ["a"]}).values()) == {Outcome.CANCELLED}
    assert {what for what, _ in builder.calls} == {"cancel"}


def test_units_do_run_at_once() -> None:
    meeting = threading.Barrier(3, timeout=30)

    class Meeting(Builder):
        def build(self, unit: Unit) -> Report:
            meeting.wait()
            return super().build(unit)

    found = Meeting().run({"a": [], "b": [], "c": []}, parallel=3)
    assert set(found.values()) == {Outcome.BUILT}


def test_never_more_than_asked_for_run_at_once() -> None:
    builder = Builder(takes_s=0.005)
    builder.run({f"p{n}": [] for n in range(12)}, parallel=3)
    assert builder.most <= 3


def test_no_slot_at_all_is_one() -> None:
    assert Builder().run({"a": []}, parallel=0) == {"a": Outcome.BUILT}


def test_an_unexpected_end_cancels_what_runs_before_it_gets_out() -> None:
    class Broken(Builder):
        def build(self, unit: Unit) -> Report:
            if unit.key.package == "broken":
                raise RuntimeError("a bug")
            assert self.cancelled.wait(30)
            return Report(unit=unit.label, outcome=Outcome.CANCELLED, exit_code=130)

    builder = Broken()
    with pytest.raises(RuntimeError, match="a bug"):
        builder.run({"broken": [], "long": []})
    assert builder.cancelled.is_set()


def test_ctrl_c_wherever_it_arrives_cancels_what_runs() -> None:
    class Interrupted(Builder):
        def build(self, unit: Unit) -> Report:
            if unit.key.package == "long":
                assert self.cancelled.wait(30)
            return Report(unit=unit.label, outcome=Outcome.FAILED, exit_code=9)

        def skip(self, unit: Unit, because: str) -> Report:
            raise KeyboardInterrupt

    builder = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        builder.run({"long": [], "lost": [], "dependent": ["lost"]})
    assert builder.cancelled.is_set()


@pytest.mark.parametrize(
    ("outcomes", "code"),
    [
        ([], 0),
        ([(Outcome.BUILT, 0), (Outcome.UNCHANGED, 0)], 0),
        ([(Outcome.BUILT, 0), (Outcome.FAILED, 9), (Outcome.FAILED, 12)], 9),
        ([(Outcome.BLOCKED, 15), (Outcome.FAILED, 13)], 13),
        ([(Outcome.CANCELLED, 130), (Outcome.FAILED, 12)], 12),
        ([(Outcome.CANCELLED, 130), (Outcome.BLOCKED, 15)], 130),
        ([(Outcome.BUILT, 0), (Outcome.BLOCKED, 15)], 15),
    ],
)
def test_the_exit_code_is_that_of_the_first_own_failure(
    outcomes: list[tuple[Outcome, int]], code: int
) -> None:
    reports = [Report(unit=str(n), outcome=o, exit_code=c) for n, (o, c) in enumerate(outcomes)]
    assert exit_code_of(tuple(reports)) == code
