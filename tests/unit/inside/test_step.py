"""The step runner, run as the container runs it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import farm.inside
from farm.run.first_error import first_error

if TYPE_CHECKING:
    from collections.abc import Callable

STEP = Path(farm.inside.__file__).parent / "step.py"


def run_step(
    folder: Path, *command: str, options: tuple[str, ...] = ()
) -> tuple[subprocess.CompletedProcess[bytes], dict[str, Any]]:
    out, spill = folder / "out", folder / "spill"
    argv = [sys.executable, str(STEP), "--name", "compile", "--out", str(out)]
    argv += ["--spill", str(spill), *options, "--", *command]
    done = subprocess.run(argv, capture_output=True, check=False)
    path = out / "status.json"
    return done, json.loads(path.read_text()) if path.exists() else {}


def python(code: str) -> tuple[str, ...]:
    return sys.executable, "-c", code


def test_success_leaves_log_copy_live_view_and_status(tmp_path: Path) -> None:
    code = "import sys; print('one', flush=True); sys.stderr.write('two')"
    done, status = run_step(tmp_path, *python(code), options=("--attempt", "3"))
    assert done.returncode == 0
    logs = tmp_path / "out/logs"
    assert done.stdout == (logs / "compile.log").read_bytes() == b"one\ntwo"
    assert (tmp_path / "spill/compile.log").read_bytes() == b"one\ntwo"
    stamp = rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    timed = (logs / "compile.timed.log").read_bytes()
    assert re.fullmatch(stamp + rb" one\n" + stamp + rb" two\n", timed)
    assert status["exit_status"] == 0
    assert status["signal"] is None
    assert status["attempt"] == 3
    assert status["argv"] == [*python(code)]
    assert status["first_lines"] == ["one", "two"]
    assert status["peak_rss_bytes"] > 1 << 20


def test_a_failing_command_is_recorded_and_the_step_still_succeeds(tmp_path: Path) -> None:
    done, status = run_step(tmp_path, *python("raise SystemExit(9)"))
    assert (done.returncode, status["exit_status"]) == (0, 9)


def test_a_forbidden_text_ends_the_command_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; sys.stdout.write('CMake Warning:\\n  HIP or '); sys.stdout.flush(); "
        "time.sleep(0.3); print('hipBLAS not found.  Try this', flush=True); time.sleep(600)"
    )
    options = ("--forbid", "cuBLAS not found", "--forbid", "HIP or hipBLAS not found")
    done, status = run_step(tmp_path, *python(code), options=options)
    assert (done.returncode, status["exit_status"]) == (0, 71)
    log = (tmp_path / "out/logs/compile.log").read_text()
    said = "the build printed what its recipe forbids: HIP or hipBLAS not found.  Try this"
    assert f"\nfarm: error: {said}" in log
    found = first_error(log.splitlines())
    assert found is not None
    assert found.line.endswith(said)


def test_a_text_is_not_forbidden_across_lines_nor_in_parts(tmp_path: Path) -> None:
    code = "print('not'); print('found'); print('not fo' * 100_000)"
    _, status = run_step(tmp_path, *python(code), options=("--forbid", "not\nfound"))
    assert status["exit_status"] == 0
    _, status = run_step(tmp_path, *python(code), options=("--forbid", "not found"))
    assert status["exit_status"] == 0


def test_a_command_killed_by_a_signal_is_recorded_with_its_name(tmp_path: Path) -> None:
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    done, status = run_step(tmp_path, *python(code))
    assert (done.returncode, status["exit_status"], status["signal"]) == (0, 137, "SIGKILL")


def test_a_command_that_does_not_exist_is_recorded_as_127(tmp_path: Path) -> None:
    done, status = run_step(tmp_path, "/no/such/compiler")
    assert (done.returncode, status["exit_status"]) == (0, 127)
    assert status["last_lines"] == [
        "farm: error: cannot run '/no/such/compiler': No such file or directory"
    ]


def test_bytes_of_every_kind_come_through_unchanged(tmp_path: Path) -> None:
    data = bytes(range(256)) * 3 + "ä€".encode()[:-1]
    code = f"import sys; sys.stdout.buffer.write({data!r})"
    done, _ = run_step(tmp_path, *python(code))
    assert done.stdout == (tmp_path / "out/logs/compile.log").read_bytes() == data


def test_a_line_of_ten_megabytes_comes_through_whole(tmp_path: Path) -> None:
    code = "import sys; sys.stdout.write('x' * 10_000_000 + '\\nend\\n')"
    _, status = run_step(tmp_path, *python(code))
    log = (tmp_path / "out/logs/compile.log").read_bytes()
    assert log == b"x" * 10_000_000 + b"\nend\n"
    assert (tmp_path / "out/logs/compile.timed.log").read_bytes().count(b"Z ") == 2
    assert status["last_lines"][-1] == "end"


def test_a_large_log_comes_through_whole(tmp_path: Path) -> None:
    code = "import sys\nfor n in range(400_000): sys.stdout.write('%07d %s\\n' % (n, 'y' * 72))"
    run_step(tmp_path, *python(code))
    log = (tmp_path / "out/logs/compile.log").read_bytes()
    assert len(log) == 400_000 * 81
    assert log.startswith(b"0000000 ")
    assert log.rstrip().split(b"\n")[-1].startswith(b"0399999 ")
    assert (tmp_path / "spill/compile.log").read_bytes() == log


def test_a_daemon_that_keeps_the_pipe_open_does_not_hang_the_step(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys; print('done', flush=True);"
        "print(subprocess.Popen(['sleep', '300'], start_new_session=True).pid, flush=True)"
    )
    done, status = run_step(tmp_path, *python(code))
    first, pid = done.stdout.split()
    os.kill(int(pid), signal.SIGKILL)
    assert (first, status["exit_status"]) == (b"done", 0)


def test_a_background_job_of_the_same_group_is_ended(tmp_path: Path) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '300']).pid, flush=True)"
    done, _ = run_step(tmp_path, *python(code))
    for _ in range(1200):
        state = Path(f"/proc/{int(done.stdout)}/stat")
        if not state.exists() or ") Z " in state.read_text():
            break
        time.sleep(0.05)
    else:
        pytest.fail("the background job is still running")


def test_a_terminated_step_ends_its_command_and_says_so(tmp_path: Path) -> None:
    argv = [sys.executable, str(STEP), "--name", "compile", "--out", str(tmp_path), "--"]
    argv += python("import time; print('go', flush=True); time.sleep(300)")
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as step:
        assert step.stdout is not None
        assert step.stdout.readline() == b"go\n"
        step.send_signal(signal.SIGTERM)
        assert step.wait() == 0
    assert json.loads((tmp_path / "status.json").read_text())["signal"] == "SIGKILL"


def test_the_copy_is_already_there_when_everything_is_killed(tmp_path: Path) -> None:
    argv = [sys.executable, str(STEP), "--name", "compile", "--out", str(tmp_path / "out")]
    argv += ["--spill", str(tmp_path), "--"]
    argv += python("import time; print('half way', flush=True); time.sleep(300)")
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as step:
        assert step.stdout is not None
        assert step.stdout.readline() == b"half way\n"
        children = Path(f"/proc/{step.pid}/task/{step.pid}/children").read_text().split()
        step.kill()
        step.wait()
    for child in children:
        os.kill(int(child), signal.SIGKILL)
    assert (tmp_path / "compile.log").read_bytes() == b"half way\n"
    assert not (tmp_path / "out/status.json").exists()


def test_a_new_run_starts_the_copy_afresh(tmp_path: Path) -> None:
    spill = tmp_path / "spill"
    spill.mkdir()
    (spill / "compile.log").write_text("of the attempt before")
    run_step(tmp_path, *python("print('new')"))
    assert [(path.name, path.read_text()) for path in spill.iterdir()] == [
        ("compile.log", "new\n")
    ]


def plant_a_link(place: Path, target: Path) -> None:
    place.symlink_to(target)


def plant_a_dangling_link(place: Path, target: Path) -> None:
    del target
    place.symlink_to(place.parent / "nowhere/at all")


def plant_a_folder(place: Path, target: Path) -> None:
    place.mkdir()
    (place / "link").symlink_to(target.parent)


def plant_a_fifo(place: Path, target: Path) -> None:
    del target
    os.mkfifo(place)


@pytest.mark.parametrize(
    "plant", [plant_a_link, plant_a_dangling_link, plant_a_folder, plant_a_fifo]
)
def test_whatever_a_build_left_where_the_copy_goes_is_not_followed(
    tmp_path: Path, plant: Callable[[Path, Path], None]
) -> None:
    target = tmp_path / "elsewhere/file"
    target.parent.mkdir()
    target.write_text("mine")
    (tmp_path / "spill").mkdir()
    copy = tmp_path / "spill/compile.log"
    plant(copy, target)
    done, status = run_step(tmp_path, *python("print('new')"))
    assert (done.returncode, status["exit_status"]) == (0, 0)
    assert (copy.is_symlink(), copy.read_text(), target.read_text()) == (False, "new\n", "mine")


def test_a_copy_that_cannot_be_made_is_none_and_no_failure(tmp_path: Path) -> None:
    (tmp_path / "spill").symlink_to(tmp_path / "nowhere")
    done, status = run_step(tmp_path, *python("print('new')"))
    assert (done.returncode, done.stdout, status["exit_status"]) == (0, b"new\n", 0)


JOBS = "import os; print(*(os.environ.get(n) for n in os.environ['ASKED'].split()))"
ASKED = "MAX_JOBS CMAKE_BUILD_PARALLEL_LEVEL CARGO_BUILD_JOBS NVCC_THREADS"


def test_the_numbers_of_this_machine_replace_those_that_the_environment_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASKED", ASKED)
    for name in ASKED.split():
        monkeypatch.delenv(name, raising=False)
    for name in ("MAX_JOBS", "CMAKE_BUILD_PARALLEL_LEVEL"):
        monkeypatch.setenv(name, "1")
    options = ("--jobs", str(tmp_path / "jobs"))
    done, _ = run_step(tmp_path, *python(JOBS), options=options)
    assert done.stdout == b"1 1 None None\n"  # by hand there is no such file
    (tmp_path / "jobs").write_text("MAX_JOBS=4\nNVCC_THREADS=2\n")
    done, _ = run_step(tmp_path, *python(JOBS), options=options)
    assert done.stdout == b"4 4 None None\n"
    for name in ("NVCC_THREADS", "CARGO_BUILD_JOBS"):
        monkeypatch.setenv(name, "1")
    done, status = run_step(tmp_path, *python(JOBS), options=options)
    assert done.stdout == b"4 4 4 2\n"
    assert status["jobs"] == {"MAX_JOBS": "4", "NVCC_THREADS": "2"}


@pytest.mark.parametrize(
    "line", ["MAX_JOBS=0", "MAX_JOBS=-1", "MAX_JOBS=100000", "MAX_JOBS=4 ", "PATH=1", "4", ""]
)
def test_a_file_of_jobs_says_small_positive_numbers_and_nothing_else(
    tmp_path: Path, line: str
) -> None:
    (tmp_path / "jobs").write_text(f"NVCC_THREADS=1\n{line}\n")
    options = ("--jobs", str(tmp_path / "jobs"))
    done, status = run_step(tmp_path, *python("print('ran')"), options=options)
    assert (done.returncode, done.stdout, status) == (70, b"", {})
    assert f"farm: error: step compile: {line!r} is no number of jobs" in done.stderr.decode()


def test_files_are_made_with_a_fixed_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        run_step(tmp_path, *python(f"open({str(tmp_path / 'made')!r}, 'w')"))
    finally:
        os.umask(before)
    assert (tmp_path / "made").stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_breaks_the_step_with_70_and_ends_the_command(tmp_path: Path) -> None:
    logs = tmp_path / "out/logs"
    logs.mkdir(parents=True)
    (logs / "compile.log").symlink_to("/dev/full")
    done, status = run_step(
        tmp_path, *python("print('x', flush=True); import time; time.sleep(300)")
    )
    assert (done.returncode, status) == (70, {})
    assert b"farm: error: step compile: [Errno 28] No space left on device" in done.stderr


def test_a_live_view_that_went_away_does_not_stop_the_step(tmp_path: Path) -> None:
    argv = [sys.executable, str(STEP), "--name", "compile", "--out", str(tmp_path), "--"]
    argv += python("for n in range(10000): print(n)")
    reader, writer = os.pipe()
    os.close(reader)
    with subprocess.Popen(argv, stdout=writer) as step:
        os.close(writer)
        assert step.wait() == 0
    assert (tmp_path / "logs/compile.log").read_text().splitlines()[-1] == "9999"
