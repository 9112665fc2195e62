"""However a unit's build ends on the engine, the run says so and the other unit is built."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from farm.engine.engine import BuildRequest
from farm.errors import ExitCode
from farm.events import Notice, Outcome, UnitFinished
from farm.load.locks import inputs_digest
from farm.run.options import BuildOptions, Workplace
from farm.run.session import build
from farm.store.record import read_record
from tests.support.fake_engine import COMPILE, ERROR_LINE, Call, Ends, FakeEngine
from tests.support.projects import planned, project_at, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from farm.events import Event
    from farm.plan.plan import Plan
    from farm.run.session import Outcomes

RECIPE = """\
package: {0}
versions:
  1.0.0:
    source: {{tree: demo}}
variants:
  cpu:
    toolchain: fromimage
    expect: {{extensions: []}}
"""
NAMES = ("one", "two")
ONE = "one@1.0.0:cpu"


class Runs:
    """Two units that need nothing of the network, and an engine."""

    def __init__(self, root: Path) -> None:
        files = {f"recipes/{name}.yaml": RECIPE.format(name) for name in NAMES}
        project = project_at(root, files)
        for unit in planned(project, *NAMES).units:
            key = unit.key
            name = f"recipes/locks/{key.package}/{key.version}/{key.variant}-py{unit.python}.txt"
            write_files(root, {name: f"# farm lock: {inputs_digest(unit.lock_inputs)}\n"})
        self.plan: Plan = planned(project, *NAMES)
        self.place = Workplace(project=project, out=root / "out", cache=root / "cache")
        self.engine = FakeEngine()
        self.events: list[Event] = []

    def build(self) -> Outcomes:
        options, cancel = BuildOptions(parallel=2, max_jobs=4), threading.Event()
        return build(
            self.plan, self.place, options, self.events.append, cancel, engine=self.engine
        )

    def message(self, unit: str) -> str:
        ended = [e for e in self.events if isinstance(e, UnitFinished) and e.unit == unit]
        return ended[-1].message


@pytest.mark.parametrize(
    ("ending", "code", "message"),
    [
        (Ends.BADLY, ExitCode.BUILD, ERROR_LINE),
        (Ends.BROKEN, ExitCode.BUILD, "exit status 1"),
        (Ends.LOST, ExitCode.ENGINE, "went away"),
        (Ends.KILLED, ExitCode.OUT_OF_MEMORY, "killed"),
        (Ends.FULL, ExitCode.STORAGE, "no space left"),
        (Ends.LATE, ExitCode.BUILD, "took longer"),
        (Ends.UNFORESEEN, ExitCode.INTERNAL, "nobody thought of this"),
    ],
)
def test_a_fault_of_one_unit_is_its_own_and_passes(
    tmp_path: Path, ending: Ends, code: ExitCode, message: str
) -> None:
    runs = Runs(tmp_path)
    runs.engine.tell(ONE, COMPILE, ending)
    ended = runs.build()
    assert ended.exit_code == code
    assert [report.outcome for report in ended.reports] == [Outcome.FAILED, Outcome.BUILT]
    assert message in runs.message(ONE)
    again = runs.build()
    assert again.exit_code == 0
    assert [report.outcome for report in again.reports] == [Outcome.BUILT, Outcome.UNCHANGED]
    assert runs.build().exit_code == 0
    assert runs.engine.built == {ONE: 2, "two@1.0.0:cpu": 1}


def told_jobs(runs: Runs) -> list[str]:
    """The numbers of jobs that each compile of the first unit was told, in order."""
    seen: list[str] = []

    def look(call: Call) -> None:
        if call.step == COMPILE and call.unit == ONE:
            assert isinstance(call.asked, BuildRequest)
            seen.append(dict(call.asked.secrets)["jobs"].read_text().splitlines()[0])

    runs.engine.on_call = look
    return seen


def test_where_memory_ran_out_half_as_many_jobs_are_tried_once_more(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.engine.tell(ONE, COMPILE, Ends.CROWDED)
    jobs = told_jobs(runs)
    assert runs.build().exit_code == 0
    assert jobs == ["MAX_JOBS=4", "MAX_JOBS=2"]
    assert any("once more with MAX_JOBS=2" in e.text for e in runs.events if isinstance(e, Notice))
    record = read_record(tmp_path / "out/one-1.0.0/cpu")
    assert record is not None
    assert record.max_jobs == 2
    assert "half of 4" in record.jobs


def test_where_it_runs_out_again_the_unit_fails_and_the_other_is_built(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    runs.engine.tell(ONE, COMPILE, Ends.CROWDED, Ends.CROWDED)
    jobs = told_jobs(runs)
    ended = runs.build()
    assert ended.exit_code == ExitCode.OUT_OF_MEMORY
    assert [report.outcome for report in ended.reports] == [Outcome.FAILED, Outcome.BUILT]
    assert "killed" in runs.message(ONE)
    assert jobs == ["MAX_JOBS=4", "MAX_JOBS=2"]
    assert runs.build().exit_code == 0
