"""``farm logs``: of which unit and run, and following one to its end."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode
from farm.run.runs import RunSummary, new_run, write_summary
from tests.support.projects import project_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.run.runs import Run
    from tests.unit.cli.conftest import Ended, Farm


@pytest.fixture
def project(world: Path) -> Path:
    project_at(world)
    return world


@pytest.fixture
def logged(project: Path) -> Path:
    """A run of two units that are over."""
    with new_run(project / "out") as run:
        for variant in ("cpu", "cuda"):
            folder = run.folder / f"llama-cpp-python-0.2.44/{variant}"
            folder.mkdir(parents=True)
            (folder / "build.log").write_bytes(f"of {variant}\n".encode() + b"\xff\n")
            (folder / "compile.log").write_text("compiled\n")
        write_summary(run, RunSummary(name=run.name, command=(), started_s=1, seconds=2,
                                      exit_code=0, units={}))  # fmt: skip
    return run.folder


def write_log(run: Run, variant: str, text: str) -> None:
    folder = run.folder / f"demo-1.0.0/{variant}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "build.log").open("a") as log:
        log.write(text)


def between_looks(monkeypatch: pytest.MonkeyPatch, *events: Callable[[], object]) -> None:
    """Let one thing happen each time that a follower waits."""
    coming = iter(events)
    monkeypatch.setattr("farm.cli.verbs.logs.time.sleep", lambda _: next(coming)())


def logs(farm: Farm, *arguments: str) -> Ended:
    return farm("logs", *arguments)


def test_the_log_of_a_unit_is_printed_whole(farm: Farm, logged: Path) -> None:
    assert logs(farm, "cuda").out == "of cuda\n\ufffd\n"
    assert logs(farm, "llama-cpp-python@0.2.44:cpu").out == "of cpu\n\ufffd\n"
    assert logs(farm, "cpu", "--compile", "--run", logged.name).out == "compiled\n"
    assert logs(farm, "cuda", "--follow").out == "of cuda\n\ufffd\n"


def test_an_exact_label_is_taken_though_others_hold_it(farm: Farm, project: Path) -> None:
    with new_run(project / "out") as run:
        write_log(run, "cuda", "plain\n")
        write_log(run, "cuda-sm_90", "narrowed\n")
    assert logs(farm, "demo@1.0.0:cuda").out == "plain\n"
    assert logs(farm, "sm_90").out == "narrowed\n"
    assert logs(farm, "cuda").code == ExitCode.USAGE


def test_a_log_is_followed_that_does_not_exist_yet(
    farm: Farm, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the very unit that is named, though another's is there already; to the run's end."""
    with ExitStack() as living:
        run = living.enter_context(new_run(project / "out"))
        write_log(run, "cuda-sm_90", "narrowed\n")
        between_looks(
            monkeypatch,
            lambda: write_log(run, "cuda", "first\n"),
            lambda: write_log(run, "cuda", "second\n"),
            living.close,
        )
        assert logs(farm, "demo@1.0.0:cuda", "--follow").out == "first\nsecond\n"


def test_following_ends_with_a_run_that_is_killed(
    farm: Farm, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with new_run(project / "out") as run:  # leaves no summary
        write_log(run, "cuda", "its last words\n")
    assert logs(farm, "--follow", "--run", run.name).out == "its last words\n"
    with ExitStack() as living:
        silent = living.enter_context(new_run(project / "out"))
        between_looks(monkeypatch, living.close)
        ended = logs(farm, "--follow", "--run", silent.name)
    assert ended.code == ExitCode.USAGE
    assert "has no build.log" in ended.err


def test_of_several_logs_one_must_be_named_and_paths_are_told(farm: Farm, logged: Path) -> None:
    ended = logs(farm)
    assert ended.code == ExitCode.USAGE
    assert "llama-cpp-python@0.2.44:cpu, llama-cpp-python@0.2.44:cuda" in ended.err
    paths = logs(farm, "--paths").out.splitlines()
    assert paths == [
        str(logged / f"llama-cpp-python-0.2.44/{v}/build.log") for v in ("cpu", "cuda")
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("nix",), "has no build.log of 'nix'"),
        (("--run", "nix"), "there is no run 'nix'"),
        (("--run", "../../.."), "there is no run"),
        (("--run", ""), "there is no run"),
    ],
)
def test_a_log_or_run_that_is_not_there_is_told(
    farm: Farm, logged: Path, arguments: tuple[str, ...], told: str
) -> None:
    ended = logs(farm, *arguments)
    assert ended.code == ExitCode.USAGE
    assert told in ended.err
