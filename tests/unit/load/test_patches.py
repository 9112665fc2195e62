"""Patch files must say why they are there and when they can go."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from farm.errors import RecipeError
from farm.load.patches import MAX_BYTES, REQUIRED, read_patch
from tests.support.projects import PATCH

if TYPE_CHECKING:
    from pathlib import Path


def patch_at(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "a.patch"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_the_header_and_the_hash_of_all_bytes_are_read(tmp_path: Path) -> None:
    path = patch_at(tmp_path, PATCH)
    found = read_patch(path, "a.patch")
    assert (found.why, found.upstream) == ("the compiler wants it", "https://example.org/pull/1")
    assert found.remove_when == "1.1 is out"
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_field_may_go_on_in_lines_that_begin_with_a_blank(tmp_path: Path) -> None:
    text = PATCH.replace("wants it\n", "wants it,\n  since 14.2\n\tand 15\n")
    assert (
        read_patch(patch_at(tmp_path, text), "x").why == "the compiler wants it, since 14.2 and 15"
    )


def test_a_git_header_and_bytes_that_are_no_text_do_no_harm(tmp_path: Path) -> None:
    git = PATCH.replace("--- a", "diff --git a/setup.py b/setup.py\nindex 1..2\n--- a")
    data = b"From 0123 Mon Sep 17\nSubject: x\n\n" + git.encode() + b"-\xff\xfe\n"
    assert read_patch(patch_at(tmp_path, data), "x").why == "the compiler wants it"


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("how", ["absent", "empty", "behind the diff"])
def test_a_field_that_is_missing_is_told(tmp_path: Path, name: str, how: str) -> None:
    line = next(line for line in PATCH.splitlines() if line.startswith(name))
    text = PATCH.replace(line, f"{name}:" if how == "empty" else "Note: x")
    text += f"{line}\n" if how == "behind the diff" else ""
    with pytest.raises(RecipeError) as caught:
        read_patch(patch_at(tmp_path, text), "a.patch")
    (problem,) = caught.value.problems
    assert str(problem).startswith(f"a.patch:1:1: the header lacks '{name}:'; say why")


def test_all_fields_that_are_missing_are_told(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="3 problems"):
        read_patch(patch_at(tmp_path, "--- a\n+++ b\n"), "a.patch")


@pytest.mark.parametrize("text", ["", "Why: x\n", "\0" * 100, "---\n"])
def test_what_holds_no_diff_is_no_patch(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_patch(patch_at(tmp_path, text), "a.patch")
    assert "holds no unified diff" in caught.value.details[0]


def test_a_huge_patch_is_not_read(tmp_path: Path) -> None:
    path = patch_at(tmp_path, "")
    with path.open("wb") as stream:
        stream.truncate(MAX_BYTES + 1)
    with pytest.raises(RecipeError) as caught:
        read_patch(path, "a.patch")
    assert "is larger than 16 MiB" in caught.value.details[0]
