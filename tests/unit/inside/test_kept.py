"""What is kept is counted, cut, taken out and put in; what a cache would not hold is refused."""

from __future__ import annotations

import io
import json
import os
import tarfile
from typing import TYPE_CHECKING

import pytest

from farm.inside import kept

if TYPE_CHECKING:
    from pathlib import Path

NAMES = ["a/b/" + "ab" * 32, "c/d/" + "cd" * 32, "preprocessor/e/f/0/" + "ef" * 32]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three files of 10 bytes each, the first of which was not used for longest."""
    for age, name in enumerate(NAMES):
        path = tmp_path / "cache/sccache" / name
        path.parent.mkdir(parents=True)
        path.write_text(name[-10:])
        os.utime(path, (1000 + age, 1000 + age))
    (tmp_path / "cache/sccache/a/b/.tmp-half").write_text("not whole yet")
    return tmp_path / "cache"


def run(folder: Path, action: str, *words: str) -> dict[str, object] | int:
    out = folder.with_name(f"out-{action}")
    status = kept.main([action, "--folder", str(folder), "--out", str(out), *words])
    if status:
        return status
    found: dict[str, object] = json.loads((out / kept.STATS).read_text())
    return found


def test_only_what_is_whole_counts(folder: Path) -> None:
    assert run(folder, "stats") == {"files": 3, "size_bytes": 30, "oldest_s": 1000}


def test_what_was_not_used_for_longest_goes_first(folder: Path) -> None:
    assert run(folder, "prune", "--most", "25") == {"files": 2, "size_bytes": 20, "oldest_s": 1001}
    assert not (folder / "sccache" / NAMES[0]).exists()


def test_what_was_taken_out_can_be_put_in_elsewhere(folder: Path, tmp_path: Path) -> None:
    run(folder, "export")
    other = tmp_path / "elsewhere/cache"
    found = run(other, "import", "--tar", str(tmp_path / "out-export" / kept.TAR))
    assert isinstance(found, dict)
    assert (found["files"], found["size_bytes"]) == (3, 30)
    assert (other / "sccache" / NAMES[2]).read_text() == NAMES[2][-10:]


def test_what_is_there_stays_as_it_is(folder: Path, tmp_path: Path) -> None:
    run(folder, "export")
    (folder / "sccache" / NAMES[0]).write_text("newer")
    run(folder, "import", "--tar", str(tmp_path / "out-export" / kept.TAR))
    assert (folder / "sccache" / NAMES[0]).read_text() == "newer"


def packed(path: Path, name: str, kind: bytes = tarfile.REGTYPE) -> Path:
    with tarfile.open(path, "w") as tar:
        entry = tarfile.TarInfo(name)
        entry.type, entry.linkname = kind, "/etc/passwd"
        entry.size = 1 if kind == tarfile.REGTYPE else 0
        tar.addfile(entry, io.BytesIO(b"x"))
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("../../etc/passwd", tarfile.REGTYPE),
        ("/" + NAMES[0], tarfile.REGTYPE),
        (NAMES[0] + "\n", tarfile.REGTYPE),
        ("proved/" + "ab" * 32, tarfile.REGTYPE),
        (NAMES[0], tarfile.SYMTYPE),
        (NAMES[0], tarfile.LNKTYPE),
        (NAMES[0], tarfile.CHRTYPE),
        ("a", tarfile.DIRTYPE),
    ],
)
def test_what_a_cache_would_not_hold_is_refused(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, kind: bytes
) -> None:
    tar = packed(tmp_path / "hostile.tar", name, kind)
    assert run(folder, "import", "--tar", str(tar)) == kept.EXIT_BROKEN
    assert "nothing that a compile cache holds" in capsys.readouterr().err


@pytest.mark.parametrize("size", [0, 1, 511, 700, 1500])
def test_a_file_that_was_cut_is_refused_or_is_a_part(
    folder: Path, tmp_path: Path, size: int
) -> None:
    """Nothing half gets the name of a whole one."""
    run(folder, "export")
    tar = tmp_path / "cut.tar"
    tar.write_bytes((tmp_path / "out-export" / kept.TAR).read_bytes()[:size])
    other = tmp_path / "elsewhere/cache"
    run(other, "import", "--tar", str(tar))
    for path in (other / "sccache").rglob("*"):
        assert path.is_dir() or path.stat().st_size == 10


def test_a_link_that_a_build_left_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir()
    (tmp_path / "else").mkdir()
    (tmp_path / "cache/sccache").symlink_to(tmp_path / "else")
    assert run(tmp_path / "cache", "stats") == {"files": 0, "size_bytes": 0, "oldest_s": None}
    assert not (tmp_path / "cache/sccache").is_symlink()
