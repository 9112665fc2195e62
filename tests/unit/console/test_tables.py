"""Tables, numbers and JSON, as the verbs print them."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from rich.console import Console
from rich.text import Text

from farm.console.as_json import to_json
from farm.console.tables import print_table
from farm.console.words import clock, duration, in_ascii, size, squeeze

COLUMNS = ("package", ">size", "variants")


def shown(*rows: tuple[str | Text, ...], **options: object) -> list[str]:
    console = Console(file=io.StringIO(), **options)  # type: ignore[arg-type]  # passed through
    print_table(COLUMNS, rows, console=console)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue().splitlines()


def test_a_table_in_a_pipe_has_one_whole_line_a_row() -> None:
    long = " ".join(f"variant{n}" for n in range(40))
    lines = shown(("vllm", "1.2 MB", long), ("x", Text("9 B", style="red"), "[bold]cpu"), width=40)
    assert lines[0] == "package    size  variants"
    assert set(lines[1]) == {"─"}
    assert lines[2:] == [f"vllm     1.2 MB  {long}", "x           9 B  [bold]cpu"]


def test_a_table_in_a_terminal_is_folded_to_the_window() -> None:
    row = ("vllm", "1.2 MB", "variant " * 40)
    lines = shown(row, width=60, force_terminal=True, color_system=None)
    assert max(map(len, lines)) <= 60
    assert " ".join(lines).count("variant ") >= 39


def test_numbers_read_well() -> None:
    assert [duration(s) for s in (0, 7.25, 59.94, 59.96, 200, 3599.6, 3720)] == [
        "0.0s",
        "7.2s",
        "59.9s",
        "1m 00s",
        "3m 20s",
        "1h 00m",
        "1h 02m",
    ]
    assert [clock(s) for s in (-1, 7.9, 754, 3723)] == ["0:00", "0:07", "12:34", "1:02:03"]
    assert [size(n) for n in (0, 999, 1000, 12_345, 99_960, 999_600, 5.1e9, 3e15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "12.3 kB",
        "100 kB",
        "1.0 MB",
        "5.1 GB",
        "3000 TB",
    ]
    assert in_ascii("✓ ━─ …") == "+ =- ~"


@given(st.text(max_size=30), st.integers(0, 40))
def test_squeezed_text_fits_and_keeps_both_ends(text: str, width: int) -> None:
    short = squeeze(text, width)
    assert len(short) <= width or short == text == ""
    if len(text) <= width:
        assert short == text
    elif width > 4:
        assert text.startswith(short.split("…")[0])
        assert short[-1] == text[-1]


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    y: int
    x: tuple[Path, ...]
    colour: Colour | None = None


class Model(BaseModel):
    where: Path


def test_values_of_every_kind_have_one_form() -> None:
    value = {
        "point": Point(y=1, x=(Path("a/b"),), colour=Colour.RED),
        "set": {"c", "a", "b"},
        "model": Model(where=Path("/x")),
        "when": datetime(2026, 11, 22, tzinfo=UTC),
        "plain": [None, True, 1.5, "é"],
    }
    assert json.loads(to_json(value)) == {
        "point": {"y": 1, "x": ["a/b"], "colour": "red"},
        "set": ["a", "b", "c"],
        "model": {"where": "/x"},
        "when": "2026-11-22T00:00:00+00:00",
        "plain": [None, True, 1.5, "é"],
    }


def test_the_text_is_stable_and_its_keys_sorted() -> None:
    assert to_json({"b": 1, "a": ("é",)}) == '{\n  "a": [\n    "é"\n  ],\n  "b": 1\n}'
    assert to_json({"b": 1, "a": 2}, indent=None) == '{"a":2,"b":1}'


@pytest.mark.parametrize("value", [b"bytes", object(), {"x": b""}])
def test_what_has_no_form_in_json_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="no form in JSON"):
        to_json(value)


def test_numbers_that_json_does_not_know_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        to_json(float("nan"))


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(TREES)
def test_what_is_json_already_comes_back_as_it_was(value: object) -> None:
    assert json.loads(to_json(value)) == value
