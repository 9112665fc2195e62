"""Programs on the host: no one outlives the farm, and a lock makes one of two."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from farm.errors import CancelledError
from farm.events import Event, Notice
from farm.host import process, programs
from farm.host.locks import holding

if TYPE_CHECKING:
    from pathlib import Path

ENV = {"PATH": os.environ["PATH"]}
TREE = 'sleep 300 & echo $! >"$1.part"; mv "$1.part" "$1"; wait'


def _grandchild(file: Path) -> process.ProcessId:
    deadline = time.monotonic() + 60
    while not file.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    found = process.identify(int(file.read_text()))
    assert found is not None
    return found


def test_output_comes_in_order_and_line_by_line_even_when_it_is_no_text() -> None:
    lines: list[str] = []
    script = r"echo out; echo err >&2; printf 'a\377b\nlast'; exit 3"
    done = programs.run(["/bin/sh", "-c", script], env=ENV, merged=True, on_line=lines.append)
    assert done.status == 3
    assert lines == ["out", "err", "a�b", "last"]
    assert done.text == "\n".join(lines)


def test_cancelling_ends_the_program_and_what_it_started(tmp_path: Path) -> None:
    cancel = threading.Event()
    pid_file = tmp_path / "pid"
    failures: list[BaseException] = []

    def work() -> None:
        try:
            programs.run(["/bin/sh", "-c", TREE, "x", str(pid_file)], env=ENV, cancel=cancel)
        except CancelledError as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    grandchild = _grandchild(pid_file)
    cancel.set()
    thread.join(60)
    assert failures
    assert grandchild.wait_gone(60)


def test_a_killed_farm_takes_the_program_with_it(tmp_path: Path) -> None:
    code = (
        "import sys; from farm.host import programs; "
        "programs.run(['/bin/sh', '-c', 'echo $$ >\"$1\"; exec sleep 300', 'x', sys.argv[1]],"
        " env={'PATH': '/usr/bin:/bin'})"
    )
    pid_file = tmp_path / "pid"
    with subprocess.Popen([sys.executable, "-c", code, str(pid_file)]) as farm:
        deadline = time.monotonic() + 60
        while not (pid_file.exists() and pid_file.read_text()) and time.monotonic() < deadline:
            time.sleep(0.01)
        program = process.identify(int(pid_file.read_text()))
        assert program is not None
        os.kill(farm.pid, signal.SIGKILL)
        assert program.wait_gone(60)


def test_who_waits_for_another_farm_says_so_once_and_then_goes_on(tmp_path: Path) -> None:
    events: list[Event] = []
    lock = FileLock(tmp_path / "lock", thread_local=False)
    lock.acquire()

    def told(event: Event, /) -> None:
        events.append(event)
        threading.Timer(0.5, lock.release).start()  # after it was told, and could be once more

    with holding(tmp_path / "lock", sink=told, what="it"):
        held = True
    assert held
    assert [type(event) for event in events] == [Notice]


def test_waiting_for_another_farm_can_be_cancelled(tmp_path: Path) -> None:
    cancel = threading.Event()
    cancel.set()
    with (
        FileLock(tmp_path / "lock"),
        pytest.raises(CancelledError),
        holding(tmp_path / "lock", cancel=cancel),
    ):
        pass
