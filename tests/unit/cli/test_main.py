"""The process: exit codes, errors without tracebacks, Ctrl-C, readers who go, full disks."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.cli import main
from farm.errors import (
    BuildError,
    ExitCode,
    FarmError,
    PlanError,
    Problem,
)
from tests.support.projects import DEMO, project_at

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Farm

ROOT = Path(__file__).parents[3]
PROGRAM = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from farm.cli.main import main; sys.argv[0] = 'farm'; main()"
)


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-c", PROGRAM, *arguments]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("list", "--nix"), ExitCode.USAGE, "No such option"),
        (("nix",), ExitCode.USAGE, "No such command"),
        (("plan",), ExitCode.USAGE, "no recipe is named"),
        (("plan", "nix"), ExitCode.USAGE, "there is no recipe 'nix'"),
        (("plan", "demo; rm -rf /"), ExitCode.USAGE, "is no selector"),
        (("plan", "demo:$(id)"), ExitCode.USAGE, "is no variant"),
        (("plan", "demo@9"), ExitCode.USAGE, "has no version '9'"),
        (("plan", "demo:cpu+cpu"), ExitCode.USAGE, "is a variant of demo, not a feature"),
        (("plan", "demo", "--memory", "5 GB"), ExitCode.USAGE, "is no size|is not a size"),
        (("plan", "demo", "--memory", "0 B"), ExitCode.USAGE, "no memory"),
        (("plan", "demo", "--max-jobs", "0"), ExitCode.USAGE, "--max-jobs"),
        (("plan", "demo", "-j", "0"), ExitCode.USAGE, "-j"),
        (("build", "demo", "--engine", "nix"), ExitCode.USAGE, "--engine"),
        (("build", "demo", "--progress", "nix"), ExitCode.USAGE, "--progress"),
        (("plan", "demo", "--python", "3.1"), ExitCode.RECIPE, "Python 3.1 is asked for"),
        (("plan", "wrong"), ExitCode.RECIPE, "2 problems in what the recipes say"),
        (("plan", "circle"), ExitCode.PLAN, "circle@1.0.0:cpu → circle@1.0.0:cpu"),
        (("logs",), ExitCode.USAGE, "there is no run"),
        (("-C", "/nowhere", "list"), ExitCode.USAGE, "no recipes/ folder in /nowhere"),
    ],
)
def test_each_cause_has_its_code_and_its_words_and_no_traceback(
    farm: Farm, world: Path, arguments: tuple[str, ...], code: int, told: str
) -> None:
    circle = "needs: [{package: circle, version: 1.0.0, variant: cpu}]\n"
    project_at(world, {
        "recipes/demo.yaml": DEMO,
        "recipes/wrong.yaml": "package: wrong\nversions: 3\n",
        "recipes/circle.yaml": DEMO.replace("package: demo", "package: circle") + circle,
    })  # fmt: skip
    ended = farm(*arguments)
    assert ended.code == code, ended.err
    assert any(word in ended.err for word in told.split("|"))
    assert "Traceback" not in ended.err
    assert ended.out == ""


def test_outside_of_a_project_the_way_to_start_one_is_told(farm: Farm) -> None:
    ended = farm("list")
    assert ended.code == ExitCode.USAGE
    assert "farm init" in ended.err


def _raise(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the application end with an error that no argument can cause."""

    def call(_arguments: list[str]) -> int:
        raise error

    monkeypatch.setattr(main, "_call_app", call)


@pytest.mark.parametrize(
    "error",
    [BuildError("m", hint="h", details=["d"]), PlanError([Problem(what="m", hint="h")])],
)
def test_a_farm_error_is_its_code_and_its_text(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, error: FarmError
) -> None:
    _raise(monkeypatch, error)
    ended = farm("list")
    assert ended.code == error.code
    assert ended.err.startswith(f"error: {error.message}\n")
    assert all(detail in ended.err for detail in error.details)
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("how", ["option", "variable"])
def test_debug_shows_the_traceback(farm: Farm, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    _raise(monkeypatch, BuildError("m"))
    if how == "variable":
        monkeypatch.setenv("FARM_DEBUG", "1")
    ended = farm(*(["--debug"] if how == "option" else []), "list")
    assert ended.code == ExitCode.BUILD
    assert ended.err.startswith("Traceback")
    assert ended.err.endswith("error: m\n")


def test_a_bug_is_called_one_and_shown_only_with_debug(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    _raise(monkeypatch, KeyError("x"))
    ended = farm("list")
    assert ended.code == ExitCode.INTERNAL
    assert "unexpected KeyError: 'x'" in ended.err
    assert "--debug" in ended.err
    assert "Traceback" not in ended.err
    with pytest.raises(KeyError):
        farm("list", "--debug")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cancels_with_130_and_one_line(world: Path, number: int) -> None:
    project_at(world)
    pipe = world / "recipes/pipe.yaml"
    os.mkfifo(pipe)
    with (
        subprocess.Popen(
            command("plan", "pipe"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process,
        pipe.open("wb"),
    ):  # opens once farm reads the recipe
        process.send_signal(number)
        out, err = process.communicate()
    assert (process.returncode, out, err) == (ExitCode.CANCELLED, "", "farm: cancelled\n")


OUTPUT = [("--help",), ("list",), ("--version",), ("plan", "demo", "--json")]


@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_reader_who_has_gone_is_no_failure(world: Path, buffered: str) -> None:
    project_at(world)
    for arguments in OUTPUT:
        reader, writer = os.pipe()
        os.close(reader)
        with os.fdopen(writer, "w") as gone:
            ended = subprocess.run(
                command(*arguments),
                stdout=gone,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                env=os.environ | {"PYTHONUNBUFFERED": buffered},
            )
        assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("buffered", ["", "1"])
def test_a_full_disk_behind_stdout_is_a_storage_error(world: Path, buffered: str) -> None:
    project_at(world)
    for arguments in OUTPUT:
        with Path("/dev/full").open("w") as full:
            ended = subprocess.run(
                command(*arguments),
                stdout=full,
                stderr=subprocess.PIPE,
                text=True,
                check=False,
                env=os.environ | {"PYTHONUNBUFFERED": buffered},
            )
        assert ended.returncode == ExitCode.STORAGE
        assert ended.stderr.startswith("error: cannot write: ")
        assert "Traceback" not in ended.stderr
