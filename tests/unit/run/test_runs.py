"""Runs: named by time, the latest found, the oldest let go, summaries read back."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest

from farm.errors import StorageError
from farm.model.unit import UnitKey
from farm.run.runs import (
    KEPT_RUNS,
    Run,
    RunSummary,
    is_running,
    list_runs,
    new_run,
    read_summary,
    runs_folder,
    write_summary,
)

if TYPE_CHECKING:
    from pathlib import Path

KEY = UnitKey(package="llama-cpp-python", version="0.2.44", variant="cpu")
SUMMARY = RunSummary(
    name="r",
    command=("farm", "build"),
    started_s=1.5,
    seconds=2,
    exit_code=9,
    units={"a": "built"},
)


def test_a_run_has_a_folder_named_by_time_and_is_the_latest(tmp_path: Path) -> None:
    with new_run(tmp_path) as run:
        pass
    assert re.fullmatch(r"[0-9]{8}-[0-9]{6}-[0-9]{6}-[0-9a-f]{4}", run.name)
    assert run.folder == tmp_path / ".farm/runs" / run.name
    assert (runs_folder(tmp_path) / "latest").resolve() == run.folder
    assert run.unit_folder(KEY) == run.folder / "llama-cpp-python-0.2.44/cpu"
    assert (tmp_path / ".farm/.gitignore").read_text() == "*\n"
    assert list_runs(tmp_path) == [run]


def test_the_newest_comes_first_and_what_is_no_run_is_none(tmp_path: Path) -> None:
    for name in ("20260101-000000-aaaa", "20270101-000000-aaaa"):
        (runs_folder(tmp_path) / name).mkdir(parents=True)
    (runs_folder(tmp_path) / "a-file").write_text("")
    with new_run(tmp_path) as run:
        pass
    assert [r.name for r in list_runs(tmp_path)] == sorted(
        [run.name, "20260101-000000-aaaa", "20270101-000000-aaaa"], reverse=True
    )


def test_only_so_many_runs_are_kept(tmp_path: Path) -> None:
    for number in range(KEPT_RUNS + 5):
        folder = runs_folder(tmp_path) / f"20200101-{number:06}-aaaa"
        folder.mkdir(parents=True)
        (folder / "log").write_text("x")
    with new_run(tmp_path) as run:
        pass
    kept = list_runs(tmp_path)
    assert len(kept) == KEPT_RUNS
    assert kept[0] == run
    assert kept[-1].name == "20200101-000006-aaaa"


def test_the_folder_of_a_run_that_lives_is_kept_however_old(tmp_path: Path) -> None:
    with new_run(tmp_path) as living:
        for number in range(KEPT_RUNS + 5):
            (runs_folder(tmp_path) / f"99990101-{number:06}-aaaa").mkdir()
        with new_run(tmp_path):
            assert living.folder.exists()
    with new_run(tmp_path):
        assert not living.folder.exists()


def test_no_two_runs_have_one_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even where time and chance agree: the folder itself decides."""
    monkeypatch.setattr("farm.run.runs.time.time", lambda: 1.5e9)
    chance = iter(["aaaa", "aaaa", "aaaa", "bbbb"])
    monkeypatch.setattr("farm.run.runs.secrets.token_hex", lambda _: next(chance))
    with new_run(tmp_path) as one, new_run(tmp_path) as other:
        assert [one.name[-4:], other.name[-4:]] == ["aaaa", "bbbb"]


def test_a_run_is_running_until_it_ends(tmp_path: Path) -> None:
    with new_run(tmp_path) as run:
        assert is_running(run)
    assert not is_running(run)
    assert not is_running(Run(name="r", folder=tmp_path / "nowhere"))


def test_a_run_that_is_killed_runs_no_more(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys\n"
        "from farm.run.runs import new_run\n"
        "with new_run(pathlib.Path(sys.argv[1])):\n"
        "    print('here', flush=True)\n"
        "    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        (run,) = list_runs(tmp_path)
        assert is_running(run)
        process.kill()
    assert not is_running(run)
    assert read_summary(run) is None


def test_no_runs_anywhere_is_an_empty_list(tmp_path: Path) -> None:
    assert list_runs(tmp_path) == []
    assert list_runs(tmp_path / "nowhere") == []


def test_a_file_in_the_way_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / ".farm").write_text("")
    with pytest.raises(StorageError, match="cannot write"), new_run(tmp_path):
        pass


def test_a_summary_is_read_back_and_a_run_without_one_was_killed(tmp_path: Path) -> None:
    with new_run(tmp_path) as run:
        assert read_summary(run) is None
        write_summary(run, SUMMARY)
        assert read_summary(run) == SUMMARY
    assert sorted(path.name for path in run.folder.iterdir()) == [".lock", "run.json"]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"command": 3}',
        "[" * 100_000,
        json.dumps(asdict(SUMMARY) | {"seconds": "2"}),
        json.dumps(asdict(SUMMARY) | {"units": []}),
        json.dumps(asdict(SUMMARY) | {"command": [1]}),
        json.dumps(asdict(SUMMARY) | {"more": 1}),
    ],
)
def test_what_is_no_summary_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "run.json").write_text(content)
    assert read_summary(Run(name="r", folder=tmp_path)) is None


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / ".run.json.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="no space left"):
        write_summary(Run(name="r", folder=tmp_path), SUMMARY)
