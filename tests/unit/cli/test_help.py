"""The overview that is printed without starting the application is what it would print."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from farm.cli.app import VERBS, application
from farm.cli.main import HELP

if TYPE_CHECKING:
    import pytest

WRITE = bool(os.environ.get("FARM_WRITE_GOLDENS"))  # read before the tests' world is emptied
PROGRAM = "import sys; from farm.cli.main import main; sys.argv[0] = 'farm'; main()"


def overview(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    application()(["--help"], standalone_mode=False, prog_name="farm")
    return capsys.readouterr().out


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-c", PROGRAM, *arguments]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def test_the_help_on_disk_is_what_the_application_prints(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    printed = overview(capsys, monkeypatch)
    if WRITE:
        HELP.write_text(printed, encoding="utf-8")
    assert HELP.read_text(encoding="utf-8") == printed, "renew it: make goldens"


def test_help_prints_the_overview_and_nothing_at_all_asks_for_it_too() -> None:
    text = HELP.read_text(encoding="utf-8")
    for arguments, code in (("--help",), 0), (("-h",), 0), ((), 2):
        ended = run(*arguments)
        assert (ended.returncode, ended.stdout, ended.stderr) == (code, text, "")


def test_every_verb_says_in_one_whole_line_what_it_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = overview(capsys, monkeypatch).partition("Commands:")[2]
    lines = commands.strip().splitlines()
    assert len(lines) == len(VERBS)
    assert [line for line in lines if not line.endswith(".") or line.endswith("...")] == []


def test_the_overview_loads_neither_typer_nor_pydantic() -> None:
    code = f"{PROGRAM[:-6]}\ntry: main()\nfinally: print(*sys.modules, file=sys.stderr)"
    argv = [sys.executable, "-c", code, "--help"]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert ended.returncode == 0
    assert not {"typer", "click", "pydantic", "rich"} & set(ended.stderr.split())
