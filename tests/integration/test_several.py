"""Several units at once, and several farms at once: what overlaps, what waits, what ends."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.support.engines import own_engine
from tests.support.farming import Done, Farm, add_variant, copy_project, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


pytestmark = pytest.mark.engine

ONE, TWO, BROKEN, SLOW = (f"tiny@1.0:{name}" for name in ("nap1", "nap2", "broken", "slow"))
NAP_S = 6
ROUNDED_S = 0.002
"""By how much the end of a call may seem later than it was."""
BUDGET_GIB = 12
"""Two compilers of 5 GiB fit into it, three do not."""
ONE_FILE = '["tiny/core.c"]'
TWO_FILES = (
    '["tiny/core.c", (open("tiny/many.c", "w").write("".join('
    '"double f%d(double x) { return 0 %s; }" % '
    '(n, "".join("+ x * %d / (x + %d)" % (n, i) for i in range(1, 30))) '
    'for n in range(900))), "tiny/many.c")[1]]'
)
"""With one that is written first, and takes a compiler some seconds."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = copy_project("faults", tmp_path_factory.mktemp("several") / "project")
    for number in (1, 2):
        add_variant(root, f"nap{number}", f'env: {{TINY_SLEEP_S: "{NAP_S}", NAP: "{number}"}}')
    return root


@pytest.fixture(scope="module")
def farm(project: Path, farm_cache: Path) -> Iterator[Farm]:
    """With an engine of its own: these tests look at all that runs in it."""
    with own_engine(farm_cache, project.with_name("cache")) as cache:
        yield Farm(root=project, cache=cache)


@pytest.fixture(scope="module")
def at_once(farm: Farm) -> Done:
    return farm.build("--rebuild", "-j", "2", ONE, TWO)


def test_two_units_build_at_the_same_time(at_once: Done) -> None:
    assert at_once.code == 0, at_once.said
    assert at_once.outcomes() == {ONE: "built", TWO: "built"}
    (begin, end), (other_begin, other_end) = (at_once.span(u, "compile") for u in (ONE, TWO))
    assert max(begin, other_begin) < min(end, other_end)


def test_each_has_a_log_of_its_own(at_once: Done, farm: Farm) -> None:
    del at_once
    for unit, other in (("nap1", "nap2"), ("nap2", "nap1")):
        log = (farm.result(unit) / "logs/build.log").read_text()
        assert f"tiny@1.0:{unit} begins" in log
        assert other not in log
        assert "before the wait" in log


def test_the_run_lists_all(at_once: Done, farm: Farm) -> None:
    del at_once
    summary = json.loads((farm.runs()[0] / "run.json").read_text())
    assert summary["units"] == {ONE: "built", TWO: "built"}
    told = farm.run("build", "--progress=plain", ONE, TWO).stderr
    assert all(unit in told for unit in (ONE, TWO))
    assert ONE in farm.run("status").stdout


def test_one_at_a_time_does_not_overlap(at_once: Done, farm: Farm) -> None:
    del at_once
    done = farm.build("--rebuild", "-j", "1", ONE, TWO)
    assert done.code == 0, done.said
    spans = sorted(done.span(unit, "compile") for unit in (ONE, TWO))
    assert spans[0][1] <= spans[1][0]
    over = done.events[-1]  # both were built before: how long they take was known
    assert over["forecast_s"] > 2 * NAP_S
    assert over["seconds"] > 2 * NAP_S


def test_three_units_at_once_stay_within_the_budget_that_none_of_them_has_alone(
    farm: Farm, tmp_path: Path
) -> None:
    root = copy_project("faults", tmp_path / "project")
    recipe = root / "recipes/tiny.yaml"
    recipe.write_text(
        recipe.read_text().replace("memory_per_job: 64 MiB", "memory_per_job: 5 GiB")
    )
    env = f'env: {{{{TINY_SLEEP_S: "{NAP_S}", NAP: "{{}}"}}}}'  # so that all have begun
    for number in (1, 2, 3):
        edit = f"{{file: setup.py, replace: '{ONE_FILE}', by: '{TWO_FILES}', reason: takes time}}"
        add_variant(root, f"large{number}", env.format(number), f"edits: [{edit}]")
    units = [f"tiny@1.0:large{number}" for number in (1, 2, 3)]
    here = Farm(root=root, cache=farm.cache)
    done = here.build("-j", "3", "--memory", f"{BUDGET_GIB} GiB", *units)
    assert done.code == 0, done.said
    calls = [
        json.loads(line)
        for unit in units
        for line in (here.result(unit.split(":")[1]) / "logs/calls.jsonl").read_text().splitlines()
    ]
    assert sum(call["source"].endswith("many.c") for call in calls) == len(units)
    for moment in sorted(call["began_s"] for call in calls):
        running = [
            c for c in calls if c["began_s"] <= moment < c["began_s"] + c["wall_s"] - ROUNDED_S
        ]
        assert sum(call["predicted_bytes"] for call in running) <= BUDGET_GIB << 30
        assert len(running) <= len(os.sched_getaffinity(0))
    record = here.record("large1")
    assert f"within {BUDGET_GIB}.0 GiB, 5.0 GiB for one" in record["jobs"]
    assert 0 < record["compile"]["alone_s"] <= record["compile"]["seconds"]


def test_two_farms_build_the_same_unit_once(at_once: Done, farm: Farm) -> None:
    del at_once
    add_variant(
        farm.root, "nap3", f'env: {{TINY_SLEEP_S: "{3 * NAP_S}", NAP: "{time.time_ns()}"}}'
    )
    unit = "tiny@1.0:nap3"
    with farm.start(unit) as first:
        first.until_it_compiles()
        with farm.start(unit) as second:
            waiting = second.until(lambda e: "another farm" in e.get("text", ""))
            later = second.end()
        earlier = first.end()
    assert waiting["unit"] == unit
    assert earlier.outcomes() == {unit: "built"}
    assert later.outcomes() == {unit: "unchanged"}
    assert (earlier.code, later.code) == (0, 0)
    assert later.of("StepStarted", unit) == []


def test_fail_fast_ends_the_siblings_of_a_failure(farm: Farm) -> None:
    done = farm.build("--fail-fast", "-j", "2", BROKEN, SLOW)
    assert done.outcomes() == {BROKEN: "failed", SLOW: "cancelled"}
    assert done.code == 9
    assert not farm.result("slow").exists()
    assert until(lambda: not farm.steps_running())


def test_keep_going_is_the_default_and_lets_the_siblings_end(farm: Farm) -> None:
    done = farm.build("--rebuild", "-j", "2", BROKEN, ONE)
    assert done.outcomes() == {BROKEN: "failed", ONE: "built"}
    assert done.code == 9
