"""The quick way of reading says what the careful one says, or leaves it to that."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import RecipeError
from farm.load import plain
from farm.load import yaml as loader
from farm.load.places import Lines
from farm.load.plain import UnusualError, read

ROOT = Path(__file__).parents[3]
SHIPPED = sorted(path for path in (ROOT / "recipes").rglob("*.yaml"))
UNUSUAL = (
    "", "# only a comment\n", "text", "[a", "a: b: c", "a: *b", "a: &b 1", "a: !!str 1", "! a: 1",
    "a: 1\na: 2", "<<: {a: 1}", "1: a", "~: a", "? [a]\n: b", "{a: 1}\n---\n{b: 1}",
    "%YAML 1.1\n---\na: 1",
    "&x {a: 1}", "!t [1]", 'a: "\\u0007"', "[" * 60 + "]" * 60, "*a : 1", "- *a",
)  # fmt: skip
SCALARS = ("1", "0x1", "010", "-0", "+7", "1_0", "1e3", "on", "no", "True", "TRUE", "null", "~",
           "3.10", "12:30", "2026-05-16", "'1'", '"true"', '""', "''", "a b", "|\n  x\n",
           ">-\n  x\n  y",
           "9" * 18, "9" * 19, "[a, [b, {c: d}]]", "{}", "[]")  # fmt: skip


def with_care(text: str) -> object:
    return loader._parse_with_care(text, "f", Lines("f", text)).value


def same(one: object, other: object) -> bool:
    """Equal, and of the same types: True is not 1."""
    return one == other and repr(one) == repr(other)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_files_are_read_the_quick_way_but_for_their_anchors(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if ": &" in text:
        with pytest.raises(UnusualError):
            read(text)
    else:
        assert same(read(text), with_care(text))


@pytest.mark.parametrize("scalar", SCALARS)
def test_a_scalar_means_the_same_both_ways(scalar: str) -> None:
    text = f"a: {scalar}\n"
    assert same(read(text), with_care(text))


@pytest.mark.parametrize("text", UNUSUAL)
def test_whatever_is_unusual_is_left_to_the_careful_way(text: str) -> None:
    with pytest.raises(UnusualError):
        read(text)


def test_depth_and_size_end_where_they_end_with_care(monkeypatch: pytest.MonkeyPatch) -> None:
    deepest = "[" * 50 + "]" * 50
    assert same(read(deepest), with_care(deepest))
    with pytest.raises(UnusualError):
        read(f"[{deepest}]")
    monkeypatch.setattr(plain, "MAX_VALUES", 5)
    assert read("{a: 1, b: 2}") == {"a": 1, "b": 2}
    for text in ("{a: 1, b: [2]}", "[1, 2, 3, 4, 5]", "{a: 1, b: 2, c: 3}"):
        with pytest.raises(UnusualError):
            read(text)


@given(st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
).filter(lambda value: isinstance(value, list | dict)))  # fmt: skip
def test_both_ways_agree_about_any_document(value: object) -> None:
    text = json.dumps(value, ensure_ascii=False)
    try:
        careful: object = with_care(text)
    except RecipeError:
        with pytest.raises(UnusualError):
            read(text)
        return
    try:
        quick = read(text)
    except UnusualError:
        return
    assert same(quick, careful)
