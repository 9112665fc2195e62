"""A run from its beginning to its end, where no unit gets as far as an engine."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode, StorageError
from farm.events import Event, Outcome, RunFinished, RunStarted, UnitFinished, UnitStarted
from farm.load.folders import is_marked
from farm.run.options import Again, BuildOptions, Workplace
from farm.run.runs import list_runs, read_summary
from farm.run.session import Outcomes, build
from tests.support.projects import DEMO, planned, project_at

if TYPE_CHECKING:
    from pathlib import Path

NEED = "needs: [{package: demo, version: 1.0.0, variant: cpu}]\n"
FILES = {
    "recipes/demo.yaml": DEMO,
    "recipes/above.yaml": DEMO.replace("package: demo", "package: above") + NEED,
    "recipes/other.yaml": DEMO.replace("package: demo", "package: other") + "unlocked: so\n",
}
DEMO_UNIT, ABOVE, OTHER = (f"{name}@1.0.0:cpu" for name in ("demo", "above", "other"))


def run(
    root: Path, *, cancel: threading.Event | None = None, **options: object
) -> tuple[Outcomes, list[Event]]:
    project = project_at(root, FILES)
    events: list[Event] = []
    outcomes = build(
        planned(project, "above", "other"),
        Workplace(project=project, out=project.out, cache=root / "cache"),
        BuildOptions(command=("farm", "build"), **options),  # type: ignore[arg-type]
        events.append,
        cancel or threading.Event(),
    )
    return outcomes, events


def ends(events: list[Event]) -> dict[str, UnitFinished]:
    return {event.unit: event for event in events if isinstance(event, UnitFinished)}


def test_a_failure_blocks_what_needs_it_and_the_others_go_on(tmp_path: Path) -> None:
    outcomes, events = run(tmp_path)
    assert [(r.unit, r.outcome, r.exit_code) for r in outcomes.reports] == [
        (DEMO_UNIT, Outcome.FAILED, ExitCode.LOCK),
        (ABOVE, Outcome.BLOCKED, ExitCode.NEEDED_UNIT),
        (OTHER, Outcome.FAILED, ExitCode.LOCK),
    ]
    assert outcomes.exit_code == ExitCode.LOCK
    found = ends(events)
    assert f"farm lock {DEMO_UNIT}" in found[DEMO_UNIT].hint
    assert DEMO_UNIT in found[ABOVE].message
    assert "so" in found[OTHER].message


def test_events_frame_a_run_and_each_unit_ends_once(tmp_path: Path) -> None:
    _, events = run(tmp_path)
    assert isinstance(events[0], RunStarted)
    assert events[0].units == (DEMO_UNIT, ABOVE, OTHER)
    assert isinstance(events[-1], RunFinished)
    assert events[-1].exit_code == ExitCode.LOCK
    assert sorted(e.unit for e in events if isinstance(e, UnitFinished)) == sorted(events[0].units)
    assert ABOVE not in {e.unit for e in events if isinstance(e, UnitStarted)}


def test_a_run_is_kept_with_how_each_unit_ended(tmp_path: Path) -> None:
    run(tmp_path)
    (kept,) = list_runs(tmp_path / "out")
    summary = read_summary(kept)
    assert summary is not None
    assert (summary.command, summary.exit_code) == (("farm", "build"), ExitCode.LOCK)
    assert summary.units == {DEMO_UNIT: "failed", ABOVE: "blocked", OTHER: "failed"}
    assert is_marked(tmp_path / "cache")


def test_fail_fast_ends_the_run_at_the_first_failure(tmp_path: Path) -> None:
    outcomes, _ = run(tmp_path, fail_fast=True, parallel=1)
    assert [report.outcome for report in outcomes.reports] == [
        Outcome.FAILED,
        Outcome.CANCELLED,
        Outcome.CANCELLED,
    ]
    assert outcomes.exit_code == ExitCode.LOCK


def test_a_run_that_is_cancelled_at_once_says_so_of_every_unit(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    outcomes, events = run(tmp_path, cancel=cancel)
    assert outcomes.exit_code == ExitCode.CANCELLED
    assert {event.outcome for event in ends(events).values()} == {Outcome.CANCELLED}


@pytest.mark.parametrize("again", list(Again))
def test_the_results_folder_must_be_a_folder(tmp_path: Path, again: Again) -> None:
    (tmp_path / "out").write_text("a file in the way")
    with pytest.raises(StorageError):
        run(tmp_path, again=again)


def test_the_cache_folder_must_be_one(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file in the way")
    with pytest.raises(StorageError, match="cannot write"):
        run(tmp_path)
