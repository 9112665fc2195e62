"""Trying what is installed: what passes, what is said of what does not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from farm.inside.smoke import EXIT_FAILED, main

if TYPE_CHECKING:
    from pathlib import Path


def tried(out: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    status = main(["--out", str(out), *arguments])
    told: dict[str, Any] = json.loads((out / "smoke.json").read_text(encoding="utf-8"))
    return status, told


def script(tmp_path: Path, text: str) -> str:
    path = tmp_path / "script.py"
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_each_import_and_the_script_are_told_with_their_time(tmp_path: Path) -> None:
    text = "import os, sys; assert os.listdir() == []; assert sys.flags.isolated"
    arguments = ["--import", "json", "--import", "email.parser"]
    status, told = tried(tmp_path / "out", *arguments, "--script", script(tmp_path, text))
    assert (status, told["failed"], told["line"]) == (0, None, "")
    assert [each["what"] for each in told["passed"]] == [
        "import json", "import email.parser", "script",
    ]  # fmt: skip
    assert all(each["seconds"] > 0 for each in told["passed"])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError: No module named"),
        ("assert 1 == 2, 'for a reason'", "AssertionError: for a reason"),
        ("raise SystemExit(3)", "exit status 3"),
        ("import os; os.abort()", "ended by signal 6"),
        ("print('x' * 100000); raise SystemExit(1)", "x" * 500),
        (r"import os; os.write(1, b'\xff\x00'); raise SystemExit(1)", "\ufffd"),
    ],
)
def test_the_first_that_fails_ends_it_with_its_last_line(
    tmp_path: Path, text: str, line: str
) -> None:
    path = script(tmp_path, text)
    status, told = tried(tmp_path / "out", "--import", "json", "--script", path)
    assert (status, told["failed"]) == (EXIT_FAILED, "script")
    assert told["line"].startswith(line)
    assert len(told["line"]) <= 500
    assert [each["what"] for each in told["passed"]] == ["import json"]


def test_an_import_that_fails_keeps_the_rest_from_being_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, told = tried(tmp_path, "--import", "nothing_of_that_name", "--import", "json")
    assert (status, told["failed"], told["passed"]) == (
        EXIT_FAILED,
        "import nothing_of_that_name",
        [],
    )
    assert "farm: error: import nothing_of_that_name: ModuleNotFound" in capsys.readouterr().err


def test_what_does_not_end_is_ended(tmp_path: Path) -> None:
    text = "import time; print('waiting', flush=True); time.sleep(600)"
    path = script(tmp_path, text)
    status, told = tried(tmp_path / "out", "--script", path, "--timeout", "1")
    assert (status, told["line"]) == (EXIT_FAILED, "did not end within 1 s")


def test_an_import_is_never_a_command(tmp_path: Path) -> None:
    status, told = tried(tmp_path, "--import", "json; print(1)")
    assert status == EXIT_FAILED
    assert "No module named 'json; print(1)'" in told["line"]
