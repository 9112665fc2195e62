"""The simulation of many hosts: it is the same each time, and no schedule beats the bound."""

from __future__ import annotations

from dataclasses import replace

from tests.bench import scale
from tests.bench.simulated import HOST, make_units


def test_a_simulated_run_is_the_same_each_time_and_no_shorter_than_can_be() -> None:
    runs = [scale.measure(30, (1, 3), few=4) for _ in range(2)]
    first, second = ([replace(run, scheduler_s=0) for run in each] for each in runs)
    assert first == second
    assert [(run.how, run.hosts) for run in first] == [
        ("farm build", 1), ("farm build, slots by path", 1), ("farm build -j 2", 1),
        ("farm build -j 8", 1), ("farm build", 1), ("one queue", 3), ("farm matrix", 3),
    ]  # fmt: skip
    assert all(run.ratio > 1 - 1e-6 for run in first)
    assert all(run.most_at_once <= run.hosts * HOST.cores for run in first)


def test_many_units_on_one_host_take_hardly_longer_than_their_work() -> None:
    run = scale.measure(150, (1,), few=1)[-1]
    assert (run.units, run.met) == (900, True)


def test_units_need_what_comes_before_them_in_their_own_variant() -> None:
    units = make_units(100, 3)
    seen: set[str] = set()
    for unit in units:
        assert all(need.label in seen for need in unit.needs)
        assert all(need.label.split(":")[1] == unit.label.split(":")[1] for need in unit.needs)
        assert unit.longest_s <= unit.cpu_s
        seen.add(unit.label)
    assert sum(bool(unit.needs) for unit in units) > 100
