"""Logs of units: written, made whole, read back."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import farm.inside
from farm.events import (
    Event,
    Notice,
    Outcome,
    RunFinished,
    StepFinished,
    StepOutput,
    StepStarted,
    UnitFinished,
    UnitStarted,
)
from farm.run.error_lines import clean
from farm.run.logs import LogWriter, compose, extract, follow, tail, timestamp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

UNIT = "demo@1.0:cpu"
T0 = 1_800_000_000.0
STEP = Path(farm.inside.__file__).parent / "step.py"


def write(folder: Path, *events: Event) -> str:
    with LogWriter({UNIT: folder}) as writer:
        for event in events:
            writer(event)
    assert writer.failure is None
    return (folder / "build.log").read_text()


def test_a_log_holds_steps_output_and_how_it_ended(tmp_path: Path) -> None:
    text = write(
        tmp_path / "made" / "by writer",
        UnitStarted(unit=UNIT, max_jobs=2, time_s=T0),
        StepStarted(unit=UNIT, step="patch", time_s=T0),
        StepFinished(unit=UNIT, step="patch", seconds=0, cached=True, time_s=T0 + 0.001),
        StepStarted(unit=UNIT, step="compile", time_s=T0 + 1),
        StepOutput(unit=UNIT, step="compile", line="cc é \udcff", time_s=T0 + 1.5),
        StepOutput(unit="other@1:cpu", step="compile", line="not here"),
        StepFinished(
            unit=UNIT, step="compile", seconds=2.25, cached=False, error="exit\n1", time_s=T0 + 3
        ),
        Notice(text="a word", unit=UNIT, time_s=T0 + 3),
        UnitFinished(
            unit=UNIT, outcome=Outcome.FAILED, seconds=3, message="x.c:1: error: y", time_s=T0 + 4
        ),
        RunFinished(exit_code=9, seconds=3),
    )
    assert text.splitlines() == [
        "2027-01-15T08:00:00.000Z === demo@1.0:cpu begins, MAX_JOBS=2",
        "2027-01-15T08:00:00.000Z ==> patch",
        "2027-01-15T08:00:00.001Z <== patch: out of the cache",
        "2027-01-15T08:00:01.000Z ==> compile",
        "2027-01-15T08:00:01.500Z [compile] cc é ?",
        "2027-01-15T08:00:03.000Z <== compile: failed: exit 1",
        "2027-01-15T08:00:03.000Z --- a word",
        "2027-01-15T08:00:04.000Z === demo@1.0:cpu failed after 3.0 s: x.c:1: error: y",
    ]


def test_each_line_is_there_at_once(tmp_path: Path) -> None:
    writer = LogWriter({UNIT: tmp_path})
    writer(StepOutput(unit=UNIT, step="compile", line="one"))
    assert (tmp_path / "build.log").read_text().endswith(" [compile] one\n")
    writer.close()


def test_a_unit_that_never_began_has_no_log(tmp_path: Path) -> None:
    with LogWriter({UNIT: tmp_path / "u"}) as writer:
        writer(UnitFinished(unit=UNIT, outcome=Outcome.BLOCKED, seconds=0))
    assert not (tmp_path / "u").exists()


def test_a_full_disk_is_kept_as_failure_and_does_not_raise(tmp_path: Path) -> None:
    (tmp_path / "build.log").symlink_to("/dev/full")
    with LogWriter({UNIT: tmp_path}) as writer:
        writer(StepOutput(unit=UNIT, step="compile", line="one"))
        writer(StepOutput(unit=UNIT, step="compile", line="two"))
    assert writer.failure is not None
    assert "No space left" in str(writer.failure)


def test_the_end_is_written_to_the_log_that_replaced_the_first(tmp_path: Path) -> None:
    writer = LogWriter({UNIT: tmp_path})
    writer(StepStarted(unit=UNIT, step="compile"))
    whole = tmp_path / "whole"
    whole.write_text("whole\n")
    whole.replace(tmp_path / "build.log")
    writer(UnitFinished(unit=UNIT, outcome=Outcome.BUILT, seconds=1))
    text = (tmp_path / "build.log").read_text()
    assert re.fullmatch(rf"whole\n\S+ === {UNIT} built after 1.0 s\n", text)


def test_lines_of_many_threads_stay_whole(tmp_path: Path) -> None:
    writer = LogWriter({UNIT: tmp_path})

    def talk(name: str) -> None:
        for number in range(200):
            writer(StepOutput(unit=UNIT, step=name, line=f"{name}{number}" * 20))

    threads = [threading.Thread(target=talk, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writer.close()
    lines = (tmp_path / "build.log").read_text().splitlines()
    assert len(lines) == 800
    assert all(re.fullmatch(r"\S+Z \[([a-d])\] (\1\d+)\2{19}", line) for line in lines)


def stamped(*lines: str) -> str:
    return "".join(f"{timestamp(T0 + n)} {line}\n" for n, line in enumerate(lines))


BEFORE = ("=== u begins, MAX_JOBS=1", "==> patch", "[patch] p", "<== patch: done")
AFTER = ("<== compile: done in 1.0 s", "==> result", "[result] r")


def composed(folder: Path, log: str, timed: str | None) -> list[str]:
    (folder / "build.log").write_text(log)
    if timed is not None:
        (folder / "timed.log").write_text(timed)
    compose(folder / "build.log", folder / "timed.log", folder / "build.log")
    assert {path.name for path in folder.iterdir()} <= {"build.log", "timed.log"}
    return [line[25:] for line in (folder / "build.log").read_text().splitlines()]


def test_clipped_lines_are_replaced_by_the_steps_own(tmp_path: Path) -> None:
    clipped = ("==> compile", "[compile] 1", "[other] between", "[compile] [output clipped…]")
    lines = composed(tmp_path, stamped(*BEFORE, *clipped, *AFTER), stamped("1", "2", "3"))
    own = ("[compile] 1", "[compile] 2", "[compile] 3")
    assert lines == [*BEFORE, "==> compile", *own, "[other] between", *AFTER]


def test_only_the_last_run_of_a_step_is_replaced(tmp_path: Path) -> None:
    first = ("==> compile", "[compile] failed", "<== compile: failed: x")
    log = stamped(*first, "==> compile", "[compile] clipped", *AFTER)
    lines = composed(tmp_path, log, stamped("whole"))
    assert lines == [*first, "==> compile", "[compile] whole", *AFTER]


def test_a_step_that_the_engine_said_nothing_of_is_added(tmp_path: Path) -> None:
    assert composed(tmp_path, stamped(*BEFORE), stamped("1")) == [*BEFORE, "[compile] 1"]
    lines = composed(tmp_path, stamped("[compile] a", "[x] b"), stamped("1"))
    assert lines == ["[compile] 1", "[x] b"]


@pytest.mark.parametrize("timed", [None, ""])
def test_without_the_steps_own_log_all_stays(tmp_path: Path, timed: str | None) -> None:
    log = ("==> compile", "[compile] 1")
    assert composed(tmp_path, stamped(*log), timed) == list(log)


def test_a_line_longer_than_memory_should_hold_is_copied_in_pieces(tmp_path: Path) -> None:
    long = "x" * 3_000_000 + "[compile] "
    timed = stamped(long) + f"{timestamp(T0)} unended"
    lines = composed(tmp_path, stamped("==> compile", "[compile] " + long, *AFTER), timed)
    assert lines == ["==> compile", f"[compile] {long}", "[compile] unended", *AFTER]


def test_the_log_of_a_real_step_comes_out_whole(tmp_path: Path) -> None:
    code = "import sys; [print('line', n) for n in range(5000)]; sys.stdout.write('end')"
    argv = [sys.executable, str(STEP), "--name", "compile", "--out", str(tmp_path / "out")]
    subprocess.run([*argv, "--", sys.executable, "-c", code], check=True, capture_output=True)
    text = write(
        tmp_path,
        StepStarted(unit=UNIT, step="compile"),
        StepOutput(unit=UNIT, step="compile", line="line 0"),
        StepOutput(unit=UNIT, step="compile", line="[output clipped, log limit 200KiB/s reached]"),
    )
    assert "clipped" in text
    log = tmp_path / "build.log"
    compose(log, tmp_path / "out/logs/compile.timed.log", log)
    lines = [clean(line) for line in log.read_text().splitlines()]
    assert lines == ["==> compile", *(f"line {n}" for n in range(5000)), "end"]


@given(st.lists(st.text(alphabet="ab\r é", max_size=5), max_size=20), st.integers(0, 25))
def test_tail_returns_the_last_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], count: int
) -> None:
    path = tmp_path_factory.mktemp("tail") / "log"
    path.write_bytes("".join(line + "\n" for line in lines).encode())
    assert tail(path, count) == lines[max(0, len(lines) - count) :]


def test_tail_reads_back_over_blocks_and_through_an_open_end(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("\n".join(f"{n} " + "x" * 1000 for n in range(500)))
    assert [line.split()[0] for line in tail(path, 300)] == [str(n) for n in range(200, 500)]
    assert tail(tmp_path / "none", 5) == []


class Script:
    """``stop`` for `follow`: does one thing at each poll, and then stops."""

    def __init__(self, *actions: Callable[[], object]) -> None:
        self.actions = list(actions)

    def __call__(self) -> bool:
        if not self.actions:
            return True
        self.actions.pop(0)()
        return False


def append(path: Path, text: str) -> Callable[[], object]:
    def act() -> None:
        with path.open("a") as stream:
            stream.write(text)

    return act


def test_follow_waits_for_the_file_and_yields_only_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    script = Script(lambda: None, append(path, "one\ntw"), append(path, "o\nthr"))
    lines: Iterator[str] = follow(path, script)
    assert [next(lines), next(lines)] == ["one", "two"]
    assert list(lines) == ["thr"]


def test_follow_shows_nothing_twice_when_the_log_is_replaced(tmp_path: Path) -> None:
    path, whole = tmp_path / "log", tmp_path / "whole"
    lines = stamped("a", "b", "c", "d").splitlines(keepends=True)
    whole.write_text("".join(lines))
    script = Script(
        append(path, lines[0]),
        append(path, lines[1]),
        lambda: whole.replace(path),
        append(path, "no stamp\n"),
    )
    assert [line.split("Z ")[-1] for line in follow(path, script)] == [*"abcd", "no stamp"]


def test_follow_begins_again_when_the_log_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "log"
    script = Script(append(path, "long first line\n"), lambda: path.write_text("new\n"))
    assert list(follow(path, script)) == ["long first line", "new"]


def test_follow_reads_out_a_file_that_was_removed(tmp_path: Path) -> None:
    path = tmp_path / "log"
    script = Script(append(path, "one\n"), path.unlink, append(path, "two\n"))
    assert list(follow(path, script)) == ["one", "two"]


def test_what_a_step_said_last_is_taken_out_of_the_build_log(tmp_path: Path) -> None:
    stamp = "2026-11-22T05:12:00.123Z "
    lines = ("==> compile", "[compile] old", "==> compile", "[compile] a", "[x] b", "[compile] c")
    (tmp_path / "build.log").write_text("".join(f"{stamp}{line}\n" for line in lines))
    extract(tmp_path / "build.log", tmp_path / "compile.log")
    assert (tmp_path / "compile.log").read_text() == "a\nc\n"
