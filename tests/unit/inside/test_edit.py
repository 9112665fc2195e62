"""Exact edits: they fit to the letter and to the count, or say what is near."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from farm.inside.edit import main

if TYPE_CHECKING:
    from pathlib import Path

TEXT = b"import os\r\n# \xff\nargs = ['-march=native']\nargs = ['-march=native']\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/setup.py").write_bytes(TEXT)
    return tmp_path / "src"


def edit(source: Path, *edits: dict[str, Any]) -> int:
    path = source.parent / "edits.json"
    path.write_text(json.dumps(edits))
    return main([str(path), "--root", str(source)])


def one(**changes: Any) -> dict[str, Any]:
    return {"file": "setup.py", "replace": "-march=native", "by": "-O2", "count": 2, **changes}


def test_an_edit_that_fits_changes_nothing_else(source: Path) -> None:
    assert edit(source, one()) == 0
    assert (source / "setup.py").read_bytes() == TEXT.replace(b"-march=native", b"-O2")


def test_edits_are_applied_in_order(source: Path) -> None:
    assert edit(source, one(), one(replace="-O2", by="-O3")) == 0
    assert b"-O3" in (source / "setup.py").read_bytes()


def test_too_often_is_refused_with_the_lines(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edit(source, one(count=1)) == 67
    assert capsys.readouterr().err == (
        "farm: error: edit setup.py (edit 1 of 1): expected '-march=native' 1 time, "
        "found it 2 times; at: line 3, line 4\n"
    )


def test_nothing_found_names_the_nearest_lines(
    source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert edit(source, one(replace="args = ['-march=core2']")) == 67
    said = capsys.readouterr().err
    assert "found it 0 times; nearest: line 3: " in said
    assert said.count("\n") == 1


def test_nothing_is_written_when_a_later_edit_does_not_fit(source: Path) -> None:
    assert edit(source, one(), one(replace="gone")) == 67
    assert (source / "setup.py").read_bytes() == TEXT


@pytest.mark.parametrize("file", ["../edits.json", "/etc/hostname", "missing.py"])
def test_a_file_outside_or_missing_is_refused(source: Path, file: str) -> None:
    assert edit(source, one(file=file)) == 67


def test_an_empty_text_never_matches(source: Path) -> None:
    assert edit(source, one(replace="", count=0)) == 67


def test_a_list_that_cannot_be_read_is_an_error_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "edits.json").write_text("{")
    assert main([str(tmp_path / "edits.json")]) == 64
