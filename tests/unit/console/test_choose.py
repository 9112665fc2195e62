"""Which view is chosen, and how an error is said."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from rich.console import Console

from farm.console.choose import PROGRESS, coloured, make_view, render_error
from farm.console.json_lines import JsonView
from farm.console.live import LiveView
from farm.console.plain import PlainView
from farm.console.quiet import QuietView
from farm.errors import FetchError, Place, Problem, RecipeError, UsageError
from farm.events import Outcome, UnitFinished

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO


@pytest.fixture
def terminal() -> Iterator[TextIO]:
    ours, theirs = pty.openpty()
    with open(theirs, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor, not a path
        yield stream
    os.close(ours)


def kind(progress: str, stream: TextIO, **env: str) -> type:
    console = Console(file=stream)
    with make_view(progress, console=console, env=env, stdout=io.StringIO()) as view:
        return type(view)


def test_auto_draws_in_a_terminal_that_a_person_watches(terminal: TextIO) -> None:
    assert kind("auto", terminal, TERM="xterm") is LiveView
    assert kind("auto", terminal, TERM="xterm", CI="false", NO_COLOR="1") is LiveView
    assert kind("auto", terminal, TERM="dumb") is PlainView
    assert kind("auto", terminal, TERM="xterm", CI="true") is PlainView
    assert kind("auto", io.StringIO()) is PlainView
    assert kind("auto", io.StringIO(), FORCE_COLOR="1") is PlainView


def test_each_name_has_its_view(terminal: TextIO) -> None:
    kinds = [kind(name, terminal, TERM="xterm") for name in PROGRESS]
    assert kinds == [LiveView, PlainView, QuietView, JsonView]


def test_an_unknown_view_is_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="'loud'") as caught:
        make_view("loud")
    assert caught.value.hint == "one of auto, plain, quiet, json"


def test_annotations_are_for_github_only() -> None:
    failed = UnitFinished(unit="a@1:cpu", outcome=Outcome.FAILED, seconds=0, message="m")
    for env, expected in (({}, False), ({"GITHUB_ACTIONS": "true"}, True)):
        stream = io.StringIO()
        with make_view("plain", console=Console(file=stream), env=env) as view:
            view(failed)
        assert ("::error title=" in stream.getvalue()) is expected


@pytest.mark.parametrize(
    ("env", "expected"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
    ],
)
def test_colour_follows_the_conventions(env: dict[str, str], *, expected: bool) -> None:
    assert coloured(io.StringIO(), env) is expected


def test_a_terminal_has_colour_unless_it_is_dumb(terminal: TextIO) -> None:
    assert coloured(terminal, {"TERM": "xterm"})
    assert not coloured(terminal, {"TERM": "dumb"})


def said(error: FetchError | RecipeError, *, debug: bool = False, **env: str) -> str:
    stream = io.StringIO()
    render_error(error, debug=debug, stream=stream, env=env)
    return stream.getvalue()


def test_an_error_is_message_details_and_hint() -> None:
    error = FetchError("cannot fetch x: 404", hint="check the version", details=["a\nb", "c"])
    assert said(error) == ("error: cannot fetch x: 404\n  a\n  b\n  c\nhint: check the version\n")
    assert said(FetchError("just this")) == "error: just this\n"


def test_problems_are_listed_with_their_places() -> None:
    place = Place(file="recipes/x.yaml", line=3, column=1)
    text = said(RecipeError([Problem(what="unknown key 'a'", place=place)]))
    assert text == (
        "error: 1 problem in what the recipes say\n  recipes/x.yaml:3:1: unknown key 'a'\n"
    )


def test_an_error_is_red_only_where_colour_is_wanted() -> None:
    assert said(FetchError("x"), FORCE_COLOR="1") == "\x1b[1;31merror:\x1b[0m x\n"
    assert "\x1b" not in said(FetchError("x", hint="y"), FORCE_COLOR="1", NO_COLOR="1")


def test_a_traceback_is_shown_only_for_debugging() -> None:
    error = FetchError("x")
    with pytest.raises(FetchError):
        raise error
    assert "Traceback" not in said(error)
    text = said(error, debug=True)
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("error: x\n")


def test_choosing_loads_rich_only_when_something_is_drawn() -> None:
    code = (
        "import sys; from farm.console.choose import make_view;"
        "make_view('json'); sys.exit('rich' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
