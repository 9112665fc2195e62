"""What CI services find in a log: what farm means them to find, whatever the log repeats."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest
from rich.console import Console

from farm.console.choose import make_view, render_error
from farm.errors import FetchError, Place, Problem, RecipeError
from farm.events import Event, Notice, Outcome, RunFinished, RunStarted, StepOutput, UnitFinished

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "vllm@0.22.0:rocm-gfx942"
HOSTILE = (
    "::set-output name=a::b",
    "  ::error file=x::planted",
    "x ##[add-path]/planted",
    "::stop-commands::planted",
    "::endgroup::",
    "\x1b[0Ksection_start:1:planted\r\x1b[0K",
    "\x1b]0;title\x07",
)


def commands(log: str) -> list[tuple[str, str]]:
    """What GitHub's runner takes for commands (ActionCommandManager, ActionCommand.TryParse)."""
    found, stopped = [], ""
    for line in re.split(r"\r\n|\r|\n", log):
        text = line.strip()
        if stopped:
            stopped = "" if text == f"::{stopped}::" else stopped
            continue
        second = re.match(r"::([A-Za-z-]+)( .*?)?::(.*)$", text)
        first = re.search(r"##\[([a-z-]+)( .*?)?\](.*)$", line)
        match = second or first
        if match and match[1] == "stop-commands":
            stopped = match[3]
        elif match:
            found.append((match[1] + (match[2] or ""), match[3]))
    return found


def shown(events: list[Event], **env: str) -> str:
    stream = io.StringIO()
    console = Console(file=stream, width=100, highlight=False)
    with make_view("plain", console=console, env=env) as view:
        for event in events:
            view(event)
    return stream.getvalue()


def failing(log: Path, file: str = "") -> list[Event]:
    log.write_text("".join(f"{line}\n" for line in (*map(str, range(200)), *HOSTILE)))
    hostile = "\n".join(HOSTILE)
    return [
        RunStarted(run="r", units=(UNIT,), folder=hostile),
        Notice(text=hostile, unit=UNIT),
        *(StepOutput(unit=UNIT, step="compile", line=line) for line in HOSTILE),
        UnitFinished(
            unit=UNIT, outcome=Outcome.FAILED, seconds=1, step="compile", log=str(log),
            message=f"100 %\n{hostile}", hint=hostile, details=HOSTILE, file=file, line=7,
        ),
        RunFinished(exit_code=9, seconds=1),
    ]  # fmt: skip


def test_github_finds_a_group_and_an_annotation_and_nothing_that_the_log_says(
    tmp_path: Path,
) -> None:
    recipe = tmp_path / "sub/recipes/vllm.yaml"
    text = shown(
        failing(tmp_path / "build.log", str(recipe)),
        GITHUB_ACTIONS="true",
        GITHUB_WORKSPACE=str(tmp_path),
    )
    error, group, end = commands(text)
    assert error[0] == (
        "error file=sub/recipes/vllm.yaml,line=7,title=vllm@0.22.0%3Arocm-gfx942 failed in compile"
    )
    assert unquote(error[1]).splitlines()[0] == "100 %"
    assert "\n" not in error[1]
    assert group == ("group", f"{UNIT}: its log's end")
    assert end == ("endgroup", "")
    assert "\n199\n" in text
    assert "\n99\n" not in text
    assert commands(f"{text}::warning::later\n")[-1] == ("warning", "later")


def test_a_built_unit_has_its_log_to_unfold_and_no_annotation(tmp_path: Path) -> None:
    log = tmp_path / "build.log"
    log.write_text("a line\n")
    built = UnitFinished(unit=UNIT, outcome=Outcome.BUILT, seconds=1, log=str(log))
    assert commands(shown([built], GITHUB_ACTIONS="true")) == [
        ("group", f"{UNIT}: its log's end"), ("endgroup", ""),
    ]  # fmt: skip


@pytest.mark.parametrize("file", ["/etc/passwd", "", "../x"])
def test_a_file_outside_of_the_workspace_is_not_named(tmp_path: Path, file: str) -> None:
    (tmp_path / "work").mkdir()
    text = shown(
        failing(tmp_path / "build.log", file),
        GITHUB_ACTIONS="true",
        GITHUB_WORKSPACE=str(tmp_path / "work"),
    )
    assert commands(text)[0][0].startswith("error title=")


def test_gitlab_finds_its_sections_and_none_that_the_log_says(tmp_path: Path) -> None:
    text = shown(failing(tmp_path / "build.log"), GITLAB_CI="true")
    marks = re.findall(r"\x1b\[0Ksection_(start|end):\d+:(\w+)(?:\[collapsed=true\])?\r", text)
    assert marks == [("start", "farm_1"), ("end", "farm_1")]
    assert text.count("\r") == 2
    assert text.count("\x1b") == 4


def test_elsewhere_a_log_is_not_repeated_and_no_control_character_is_left(tmp_path: Path) -> None:
    text = shown(failing(tmp_path / "build.log"))
    assert "stop-commands::planted" in text
    assert "\n199\n" not in text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", text)


def said(error: Exception, **env: str) -> str:
    stream = io.StringIO()
    render_error(error, debug=False, stream=stream, env=env)  # type: ignore[arg-type]
    return stream.getvalue()


def test_problems_are_annotations_at_their_places(tmp_path: Path) -> None:
    place = Place(file="recipes/x.yaml", line=3, column=1)
    problems = [
        Problem(what="unknown key\n::error::planted", place=place, where="a.b", hint="drop it"),
        Problem(what="a circle"),
    ]
    error = RecipeError(problems)
    error.root = str(tmp_path / "wheels")
    text = said(error, GITHUB_ACTIONS="true", GITHUB_WORKSPACE=str(tmp_path))
    assert commands(text) == [
        ("error file=wheels/recipes/x.yaml,line=3,title=a.b",
         "unknown key%0A::error::planted; drop it"),
        ("error title=farm", "a circle"),
    ]  # fmt: skip
    assert said(error).startswith("error: 2 problems in what the recipes say\n")


def test_another_error_is_one_annotation() -> None:
    text = said(FetchError("it is gone: 404", details=HOSTILE), GITHUB_ACTIONS="true")
    assert commands(text) == [("error title=farm", "it is gone: 404")]
    assert said(FetchError("x"), GITLAB_CI="true") == "error: x\n"
