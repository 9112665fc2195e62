"""Patches apply with no fuzz, or name the file and the hunk."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.inside.patch import main

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "".join(f"line {n}\n" for n in range(1, 31))


def diff(*, old: str = "line 15", near: str = "line 14", at: int = 14) -> str:
    body = f" {near}\n-{old}\n+changed\n line 16\n"
    return f"--- a/x.py\n+++ b/x.py\n@@ -{at},3 +{at},3 @@\n{body}"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/x.py").write_text(SOURCE)
    return tmp_path / "src"


def patch(source: Path, *texts: str) -> int:
    paths = []
    for number, text in enumerate(texts, start=1):
        paths.append(source.parent / f"{number:04}-fix.patch")
        paths[-1].write_text(text)
    return main([*map(str, paths), "--root", str(source)])


def test_a_patch_that_fits_is_applied_and_leaves_nothing_else(source: Path) -> None:
    assert patch(source, diff()) == 0
    assert (source / "x.py").read_text() == SOURCE.replace("line 15\n", "changed\n")
    assert [path.name for path in source.iterdir()] == ["x.py"]


def test_a_hunk_may_have_moved(source: Path) -> None:
    assert patch(source, diff(at=8)) == 0


def test_fuzz_is_refused_and_the_hunk_is_named(
    source: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert patch(source, diff(near="line 41")) == 66
    assert capfd.readouterr().err == (
        "farm: error: patch 0001-fix.patch: hunk 1 does not fit x.py at line 14\n"
    )
    assert (source / "x.py").read_text() == SOURCE


def test_a_patch_applied_twice_is_refused(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert patch(source, diff(), diff()) == 66
    assert "patch 0002-fix.patch: is already applied, or reversed" in capfd.readouterr().err


def test_a_patch_for_a_missing_file_is_refused(
    source: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert patch(source, diff().replace("x.py", "y.py")) == 66
    assert "names a file that the source does not have" in capfd.readouterr().err


def test_a_patch_cut_short_is_refused(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert patch(source, diff()[:-12]) == 66
    assert capfd.readouterr().err.startswith("farm: error: patch 0001-fix.patch: ")


def test_a_file_without_hunks_is_refused(source: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert patch(source, "Only words.\n") == 66
    assert "holds no hunk" in capfd.readouterr().err


def test_a_patch_cannot_write_outside_of_the_source(source: Path) -> None:
    text = "--- /dev/null\n+++ b/../evil\n@@ -0,0 +1 @@\n+x\n"
    assert patch(source, text) == 66
    assert not (source.parent / "evil").exists()
