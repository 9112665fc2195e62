"""What a run may take, by records where there are any, and what has changed since then."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.console.outlook import outlook_lines
from farm.events import Notice, RunFinished
from farm.host.machine import Machine
from farm.model.unit import JobRule
from farm.plan.jobs import GIB
from farm.run.alone import alone_s
from farm.run.drift import drift
from farm.run.estimates import UNKNOWN_S, Estimate, estimate_of, estimates_of
from farm.run.options import Again, BuildOptions
from farm.run.outlook import Outlook, outlook, to_build
from farm.run.settle import settle
from farm.store.record import Record, WheelFile, read_record, write_record
from tests.support.calls import call, write_calls
from tests.unit.run.test_units import Farm, label

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = Machine(cores=4, memory_bytes=8 * GIB)
CHAIN = {"a": [], "b": ["a"], "c": []}


def estimate(
    seconds: float, cpu_s: float = 1, *, gib: float = 1, recorded: bool = True
) -> Estimate:
    return Estimate(
        seconds=seconds,
        cpu_s=cpu_s,
        peak_bytes=int(gib * GIB),
        result_bytes=1000,
        recorded=recorded,
    )


def looked(tmp_path: Path, a: Estimate, b: Estimate, c: Estimate, **options: Any) -> Outlook:
    plan = Farm(root=tmp_path, needs=CHAIN).plan()
    by_label = dict(zip(map(label, "abc"), (a, b, c), strict=True))
    found = outlook(plan, by_label, by_label, MACHINE, BuildOptions(**options))
    assert found
    return found


def test_a_run_takes_as_long_as_its_longest_path(tmp_path: Path) -> None:
    found = looked(tmp_path, estimate(100), estimate(50), estimate(140))
    assert (found.seconds, found.path) == (150, (label("a"), label("b")))


def test_a_run_takes_as_long_as_all_processor_time_on_all_cores(tmp_path: Path) -> None:
    assert looked(tmp_path, estimate(9, 400), estimate(9, 400), estimate(9)).seconds == 801 / 4


def test_a_run_takes_as_long_as_its_units_in_the_places_that_there_are(tmp_path: Path) -> None:
    one = estimate(30)
    assert looked(tmp_path, one, one, one, parallel=1).seconds == 90
    assert looked(tmp_path, one, one, one).seconds == 60  # the path


@pytest.mark.parametrize(
    ("options", "gib", "peak"),
    [({}, 1, 4), ({}, 3, 8), ({"max_jobs": 1}, 1, 3), ({"max_jobs": 1, "parallel": 1}, 3, 3)],
)
def test_the_peak_is_of_compilers_that_may_run_at_once_within_the_budget(
    tmp_path: Path, options: dict[str, Any], gib: int, peak: int
) -> None:
    found = looked(tmp_path, *[estimate(1, gib=gib)] * 3, **options)
    assert found.peak_bytes == peak * GIB


def test_what_is_built_takes_nothing_and_shortens_the_path(tmp_path: Path) -> None:
    farm = Farm(root=tmp_path, needs=CHAIN)
    plan, by_label = farm.plan(), {label("b"): estimate(5)}
    found = outlook(plan, [label("b")], by_label, MACHINE, BuildOptions())
    assert found
    assert (found.units, found.path, found.seconds) == ((label("b"),), (label("b"),), 5)
    assert outlook(plan, [], {}, MACHINE, BuildOptions()) is None


def test_the_arithmetic_is_said_where_it_is_asked_for(tmp_path: Path) -> None:
    guess = estimate(100, 100, gib=2.5, recorded=False)
    found = looked(tmp_path, estimate(100, 90), estimate(50), guess, parallel=2)
    short = list(outlook_lines(found, explained=False))
    assert short == [
        "forecast  2m 30s for 3 units; memory up to 8.0 GiB of 8.0 GiB; results of 6.0 kB",
        "  guessed   what was never built here: c@1.0.0:cpu",
    ]
    assert list(outlook_lines(found, explained=True)) == [
        *short,
        "  time      the longest of these:",
        "            2m 30s = the longest path: a@1.0.0:cpu → b@1.0.0:cpu",
        "            2m 05s = 4m 10s of units one by one ÷ 2 at once",
        "            47.8s = 3m 11s of CPU ÷ 4 cores",
        "  memory    min(budget, 4 compilers at once × 2.5 GiB, the largest, of c@1.0.0:cpu)",
        "  disk      2 × 3.0 kB: results are kept, and shown in out/",
    ]
    assert json.loads(json.dumps(found.as_json))["seconds"] == 150


def recorded(farm: Farm, name: str, **changed: Any) -> None:
    """Change the record of a result, wherever it lies."""
    unit = next(unit for unit in farm.plan().units if unit.label == label(name))
    for path in farm.root.rglob(f"{unit.key.folder}/**/record.json"):
        record = read_record(path.parent)
        assert record
        write_record(path.parent, replace(record, **changed))


def test_a_record_tells_what_a_unit_takes_alone(tmp_path: Path) -> None:
    farm = Farm(root=tmp_path, needs={"a": [], "b": []})
    (unit, _) = farm.plan().units
    unit = replace(unit, jobs=JobRule(memory_per_job_bytes=7, reason=""))
    guess = estimate_of(unit, farm.place)
    assert (guess.seconds, guess.peak_bytes, guess.recorded) == (UNKNOWN_S, 7, False)
    farm.build()
    compiled: dict[str, Any] = {
        "seconds": 60.0,
        "user_s": 70.0,
        "sys_s": 5.0,
        "peak_rss_bytes": 100,
    }
    recorded(farm, "a", seconds=80.0, compile=compiled)
    found = estimate_of(unit, farm.place)
    assert (found.seconds, found.cpu_s, found.peak_bytes, found.recorded) == (80, 95, 100, True)
    assert found.result_bytes > 500
    compiled |= {"alone_s": 40.0, "calls": {"peak_bytes": 300}}
    recorded(farm, "a", seconds=80.0, compile=compiled)
    found = estimate_of(unit, farm.place)
    assert (found.seconds, found.cpu_s, found.peak_bytes) == (60, 95, 300)


@pytest.mark.parametrize("value", ["x", None, -5, True, {}, [1]])
def test_a_record_that_measures_nothing_sensible_harms_nothing(
    tmp_path: Path, value: object
) -> None:
    farm = Farm(root=tmp_path, needs={"a": []})
    farm.build()
    names = ("seconds", "alone_s", "user_s", "sys_s", "peak_rss_bytes", "calls")
    recorded(farm, "a", seconds=0.0, compile=dict.fromkeys(names, value))
    found = estimates_of(farm.plan(), farm.place)[label("a")]
    assert (found.seconds, found.recorded) == (UNKNOWN_S, False)
    assert drift(Record(**BARE, outcome="built"), ()) == ()


def test_the_end_of_a_run_is_held_against_the_forecast_of_what_was_built(tmp_path: Path) -> None:
    farm = Farm(root=tmp_path, needs=CHAIN)

    def forecast_s() -> float | None:
        (over,) = [event for event in farm.events if isinstance(event, RunFinished)]
        return over.forecast_s

    farm.build()
    assert forecast_s() is None  # nothing was known of them
    for name, seconds in (("a", 70.0), ("b", 30.0), ("c", 50.0)):
        recorded(farm, name, seconds=seconds)
    settled = settle(farm.plan(), farm.place)
    assert to_build(farm.plan(), settled, BuildOptions()) == []
    farm.build(again=Again.FORCE)
    assert forecast_s() == 100


BARE: dict[str, Any] = dict.fromkeys(
    ("unit", "package", "version", "variant", "python", "accelerator"), ""
) | {"archs": (), "features": (), "toolchain": "", "host_compiler": "", "identity": ""}


def built(run: str = "now", *, mb: float = 10, cores: int = 4, **compiled: Any) -> Record:
    wheel = WheelFile(filename="w", sha256="", size_bytes=int(mb * 1e6))
    machine = {"cores": cores, "memory_bytes": 9, "kernel": "k", "architecture": "x"}
    return Record(
        **BARE, outcome="built", run=run, wheels=(wheel,), machine=machine, compile=compiled
    )


def test_drift_in_time_memory_and_size_is_told_each_in_a_sentence() -> None:
    before = [
        built(f"r{n}", mb=10 + n, user_s=600.0 + n, sys_s=30.0, peak_rss_bytes=2 * GIB)
        for n in range(3)
    ]
    now = built(mb=7, user_s=900.0, sys_s=40.0, peak_rss_bytes=3 * GIB)
    of = "of the median of its last 3 builds"
    assert drift(now, before) == (
        f"its compile took 15.7 min of CPU, 49% more than the 10.5 {of}",
        f"its largest compiler took 3.0 GiB, 50% more than the 2.0 {of}",
        f"its wheel has 7.0 MB, 36% less than the 11.0 {of}",
    )


@pytest.mark.parametrize(
    ("then", "now"),
    [
        ({"user_s": 600.0}, {"user_s": 740.0}),  # under a quarter
        ({"user_s": 20.0}, {"user_s": 75.0}),  # under a minute
        ({"peak_rss_bytes": 100 << 20}, {"peak_rss_bytes": 300 << 20}),
        ({"mb": 0.1}, {"mb": 1.0}),
        ({"mb": 100}, {"mb": 109}),
        ({"user_s": 600.0, "cores": 8}, {"user_s": 1200.0}),  # another machine
        ({"user_s": 600.0, "calls": {"hits": 0, "misses": 9}},
         {"user_s": 9.0, "calls": {"hits": 9, "misses": 0}}),  # a cache answered
        ({"peak_rss_bytes": GIB}, {"peak_rss_bytes": GIB, "calls": {"peak_bytes": 3 * GIB}}),
        ({}, {"user_s": 900.0, "peak_rss_bytes": 9 * GIB}),
    ],
)  # fmt: skip
def test_what_nobody_would_look_into_is_not_told(
    then: dict[str, Any], now: dict[str, Any]
) -> None:
    assert drift(built(**now), [built("before", **then)]) == ()


def test_nothing_is_held_against_what_failed_or_is_of_this_very_run() -> None:
    now = built(mb=1)
    assert drift(now, [built("now", mb=9), replace(built("b", mb=9), outcome="failed")]) == ()
    assert len(drift(now, [built("b", mb=9)])) == 1


def test_a_run_tells_a_drift_as_the_units_notice(tmp_path: Path) -> None:
    farm = Farm(root=tmp_path, needs={"a": []})
    farm.build()
    wheel = WheelFile(filename="w", sha256="0" * 64, size_bytes=10**8)
    recorded(farm, "a", run="before", wheels=(wheel,))
    farm.said = "b"
    farm.build()
    told = [event for event in farm.events if isinstance(event, Notice)]
    (drifted,) = [event for event in told if "its wheel has 0.0 MB, 100% less" in event.text]
    assert drifted.unit == label("a")


def lines(path: Path, *calls: tuple[float, float, float]) -> Path:
    return write_calls(
        path, [call(asked_s=a, began_s=began, wall=wall) for a, began, wall in calls]
    )


def test_time_that_others_took_is_not_a_compiles_own(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    # On two cores two calls are asked for at 10; others hold a core until 20.
    assert alone_s(lines(path, (10, 10, 10), (10, 20, 10)), 30, 2) == 25
    assert alone_s(lines(path, (10, 20, 10)), 30, 2) == 20  # nothing of it ran at all
    assert alone_s(lines(path, (10, 10, 10), (10, 20, 10)), 30, 1) == 30  # its own queue
    assert alone_s(lines(path, (10, 10, 10), (10, 10, 10)), 30, 2) == 30


def test_lines_that_are_no_calls_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    assert alone_s(path, 30, 2) is None
    path.write_bytes(
        b'\xff\n{}\n[]\n"x"\n{"asked_s": NaN, "began_s": 1, "wall_s": 1}\n' + b"[" * 99999
    )
    assert alone_s(path, 30, 2) is None


@given(
    st.lists(st.tuples(st.floats(0, 50), st.floats(0, 50), st.floats(0, 50)), max_size=12),
    st.integers(1, 4),
)
def test_a_compile_alone_takes_no_longer_and_not_less_than_no_time(
    tmp_path_factory: pytest.TempPathFactory, calls: list[tuple[float, float, float]], cores: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "calls.jsonl"
    made = [(1 + asked, 1 + asked + waited, wall) for asked, waited, wall in calls]
    found = alone_s(lines(path, *made), 200, cores)
    assert found is None or 0 <= found <= 200
