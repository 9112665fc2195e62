"""What is said of a budget while compilers run, with real locks of real processes."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import farm.inside
from farm.inside import pool
from farm.inside.pool import NEED, Counter, look

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = Path(farm.inside.__file__).parent


@contextmanager
def call(folder: Path, slot: int, current: int, predicted: int = 1 << 30) -> Iterator[None]:
    """A call that holds a slot, as the gate does."""
    (folder / "slots").mkdir(exist_ok=True)
    with (folder / f"slots/{slot}").open("wb", buffering=0) as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(NEED.pack(predicted, current))
        yield


def test_calls_count_as_long_as_they_hold_their_slot(tmp_path: Path) -> None:
    assert look(tmp_path) == (0, 0)
    with call(tmp_path, 0, 100), call(tmp_path, 2, 30):
        (tmp_path / "slots/1").write_bytes(NEED.pack(5, 5))  # held by nobody any more
        assert look(tmp_path) == (2, 130)
        with call(tmp_path, 3, 1):
            assert look(tmp_path) == (3, 131)
    assert look(tmp_path) == (0, 0)


def test_a_slot_that_has_just_been_taken_counts_without_bytes(tmp_path: Path) -> None:
    with call(tmp_path, 0, 7):
        os.truncate(tmp_path / "slots/0", 0)
        assert look(tmp_path) == (1, 0)


def test_nothing_is_said_while_a_gate_counts(tmp_path: Path) -> None:
    with (tmp_path / "scan").open("w") as scan:
        fcntl.flock(scan, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            look(tmp_path)
    look(tmp_path)


def test_a_look_leaves_slots_free(tmp_path: Path) -> None:
    with call(tmp_path, 0, 1):
        pass
    look(tmp_path)
    with (tmp_path / "slots/0").open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("hostile", ["fifo", "link", "folder"])
def test_what_a_build_puts_in_a_slots_place_holds_nobody_up(tmp_path: Path, hostile: str) -> None:
    slot = tmp_path / "slots/0"
    slot.parent.mkdir()
    if hostile == "fifo":
        os.mkfifo(slot)
    elif hostile == "link":
        slot.symlink_to("/dev/zero")
    else:
        slot.mkdir()
    assert look(tmp_path) == (0, 0)


def test_lines_are_counted_once_and_only_whole_ones(tmp_path: Path) -> None:
    path = tmp_path / "calls.jsonl"
    counter = Counter(path)
    with pytest.raises(FileNotFoundError):
        counter.read()
    path.write_text('{"cache":"hit"}\n{"cache":"miss"}\n{"cache":"h')
    counter.read()
    assert (counter.calls, counter.hits) == (2, 1)
    with path.open("a") as file:
        file.write('it"}\n')
    counter.read()
    counter.read()
    assert (counter.calls, counter.hits) == (3, 2)


def test_many_lines_are_counted_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "MOST_BYTES", 100)
    counter = Counter(tmp_path / "calls.jsonl")
    counter.path.write_text('{"cache":"hit"}\n' * 1000)
    counter.read()
    assert (counter.calls, counter.hits) == (1000, 1000)


def step(tmp_path: Path, code: str, *, budget: bool) -> tuple[bytes, bytes, dict[str, object]]:
    """Stdout, log and status of a step that runs some Python, with a pool that is used."""
    jobs = "MAX_JOBS=2\n" + "FARM_CORES=2\nFARM_MEMORY_BYTES=1000\nFARM_CALL_BYTES=9\n" * budget
    (tmp_path / "jobs").write_text(jobs)
    out, folder = tmp_path / "out", tmp_path / "pool"
    folder.mkdir()
    argv = [sys.executable, str(PROGRAMS / "step.py"), "--name", "compile", "--out", str(out)]
    argv += ["--jobs", str(tmp_path / "jobs"), "--pool", str(folder)]
    argv += ["--", sys.executable, "-c", code]
    with ExitStack() as held:
        for slot in range(3):
            held.enter_context(call(folder, slot, 100))
        done = subprocess.run(argv, capture_output=True, check=True)
    status = json.loads((out / "status.json").read_text())
    return done.stdout, (out / "logs/compile.log").read_bytes(), status


WAITING = """
import os, time
print("begun", flush=True)
with open(os.environ["FARM_CALLS"], "a") as calls:
    print('{"cache":"hit"}', file=calls)
time.sleep(2.5)
print("ended")
"""


def test_a_step_with_a_budget_says_how_it_is_used_and_no_log_has_it(tmp_path: Path) -> None:
    said, log, status = step(tmp_path, WAITING, budget=True)
    lines = said.decode().splitlines()
    assert "farm: pool: running=3 bytes=300 of=1000 calls=1 hits=1" in lines
    assert [line for line in lines if not line.startswith("farm: pool: ")] == ["begun", "ended"]
    assert log == b"begun\nended\n"
    assert status["budget"] == {"cores": 2, "memory_bytes": 1000}


def test_a_step_without_a_budget_says_nothing_of_it(tmp_path: Path) -> None:
    said, log, status = step(tmp_path, "print('x')", budget=False)
    assert said == log == b"x\n"
    assert status["budget"] == {}


def test_no_line_of_the_command_is_torn(tmp_path: Path) -> None:
    code = "import time; print('half', end='', flush=True); time.sleep(2.5); print(' and half')"
    said, _, _ = step(tmp_path, code, budget=True)
    assert b"half and half\n" in said


def test_it_ends_with_the_step(tmp_path: Path) -> None:
    """Though the step itself is killed."""
    program = (
        f"import os, subprocess, sys; subprocess.Popen([sys.executable, '{PROGRAMS / 'pool.py'}',"
        f" str(os.getpid()), '{tmp_path}', '{tmp_path / 'calls'}', '9'])"
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        parent.stdout.read()  # ends when both have ended: they share it
