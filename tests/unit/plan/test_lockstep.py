"""What follows an exact text in a file, and pins that must be the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import Place, Problem, RecipeError
from farm.model.unit import LockstepPin
from farm.plan.lockstep import Found, compare, find
from tests.support.projects import DEMO, demo_unit

if TYPE_CHECKING:
    from pathlib import Path

FILE = """\
# GIT_TAG is below
set(REVISION "v4.4.2")
  GIT_TAG 891d57b4db1071624b5c8fa0d1e51cb317fa709f
  GIT_TAG\tv3.10)
  GIT_TAG
"""
WHERE = "sources.dep.lockstep"
COMMIT = "891d57b4db1071624b5c8fa0d1e51cb317fa709f"


def pin(after: str, says: str, *, count: int = 1, nth: int = 1) -> LockstepPin:
    return LockstepPin(
        source="dep", says=says, holder="demo", file="CMakeLists.txt", after=after, count=count,
        nth=nth, place=Place(file="recipes/demo.yaml", line=7, column=9), where=WHERE,
    )  # fmt: skip


def test_the_word_behind_a_text_is_found_with_its_line() -> None:
    assert find('set(REVISION "', FILE) == (Found(line=2, word="v4.4.2"),)
    assert [(each.line, each.word) for each in find("GIT_TAG", FILE)] == [
        (1, "is"),
        (3, COMMIT),
        (4, "v3.10"),
        (5, ""),
    ]
    assert find("nowhere", FILE) == ()


@given(st.lists(st.sampled_from(["TAG ", "a", "\n", '"', " ", "é"]), max_size=60).map("".join))
def test_every_occurrence_is_found_once_on_its_line(text: str) -> None:
    found = find("TAG ", text)
    assert len(found) == text.count("TAG ")
    lines = text.split("\n")
    assert all("TAG " in lines[each.line - 1] for each in found)
    assert [each.line for each in found] == sorted(each.line for each in found)


def test_the_largest_files_that_are_read_are_no_trouble() -> None:
    assert len(find("GIT_TAG ", "GIT_TAG " * 500_000)) == 500_000
    assert len(find("G" * 200, "G" * 4_000_000)) == 20_000


def test_what_is_the_same_is_told_with_its_line() -> None:
    assert compare(pin('set(REVISION "', "v4.4.2"), FILE) == Found(line=2, word="v4.4.2")
    assert compare(pin("GIT_TAG", "v3.10", count=4, nth=3), FILE) == Found(line=4, word="v3.10")


def told(found: Problem | Found) -> str:
    assert isinstance(found, Problem)
    return str(found)


def test_a_bump_that_forgets_the_pin_is_told_with_both_values_and_what_to_change() -> None:
    assert told(compare(pin('set(REVISION "', "v4.4.1"), FILE)) == (
        "recipes/demo.yaml:7:9: sources.dep.lockstep: CMakeLists.txt:2 of demo says 'v4.4.2', "
        "the recipe 'v4.4.1'; change commit and says of dep to what that file asks for"
    )
    other = "0" * 40
    commit = told(compare(pin("GIT_TAG", other, count=4, nth=2), FILE))
    assert f"CMakeLists.txt:3 of demo says {COMMIT!r}, the recipe {other!r}" in commit
    assert commit.endswith("change commit of dep to what that file asks for")


def test_a_text_that_is_there_more_or_less_often_is_told_with_all_places() -> None:
    more = told(compare(pin("GIT_TAG", COMMIT), FILE))
    assert "'GIT_TAG' should stand once in CMakeLists.txt of demo, and is there 4 times" in more
    assert f"(line 1: 'is', line 3: '{COMMIT}', line 4: 'v3.10', line 5: '')" in more
    less = told(compare(pin("TAGS ", COMMIT, count=2), FILE))
    assert "should stand 2 times in CMakeLists.txt of demo, and is there 0 times (nowhere)" in less


def test_a_file_that_is_gone_is_told() -> None:
    assert "CMakeLists.txt of demo is not there" in told(compare(pin("GIT_TAG", COMMIT), None))


def recipe(lockstep: str, source: str = "git: https://x.org/g, commit: " + COMMIT) -> str:
    return f"{DEMO}sources:\n  dep:\n    source: {{{source}}}\n    lockstep: {{{lockstep}}}\n"


def test_a_commit_is_followed_unless_something_else_is_said(tmp_path: Path) -> None:
    (only,) = demo_unit(tmp_path, recipe("file: c/x.cmake, after: 'TAG '")).lockstep
    assert (only.source, only.says, only.holder) == ("dep", COMMIT, "demo")
    assert (only.file, only.count, only.nth, only.where) == (
        "c/x.cmake",
        1,
        1,
        "sources.dep.lockstep",
    )
    assert only.place.line == 10
    (only,) = demo_unit(tmp_path, recipe("file: x, after: 'TAG ', says: v1, of: dep")).lockstep
    assert (only.says, only.holder) == ("v1", "dep")


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        (recipe("file: x, after: 'TAG ', of: depp"), "no staged source is called 'depp'; perhaps"),
        (recipe("file: x, after: 'TAG ', nth: 2"), "lockstep.nth: is 2, but count only 1"),
        (recipe("file: x, after: 'TAG ', says: 'a b'"), "'a b' is not one word"),
        (recipe("file: ../x, after: 'TAG '"), "is not a relative path that stays inside"),
        (recipe("file: x, after: '   '"), "sources.dep.lockstep.after"),
        (recipe("file: x, after: 'TAG '", "tree: demo"), "needs 'says' where the source is not"),
    ],
)
def test_what_cannot_be_followed_is_refused(tmp_path: Path, text: str, wrong: str) -> None:
    with pytest.raises(RecipeError) as caught:
        demo_unit(tmp_path, text)
    assert wrong in str(caught.value.problems[0])
