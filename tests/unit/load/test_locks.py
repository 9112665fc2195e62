"""Lock files: written and read back, digests of their inputs, and what is none."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import RecipeError
from farm.load.locks import format_lock, inputs_digest, parse_lock
from farm.model.unit import Lock, LockInputs, Pin
from tests.support.projects import SHA

HEX = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
NAMES = st.from_regex(r"[a-z0-9](?:-?[a-z0-9]){0,8}", fullmatch=True)
VERSIONS = st.from_regex(
    r"(?:[0-9]!)?[0-9]{1,2}(?:\.[0-9]){0,2}(?:\+[a-z0-9.]{1,3}[a-z])?", fullmatch=True
)


@st.composite
def pins(draw: st.DrawFn) -> Pin:
    name, version = draw(NAMES), draw(VERSIONS)
    filename = f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return Pin(name=name, version=version, filename=filename, sha256=draw(HEX))


LOCKS = st.builds(
    Lock,
    inputs=HEX,
    pins=st.lists(pins(), max_size=5, unique_by=lambda pin: pin.name).map(
        lambda found: tuple(sorted(found, key=lambda pin: pin.name))
    ),
)


@given(LOCKS)
def test_a_lock_is_read_back_as_it_was_written(lock: Lock) -> None:
    text = format_lock(lock)
    assert parse_lock(text, "x") == lock
    assert format_lock(parse_lock(text, "x")) == text
    assert parse_lock(text.replace("\n", "\r\n"), "x") == lock


@given(LOCKS, st.data())
def test_a_lock_that_was_cut_or_changed_is_another_lock_or_none(
    lock: Lock, data: st.DataObject
) -> None:
    text = format_lock(lock)
    cut = text[: data.draw(st.integers(0, len(text) - 2))]
    try:
        found = parse_lock(cut, "x")
    except RecipeError:
        return
    assert found.inputs == lock.inputs
    assert found.pins == lock.pins[: len(found.pins)]


PIN = f"demo==1.0 --hash=sha256:{SHA}  # demo-1.0-py3-none-any.whl"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "x:1:1: is no lock file"),
        (f"# farm lock: {SHA[1:]}\n", "x:1:1: is no lock file"),
        (f"text # farm lock: {SHA}\n", "x:1:1: is no lock file"),
        (f"# farm lock: {SHA}\ntorch\n", "x:2:1: not a pinned wheel: 'torch'"),
        (f"# farm lock: {SHA}\n--extra-index-url https://x\n", "not a pinned wheel"),
        (f"# farm lock: {SHA}\n{PIN} --no-binary\n", "not a pinned wheel"),
        (f"# farm lock: {SHA}\n{PIN.replace('.whl', '.tar.gz')}\n", "not a pinned wheel"),
        (f"# farm lock: {SHA}\n{PIN.replace('# demo', '# ../demo')}\n", "not a pinned wheel"),
        (f"# farm lock: {SHA}\n{PIN.replace('demo==', 'demo>=')}\n", "not a pinned wheel"),
        (f"# farm lock: {SHA}\n{PIN}\n{PIN}\n", "x:3:1: demo is pinned twice"),
    ],
)
def test_what_is_no_lock_is_told_line_by_line(text: str, told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_lock(text, "x")
    assert told in " ".join(caught.value.details)
    assert "delete it; 'farm lock' writes it anew" in caught.value.details[-1]


def test_every_wrong_line_is_told() -> None:
    with pytest.raises(RecipeError) as caught:
        parse_lock(f"# farm lock: {SHA}\na\n{PIN}\nb\n", "x")
    assert [d.split(" ")[0] for d in caught.value.details] == ["x:2:1:", "x:4:1:"]


INPUTS = LockInputs(
    source="sha256:1", requires=("a", "b"), provided=("c",), python="3.13", glibc="2.41"
)


@pytest.mark.parametrize("name", [field.name for field in fields(LockInputs)])
def test_the_digest_of_the_inputs_holds_every_one_of_them(name: str) -> None:
    value = getattr(INPUTS, name)
    other: Any = (*value, "x") if isinstance(value, tuple) else value + "1"
    assert inputs_digest(replace(INPUTS, **{name: other})) != inputs_digest(INPUTS)
    assert inputs_digest(replace(INPUTS)) == inputs_digest(INPUTS)


def test_moving_a_name_between_the_inputs_is_a_change() -> None:
    moved = replace(INPUTS, requires=("a",), provided=("b", "c"))
    assert inputs_digest(moved) != inputs_digest(INPUTS)
