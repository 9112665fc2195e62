"""What was changed in a container, without what the recipe's edits do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import PatchError
from farm.model.unit import TextEdit
from farm.repro.changed import Changed, _leaves, _take_back_edits

if TYPE_CHECKING:
    from pathlib import Path


def edit(replace: str, by: str, *, file: str = "a.c", source: str = "demo") -> TextEdit:
    return TextEdit(source=source, file=file, replace=replace, by=by, count=1)


def changed(root: Path, before: str, after: str, file: str = "a.c") -> Changed:
    found = Changed(source="demo", files=(file,), before=root / "before", after=root / "after")
    for folder, text in ((found.before, before), (found.after, after)):
        folder.mkdir()
        (folder / file).write_text(text, encoding="utf-8")
    return found


def test_a_patch_comes_before_the_edits_and_so_is_made_without_them(tmp_path: Path) -> None:
    found = changed(tmp_path, "one\ntwo!\nthree?\n", "one\ntwo!\nthree?\nfour\n")
    _take_back_edits(found, [edit("two", "two!"), edit("three", "three?")])
    assert (found.before / "a.c").read_text() == "one\ntwo\nthree\n"
    assert (found.after / "a.c").read_text() == "one\ntwo\nthree\nfour\n"


@pytest.mark.parametrize(
    ("after", "by"), [("one\nTWO\n", "two!"), ("one\ntwo! two!\n", "two!"), ("one\n", "")]
)
def test_a_change_of_what_an_edit_made_cannot_be_told_apart(
    tmp_path: Path, after: str, by: str
) -> None:
    found = changed(tmp_path, f"one\n{by}\n", after)
    with pytest.raises(PatchError, match="an edit of the recipe changes it, too"):
        _take_back_edits(found, [edit("two", by)])


def test_an_edit_of_another_file_or_source_is_left_alone(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.write_text("two!")
    found = changed(tmp_path, "two!", "two!!")
    edits = [
        edit("two", "two!", file="b.c"),
        edit("two", "two!", source="other"),
        edit("two", "two!", file="../outside"),
        edit("two", "two!", file=str(outside)),
    ]
    _take_back_edits(found, edits)
    assert (found.before / "a.c").read_text() == "two!"
    assert outside.read_text() == "two!"


def test_folders_of_changed_files_are_no_changes() -> None:
    paths = ["/build/demo", "/build/demo/a", "/build/demo/a/b.c", "/build/demo/c.c"]
    assert list(_leaves(paths)) == ["/build/demo/a/b.c", "/build/demo/c.c"]
