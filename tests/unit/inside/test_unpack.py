"""Unpacking archives: what lands where, and what is refused."""

from __future__ import annotations

import hashlib
import io
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from farm.inside import unpack as program
from farm.inside.unpack import RefusedError, main


def digest(path: Path) -> str:
    return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"


def unpack(archive: Path, folder: Path) -> None:
    program.unpack(archive, folder, digest(archive))


def tar(path: Path, *members: tuple[str, bytes | str], mode: int = 0o644) -> Path:
    """Bytes make a file, ``->x`` a symbolic link, ``=>x`` a hard link, ``/`` a folder."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.mode, info.mtime = mode, 1_000_000_000
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
                continue
            kinds = {"->": tarfile.SYMTYPE, "=>": tarfile.LNKTYPE, "/": tarfile.DIRTYPE}
            info.type = kinds.get(content[:2], tarfile.CHRTYPE)
            info.linkname = content[2:]
            archive.addfile(info)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(files)}


def test_the_single_top_folder_is_stripped(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar.gz", ("a-1/", "/"), ("a-1/x", b"1"), ("a-1/d/y", b"2"))
    unpack(archive, tmp_path / "out")
    assert tree(tmp_path / "out") == {"x": b"1", "d/y": b"2"}


def test_an_archive_without_a_top_folder_is_unpacked_as_it_is(tmp_path: Path) -> None:
    unpack(tar(tmp_path / "a.tar", ("./x", b"1"), ("./d/y", b"2")), tmp_path / "out")
    assert tree(tmp_path / "out") == {"x": b"1", "d/y": b"2"}


def test_an_archive_of_one_file_keeps_its_name(tmp_path: Path) -> None:
    unpack(tar(tmp_path / "a.tar", ("only", b"1")), tmp_path / "out")
    assert tree(tmp_path / "out") == {"only": b"1"}


def test_modes_are_settled_and_times_kept(tmp_path: Path) -> None:
    unpack(tar(tmp_path / "a.tar", ("a/x", b"1"), ("a/y", b""), mode=0o4711), tmp_path / "o")
    facts = (tmp_path / "o/x").stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_mtime) == (0o755, 1_000_000_000)


def test_links_inside_are_kept(tmp_path: Path) -> None:
    members = (("a/x", b"1"), ("a/d/s", "->../x"), ("a/h", "=>a/x"))
    unpack(tar(tmp_path / "a.tar", *members), tmp_path / "out")
    assert (tmp_path / "out/d/s").readlink() == Path("../x")
    assert tree(tmp_path / "out") == {"d/s": b"1", "h": b"1", "x": b"1"}


@pytest.mark.parametrize(
    "members",
    [
        [("a/x", b""), ("../evil", b"1")],
        [("a/x", b""), ("a/../../evil", b"1")],
        [("/evil", b"1")],
        [("a/x", b""), ("a/s", "->/etc")],
        [("a/x", b""), ("a/s", "->../../evil")],
        [("a/x", b""), ("a/s", "->../b")],
        [("a/x", b""), ("a/h", "=>../evil")],
        [("a/d/l", "->../b"), ("a/h", "=>a/d/l")],
        [("a/l", "->s/../b"), ("a/s", "->.")],
        [("a/s/b", b""), ("a/d/l", "->../s/t/../../b"), ("a/s/t", "->..")],
        [("a/l", "->."), ("a/up", "->l/.."), ("a/up/evil", b"1")],
        [("a/x", b""), ("a/dev", "device")],
    ],
)
def test_what_would_lead_out_is_refused(
    tmp_path: Path, members: list[tuple[str, bytes | str]]
) -> None:
    archive = tar(tmp_path / "bad.tar", *members)
    with pytest.raises(RefusedError):
        unpack(archive, tmp_path / "deep/out")
    assert not list(tmp_path.rglob("evil"))


def test_a_hard_link_to_a_link_is_a_link_that_is_checked_where_it_lies(tmp_path: Path) -> None:
    members = (("a/x", b"1"), ("a/d/x", b"2"), ("a/d/l", "->x"), ("a/h", "=>a/d/l"))
    unpack(tar(tmp_path / "a.tar", *members), tmp_path / "out")
    assert tree(tmp_path / "out") == {"d/l": b"2", "d/x": b"2", "h": b"1", "x": b"1"}
    assert (tmp_path / "out/h").readlink() == Path("x")


def test_a_time_that_no_file_can_have_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.GNU_FORMAT) as archive:
        info = tarfile.TarInfo("a/x")
        info.mtime = 1 << 70
        archive.addfile(info)
    with pytest.raises(RefusedError, match="cannot be read"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ((2001, 9, 9, 1, 46, 40), 1_000_000_000),
        ((1980, 0, 0, 0, 0, 0), 315_532_800),  # what is written where there is no time
    ],
)
def test_a_zips_modes_are_settled_and_its_times_kept(
    tmp_path: Path, said: tuple[int, int, int, int, int, int], kept: int
) -> None:
    info = zipfile.ZipInfo("a/x", said)
    info.external_attr = 0o100775 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(info, b"1")
        archive.writestr("a/y", b"")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    facts = (tmp_path / "out/x").stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_mtime) == (0o755, kept)


def test_a_zip_is_unpacked_like_a_tar(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a/x", b"1")
        archive.writestr("a/d/y", b"2")
    unpack(tmp_path / "a.zip", tmp_path / "out")
    assert tree(tmp_path / "out") == {"d/y": b"2", "x": b"1"}


def test_a_zip_that_leads_out_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("../evil", b"1")
    with pytest.raises(RefusedError, match="leads out"):
        unpack(tmp_path / "a.zip", tmp_path / "deep/out")


def test_a_truncated_archive_is_refused_with_one_line(tmp_path: Path) -> None:
    archive = tar(tmp_path / "a.tar.gz", ("a/x", bytes(range(256)) * 4000))
    archive.write_bytes(archive.read_bytes()[:-100])
    script = Path(program.__file__)
    argv = [
        sys.executable,
        str(script),
        "--digest",
        digest(archive),
        str(archive),
        str(tmp_path / "out"),
    ]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 65
    assert done.stderr.startswith("farm: error: unpack a.tar.gz: ")
    assert done.stderr.count("\n") == 1


def test_what_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "page.tar.gz").write_text("<html>not found</html>")
    with pytest.raises(RefusedError, match="neither a tar nor a zip"):
        unpack(tmp_path / "page.tar.gz", tmp_path / "out")


def test_nothing_is_unpacked_of_what_is_not_what_its_digest_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wanted = digest(tar(tmp_path / "a.tar", ("a/x", b"1")))
    archive = tar(tmp_path / "a.tar", ("a/x", b"2"))
    assert main(["--digest", wanted, str(archive), str(tmp_path / "out")]) == 65
    told = f"not what its digest says: {digest(archive)[7:]}, not {wanted[7:]}"
    assert capsys.readouterr().err == f"farm: error: unpack a.tar: {told}\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("nothing", ["", "md5:1", "sha256", "sha256:", "git:", "tree:", "git:x+y"])
def test_no_archive_is_what_a_digest_says_that_says_nothing(tmp_path: Path, nothing: str) -> None:
    archive = tar(tmp_path / "a.tar", ("a/x", b"1"))
    with pytest.raises(RefusedError):
        program.unpack(archive, tmp_path / "out", nothing)
