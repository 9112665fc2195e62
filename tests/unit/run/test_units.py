"""Whole runs on an engine that builds nothing: what is lost, what is kept, what each is told."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import tempfile
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.debian import bases
from farm.errors import ExitCode
from farm.events import Compiled, Event, Outcome, RunFinished, UnitFinished, UnitStarted
from farm.load.locks import inputs_digest
from farm.model.unit import Lock, RootfsBase
from farm.render.manifest import BaseReference
from farm.run.options import Again, BuildOptions, Workplace
from farm.run.runs import list_runs, read_summary
from farm.run.session import Outcomes, build
from farm.run.settle import settle
from farm.run.units import longest_paths
from farm.source import debs
from farm.source.fetch import GoneError
from farm.store.results import find_result
from tests.support import debian
from tests.support.calls import call, line
from tests.support.fake_engine import COMPILE, TRIAL, Call, Ends, FakeEngine
from tests.support.projects import planned, project_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from farm.load.project import Project
    from farm.model.debian import ResolvedBase
    from farm.model.unit import Unit
    from farm.plan.plan import Plan
    from farm.run.settle import Settled
    from farm.source.kinds import DebFile

PATIENCE_S = 300.0
FAILURES = [e for e in Ends if e not in {Ends.WELL, Ends.HUNG, Ends.CROWDED}]
RECIPE = """\
package: {name}
versions:
  1.0.0: {{source: {{tree: demo}}}}
variants:
  cpu:
    toolchain: {toolchain}
    smoke_test: {{imports: [{name}]}}
    env: {{SAID: "{said}"}}
    needs: [{needs}]
"""
NEED = "{{package: {name}, version: 1.0.0, variant: cpu}}"
Needs = dict[str, list[str]]


def label(name: str) -> str:
    return f"{name}@1.0.0:cpu"


def locked(unit: Unit) -> Unit:
    """A unit with locks of nothing, which is all that it requires."""
    test = unit.smoke_test
    if test is not None:
        test = replace(test, lock=Lock(inputs=inputs_digest(test.lock_inputs), pins=()))
    lock = Lock(inputs=inputs_digest(unit.lock_inputs), pins=())
    return replace(unit, lock=lock, smoke_test=test)


@dataclass
class Farm:
    """A project whose units need each other so, and the engine on which it builds."""

    root: Path
    needs: Needs
    engine: FakeEngine = field(default_factory=FakeEngine)
    said: str = "a"
    toolchain: str = "fromimage"
    cache: Path | None = None
    events: list[Event] = field(default_factory=list)

    @property
    def place(self) -> Workplace:
        cache = self.cache or self.root / "cache"
        return Workplace(project=self.project, out=self.root / "out", cache=cache)

    @property
    def project(self) -> Project:
        recipes = {
            f"recipes/{name}.yaml": RECIPE.format(
                name=name,
                said=self.said,
                toolchain=self.toolchain,
                needs=", ".join(NEED.format(name=n) for n in needs),
            )
            for name, needs in self.needs.items()
        }
        return project_at(self.root, recipes)

    def plan(self) -> Plan:
        made = planned(self.project, *self.needs)
        return replace(made, units=tuple(map(locked, made.units)))

    def build(self, *, cancel: threading.Event | None = None, **options: object) -> Outcomes:
        """Build everything; a run that never ends fails the test instead of hanging."""
        found: list[Outcomes | BaseException] = []
        self.events = []

        def work() -> None:
            try:
                found.append(
                    build(
                        self.plan(),
                        self.place,
                        BuildOptions(**options),  # type: ignore[arg-type]
                        self.events.append,
                        cancel or threading.Event(),
                        engine=self.engine,
                    )
                )
            except BaseException as error:  # noqa: BLE001 - raised again below
                found.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(PATIENCE_S)
        assert found, f"the run does not end: {self.events[-5:]}"
        if isinstance(found[0], BaseException):
            raise found[0]
        self.check(found[0])
        return found[0]

    def check(self, outcomes: Outcomes) -> None:
        """What holds of every run, whatever happened in it."""
        ends = [event for event in self.events if isinstance(event, UnitFinished)]
        assert sorted(e.unit for e in ends) == sorted(r.unit for r in outcomes.reports)
        assert isinstance(self.events[-1], RunFinished)
        if not outcomes.stood:
            summary = read_summary(list_runs(self.place.out)[0])
            assert summary is not None
            assert summary.exit_code == outcomes.exit_code
        settled = settle(self.plan(), self.place)
        for report in outcomes.reports:
            if report.ok:
                self.check_shown(settled[report.unit], settled)

    def check_shown(self, unit: Settled, settled: Mapping[str, Settled]) -> None:
        """The wheel below ``out/`` is whole, and that of its own unit and of what it needs."""
        assert unit.shown(self.place.out)
        assert unit.result is not None
        record = unit.result.record
        assert record.wheels[0].filename == f"{record.package}-1.0.0-py3-none-any.whl"
        manifest = (unit.result.folder / "manifest.json").read_bytes()
        assert record.identity == hashlib.sha256(manifest).hexdigest()
        for need in record.needs:
            other = settled[need.name].result
            assert other is not None
            assert other.identity == need.digest

    def outcomes(self) -> dict[str, Outcome]:
        ends = (event for event in self.events if isinstance(event, UnitFinished))
        return {event.unit.partition("@")[0]: event.outcome for event in ends}

    def ended(self, name: str) -> UnitFinished:
        (end,) = (e for e in self.events if isinstance(e, UnitFinished) and e.unit == label(name))
        return end


@pytest.fixture
def farm(tmp_path: Path) -> Farm:
    return Farm(root=tmp_path, needs={"low": [], "high": ["low"], "other": []})


def test_what_is_needed_comes_first_and_everything_is_built_and_kept(farm: Farm) -> None:
    outcomes = farm.build()
    assert outcomes.exit_code == 0
    assert set(farm.outcomes().values()) == {Outcome.BUILT}
    compiles = [call.unit for call in farm.engine.calls if call.step == COMPILE]
    assert compiles.index(label("low")) < compiles.index(label("high"))
    for unit in farm.plan().units:
        record = json.loads((farm.place.out / unit.key.folder / "record.json").read_text())
        assert (farm.place.cache / "kept" / unit.key.folder / record["identity"]).is_dir()


def test_a_second_time_nothing_is_asked_and_nothing_written(farm: Farm) -> None:
    farm.build()
    calls, runs = len(farm.engine.calls), len(list_runs(farm.place.out))
    outcomes = farm.build()
    assert outcomes.stood
    assert len(farm.engine.calls) == calls
    assert len(list_runs(farm.place.out)) == runs


def test_from_a_to_b_and_back_builds_twice(farm: Farm) -> None:
    for said, builds in (("a", 1), ("b", 2), ("a", 2), ("b", 2)):
        farm.said = said
        farm.build()
        assert dict(farm.engine.built) == {label(name): builds for name in farm.needs}


def test_two_checkouts_of_one_machine_share_results(farm: Farm, tmp_path: Path) -> None:
    farm.build()
    cache = farm.place.cache
    again = Farm(root=tmp_path / "again", needs=farm.needs, engine=farm.engine, cache=cache)
    again.build()
    assert set(again.outcomes().values()) == {Outcome.UNCHANGED}
    assert set(farm.engine.built.values()) == {1}


def test_a_wheel_that_was_harmed_is_put_there_again_without_a_build(farm: Farm) -> None:
    farm.build()
    (wheel,) = (farm.place.out / "low-1.0.0/cpu").glob("*.whl")
    wheel.write_bytes(b"harmed")
    farm.build()
    assert set(farm.engine.built.values()) == {1}


def test_an_intact_result_stands_offline_beside_a_unit_that_cannot_be_built(farm: Farm) -> None:
    farm.needs = {"low": []}
    farm.build()
    farm.needs = {"low": [], "new": []}
    farm.engine.tell(label("new"), COMPILE, Ends.LOST)
    calls = len(farm.engine.calls)
    farm.build(offline=True)
    assert farm.outcomes() == {"low": Outcome.UNCHANGED, "new": Outcome.FAILED}
    assert {call.unit for call in farm.engine.calls[calls:]} <= {label("new")}
    assert "--offline forbids" in farm.ended("new").message


@pytest.mark.parametrize("step", [COMPILE, TRIAL])
@pytest.mark.parametrize("ending", FAILURES)
def test_whatever_befalls_a_unit_is_its_own_and_the_next_run_builds_it(
    farm: Farm, step: str, ending: Ends
) -> None:
    farm.engine.tell(label("low"), step, ending)
    outcomes = farm.build()
    assert farm.outcomes() == {
        "low": Outcome.FAILED,
        "high": Outcome.BLOCKED,
        "other": Outcome.BUILT,
    }
    assert outcomes.exit_code == farm.ended("low").exit_code != 0
    assert farm.ended("low").repeat
    farm.build()
    assert farm.outcomes()["other"] is Outcome.UNCHANGED
    assert farm.outcomes()["high"] is Outcome.BUILT
    assert farm.engine.built[label("other")] == 1


def test_what_nobody_foresaw_is_told_as_a_bug_with_its_traceback(farm: Farm) -> None:
    farm.engine.tell(label("low"), COMPILE, Ends.UNFORESEEN)
    farm.build()
    ended = farm.ended("low")
    assert ended.exit_code == ExitCode.INTERNAL
    assert "ZeroDivisionError" in ended.message
    assert any("fake_engine.py" in line for line in ended.details)


def test_a_view_that_fails_ends_no_build(farm: Farm) -> None:
    def broken(event: Event, /) -> None:
        raise BrokenPipeError(f"nobody reads {event}")

    with pytest.raises(BrokenPipeError):
        build(
            farm.plan(), farm.place, BuildOptions(), broken, threading.Event(), engine=farm.engine
        )
    farm.build()
    assert set(farm.outcomes().values()) == {Outcome.UNCHANGED}


def test_what_hangs_ends_with_a_cancel_and_the_others_are_told(farm: Farm) -> None:
    farm.engine.tell(label("low"), COMPILE, Ends.HUNG)
    cancel = threading.Event()

    def strike() -> None:
        farm.engine.until(lambda engine: (COMPILE, label("low")) in engine.running)
        cancel.set()

    striking = threading.Thread(target=strike)
    striking.start()
    outcomes = farm.build(cancel=cancel)
    striking.join(PATIENCE_S)
    assert outcomes.exit_code == ExitCode.CANCELLED
    assert farm.outcomes()["low"] is Outcome.CANCELLED
    assert farm.outcomes()["high"] is Outcome.CANCELLED


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_anywhere_ends_the_run_in_order_with_its_summary(
    farm: Farm, number: signal.Signals
) -> None:
    """In the main thread, which alone gets signals, at each call of the engine in turn."""
    calls: list[object] = []

    def strike(call: object) -> None:
        calls.append(call)
        if len(calls) == 1:
            os.kill(os.getpid(), number)

    farm.engine.on_call = strike
    farm.engine.tell(label("low"), COMPILE, Ends.HUNG)
    before = signal.getsignal(number)
    outcomes = build(
        farm.plan(),
        farm.place,
        BuildOptions(),
        farm.events.append,
        threading.Event(),
        engine=farm.engine,
    )
    assert outcomes.exit_code == ExitCode.CANCELLED
    assert signal.getsignal(number) is before
    farm.check(outcomes)


def test_a_base_that_moves_all_the_time_is_given_up(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    moving = BaseReference(image="never", digest="the same")
    monkeypatch.setattr("farm.run.unit.known_base", lambda *_, **__: moving)
    farm.needs = {"low": []}
    farm.build()
    assert farm.ended("low").exit_code == ExitCode.BASE
    assert "changed while it was used" in farm.ended("low").message


def test_fail_fast_lets_nothing_start_after_the_first_failure(farm: Farm) -> None:
    farm.engine.tell(label("low"), COMPILE, Ends.BADLY)
    farm.engine.tell(label("other"), COMPILE, Ends.HUNG)
    farm.build(fail_fast=True)
    assert farm.outcomes() == {
        "low": Outcome.FAILED,
        "high": Outcome.CANCELLED,
        "other": Outcome.CANCELLED,
    }


def test_forced_asks_the_engine_and_rebuilt_compiles_anew_only_what_was_asked_for(
    farm: Farm,
) -> None:
    farm.build()
    farm.build(again=Again.FORCE)
    assert set(farm.engine.built.values()) == {1}  # its cache answered
    farm.build(again=Again.REBUILD)
    assert set(farm.engine.built.values()) == {2}


def test_what_compilers_took_is_told_and_recorded_and_again_told_only_where_they_ran(
    farm: Farm,
) -> None:
    calls = [call("a.cpp", wall=3), call("b.cpp", at=1, wall=1)]
    farm.engine.compiler_calls[label("low")] = "".join(line(c) + "\n" for c in calls).encode()
    farm.build()
    (told,) = [event for event in farm.events if isinstance(event, Compiled)]
    assert (told.unit, told.count, told.wall_s) == (label("low"), 2, 3.0)
    farm.build(again=Again.FORCE)  # the engine's cache answers
    assert [event for event in farm.events if isinstance(event, Compiled)] == []
    result = farm.root / "out/low-1.0.0/cpu"
    record = json.loads((result / "record.json").read_text())
    assert record["compile"]["calls"]["count"] == 2
    assert (result / "logs/calls.jsonl").read_text().count("\n") == 2


def test_a_failure_tells_what_its_compilers_took(farm: Farm) -> None:
    farm.engine.compiler_calls[label("low")] = (line(call(status=1)) + "\n").encode()
    farm.engine.tell(label("low"), COMPILE, Ends.BADLY)
    farm.build()
    assert [event.unit for event in farm.events if isinstance(event, Compiled)] == [label("low")]


def test_no_more_builds_at_once_than_asked_for(tmp_path: Path) -> None:
    farm = Farm(root=tmp_path, needs={f"p{n}": [] for n in range(8)})
    farm.build(parallel=3)
    assert farm.engine.most <= 3


def test_memory_of_all_builds_together_stays_within_what_was_given(tmp_path: Path) -> None:
    farm = Farm(root=tmp_path, needs={f"p{n}": [] for n in range(4)})
    # A compiler takes 2 GiB unless a recipe says otherwise: no two fit into 3.
    compiling: list[int] = []
    farm.engine.on_call = lambda _: compiling.append(
        sum(step == COMPILE for step, _ in list(farm.engine.running))
    )
    farm.build(parallel=4, memory_bytes=3 << 30)
    assert max(compiling) == 1
    started = [event for event in farm.events if isinstance(event, UnitStarted)]
    assert {event.max_jobs for event in started} == {farm.engine.machine.cores}


def test_as_many_units_build_at_once_as_the_engines_machine_has_cores(tmp_path: Path) -> None:
    engine = FakeEngine(cores=3)
    together = threading.Barrier(3)

    def meet(call: Call) -> None:
        if call.step == COMPILE:
            together.wait(PATIENCE_S)

    engine.on_call = meet
    farm = Farm(root=tmp_path, needs={f"p{n}": [] for n in range(6)}, engine=engine)
    farm.build()
    assert engine.most == 3


def test_more_memory_than_the_engines_machine_has_is_refused_by_each_unit(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.machine = replace(engine.machine, total_bytes=16 << 30)
    farm = Farm(root=tmp_path, needs={"a": [], "b": []}, engine=engine)
    outcomes = farm.build(memory_bytes=17 << 30)
    assert outcomes.exit_code == ExitCode.USAGE
    told = [event.message for event in farm.events if isinstance(event, UnitFinished)]
    wanted = (
        "--memory: 17.0 GiB asked for, and builds can have 15.0 GiB of the 16.0 GiB that there are"
    )
    assert told == [wanted, wanted]
    assert not engine.calls


def test_a_chain_of_needs_is_followed_to_its_end(tmp_path: Path) -> None:
    names = [f"p{n}" for n in range(12)]
    needs = {name: names[max(0, n - 1) : n] for n, name in enumerate(names)}
    farm = Farm(root=tmp_path, needs=needs)
    farm.build()
    compiles = [call.unit for call in farm.engine.calls if call.step == COMPILE]
    assert compiles == [label(name) for name in names]


def test_the_longest_path_counts_what_comes_after_a_unit(tmp_path: Path) -> None:
    farm = Farm(root=tmp_path, needs={"a": [], "b": ["a"], "c": ["b"], "d": [], "e": ["d", "b"]})
    seconds = {label(name): float(s) for name, s in zip("abcde", (1, 2, 4, 50, 8), strict=True)}
    paths = longest_paths(farm.plan(), seconds)
    assert {name[0]: s for name, s in paths.items()} == {"a": 11, "b": 10, "c": 4, "d": 58, "e": 8}


@st.composite
def dags(draw: st.DrawFn) -> Needs:
    names = [f"p{n}" for n in range(draw(st.integers(1, 5)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        for index, name in enumerate(names)
    }


def needed_by(needs: Needs, name: str) -> set[str]:
    """Everything that a unit needs, directly or not."""
    return {n for need in needs[name] for n in (need, *needed_by(needs, need))}


ENDINGS = st.dictionaries(
    st.tuples(st.integers(0, 4), st.sampled_from([COMPILE, TRIAL])),
    st.sampled_from(FAILURES),
    max_size=3,
)


def told(farm: Farm, endings: Mapping[tuple[int, str], Ends]) -> set[str]:
    """Tell the engine how steps end; returns the units that fail by themselves."""
    failing = set()
    for (number, step), ending in endings.items():
        name = f"p{number}"
        if name in farm.needs:
            farm.engine.tell(label(name), step, ending)
            failing.add(name)
    return failing


@settings(deadline=None, max_examples=25)
@given(dags(), ENDINGS, st.integers(1, 3))
def test_random_failures_take_only_those_along_that_need_them_and_lose_nothing(
    needs: Needs, endings: dict[tuple[int, str], Ends], parallel: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        farm = Farm(root=Path(folder), needs=needs)
        failing = told(farm, endings)
        farm.build(parallel=parallel)
        for name, outcome in farm.outcomes().items():
            lost = needed_by(needs, name) & failing
            own = Outcome.FAILED if name in failing else Outcome.BUILT
            assert outcome is (Outcome.BLOCKED if lost else own)
        built = {name for name, outcome in farm.outcomes().items() if outcome is Outcome.BUILT}
        while set(farm.outcomes().values()) - {Outcome.BUILT, Outcome.UNCHANGED}:
            farm.build(parallel=parallel)  # a unit may be told to fail twice, once in each step
        assert {farm.engine.built[label(name)] for name in built} <= {1}


@settings(deadline=None, max_examples=25)
@given(dags(), ENDINGS, st.integers(1, 14), st.integers(1, 3))
def test_a_cancel_at_any_call_of_the_engine_loses_nothing(
    needs: Needs, endings: dict[tuple[int, str], Ends], strike: int, parallel: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        farm = Farm(root=Path(folder), needs=needs)
        told(farm, endings)
        cancel, count, lock = threading.Event(), [0], threading.Lock()

        def on_call(_: object) -> None:
            with lock:
                count[0] += 1
                if count[0] == strike:
                    cancel.set()

        farm.engine.on_call = on_call
        farm.build(cancel=cancel, parallel=parallel)
        built = {name for name, outcome in farm.outcomes().items() if outcome is Outcome.BUILT}
        farm.engine.on_call = None
        for _ in range(len(endings) + 2):  # each may fail once more in each step
            farm.build(parallel=parallel)
        assert set(farm.outcomes().values()) == {Outcome.UNCHANGED}
        assert {farm.engine.built[label(name)] for name in built} <= {1}


RENAMES = 24


@pytest.mark.parametrize("strike", range(RENAMES))
def test_killed_at_any_rename_the_next_run_finds_whole_results_or_none(
    tmp_path: Path, strike: int
) -> None:
    """A process that ends as by ``kill -9`` just before one of the renames of a run."""
    farm = Farm(root=tmp_path, needs={"low": [], "high": ["low"]})
    farm.plan()
    child = os.fork()
    if child == 0:
        count, real = [0], os.rename

        def rename(source: object, target: object, **more: object) -> None:
            count[0] += 1
            if count[0] > strike:
                os._exit(9)
            real(source, target, **more)  # type: ignore[arg-type]

        os.rename = os.replace = rename  # type: ignore[assignment]
        try:
            farm.build()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in {0, 9}
    plan = farm.plan()
    for unit in plan.units:
        record = farm.place.out / unit.key.folder / "record.json"
        if record.exists():
            identity = json.loads(record.read_text())["identity"]
            assert find_result(farm.place.out, unit.key, identity)
    farm.build()
    farm.build()
    assert set(farm.outcomes().values()) == {Outcome.UNCHANGED}


def test_a_base_whose_locked_packages_are_gone_is_drifted_to_and_the_unit_named_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(wanted: Sequence[DebFile], _: object) -> None:
        if wanted[0].base.origin == "lock":
            raise GoneError("gone")

    def make(resolved: ResolvedBase, _: object, cache: Path, *__: object, **___: object) -> object:
        folder = cache / "bases" / resolved.digest[:24]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "image.tar").write_bytes(b"x")
        facts = {"image_id": "i", "manifest_digest": "m", "size_bytes": 1}
        (folder / "base.json").write_text(json.dumps(facts))
        return bases.made(resolved, cache)

    monkeypatch.setattr(debs, "fetch_debs", fetch)
    monkeypatch.setattr(bases, "make", make)
    monkeypatch.setattr(bases, "current", lambda *_: debian.debs("now"))
    farm = Farm(root=tmp_path, needs={"low": []}, toolchain="plain")
    plan = farm.plan()
    plan = replace(plan, units=tuple(map(with_locked_base, plan.units)))
    monkeypatch.setattr(farm, "plan", lambda: plan)
    assert farm.build(locked=True).exit_code == ExitCode.LOCK
    assert farm.build().exit_code == 0
    (result,) = (each.result for each in settle(plan, farm.place).values())
    assert result is not None
    assert result.record.base["origin"] == "drift"
    assert farm.build().stood
    assert farm.build(locked=True).exit_code == ExitCode.LOCK


def with_locked_base(unit: Unit) -> Unit:
    """A unit whose bases are locked to packages that were."""
    assert isinstance(unit.base, RootfsBase)
    test = unit.smoke_test
    assert test is not None
    assert isinstance(test.base, RootfsBase)
    was = debian.debs("was")
    test = replace(test, base=replace(test.base, locked=was))
    return replace(unit, base=replace(unit.base, locked=was), smoke_test=test)
