"""The file: the same bytes for the same content, and every other byte is refused."""

from __future__ import annotations

import hashlib
import io
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.errors import FarmError, IntegrityError, StorageError, UsageError
from farm.store.bundle import (
    FORMAT,
    Contents,
    Ended,
    Surroundings,
    redacted_log,
    unpack_bundle,
    write_bundle,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.store.bundle import Parts

CONTENTS = Contents(
    format=FORMAT,
    unit="demo@1:cpu",
    identity="0" * 64,
    ended=Ended(outcome="failed", exit_code=9, step="compile", message="no"),
    surroundings=Surroundings(
        farm="0.1.0", engine="private", kernel="6", cores=2, memory_bytes=1, max_jobs=2
    ),
    blobs=(),
)
BLOB = b"a patch\n"
NAME = f"blobs/{hashlib.sha256(BLOB).hexdigest()}"
PARTS: Parts = {"manifest.json": b"{}", "unit.json": b"{}" * 400, NAME: BLOB}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "bundle.tar"
    write_bundle(path, CONTENTS, PARTS)
    return path


def test_any_tar_reads_it_and_it_comes_back_whole(bundle: Path, tmp_path: Path) -> None:
    contents = unpack_bundle(bundle, tmp_path)
    assert replace(contents, members=(), digest="") == CONTENTS
    for name, content in PARTS.items():
        assert (tmp_path / name).read_bytes() == content
    with tarfile.open(bundle) as tar:
        assert tar.getnames() == ["bundle.json", *sorted(PARTS)]
        assert {(each.mtime, each.uid, each.uname) for each in tar} == {(0, 0, "")}


def test_the_same_content_gives_the_same_bytes(bundle: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.tar"
    write_bundle(again, CONTENTS, dict(reversed(PARTS.items())))
    assert again.read_bytes() == bundle.read_bytes()


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_no_byte_of_it_can_be_another(
    bundle: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    whole = bytearray(bundle.read_bytes())
    position = data.draw(st.integers(0, len(whole) - 1))
    whole[position] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "x.tar").write_bytes(whole)
    with pytest.raises((IntegrityError, UsageError)):
        unpack_bundle(folder / "x.tar", folder / "out")


@pytest.mark.parametrize("size", [0, 1, 511, 512, 1000, 2000, -512, -1])
def test_one_that_was_cut_is_refused(bundle: Path, tmp_path: Path, size: int) -> None:
    path = tmp_path / "cut.tar"
    path.write_bytes(bundle.read_bytes()[:size])
    with pytest.raises(IntegrityError if size > 512 or size < 0 else FarmError):
        unpack_bundle(path, tmp_path / "out")


def test_what_follows_its_end_is_refused(bundle: Path, tmp_path: Path) -> None:
    path = tmp_path / "more.tar"
    path.write_bytes(bundle.read_bytes() + b"\0" * 512)
    with pytest.raises(IntegrityError, match="does not end"):
        unpack_bundle(path, tmp_path / "out")


def link(info: tarfile.TarInfo) -> None:
    info.type, info.linkname, info.size = tarfile.SYMTYPE, "/etc/passwd", 0


def hard_link(info: tarfile.TarInfo) -> None:
    info.type, info.linkname, info.size = tarfile.LNKTYPE, "/etc/passwd", 0


def device(info: tarfile.TarInfo) -> None:
    info.type, info.size = tarfile.CHRTYPE, 0


def elsewhere(info: tarfile.TarInfo) -> None:
    info.name = "../../etc/x"


def absolute(info: tarfile.TarInfo) -> None:
    info.name = "/etc/x"


def sparse(info: tarfile.TarInfo) -> None:
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "x"}


def huge(info: tarfile.TarInfo) -> None:
    info.pax_headers = {"size": str(1 << 50)}


@pytest.mark.parametrize(
    "change",
    [link, hard_link, device, elsewhere, absolute, sparse, huge],
    ids=lambda c: c.__name__,
)
def test_a_tar_that_is_no_plain_one_is_refused(
    bundle: Path, tmp_path: Path, change: Callable[[tarfile.TarInfo], None]
) -> None:
    path = tmp_path / "other.tar"
    with tarfile.open(bundle) as tar, tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as made:
        for each in tar:
            content = tar.extractfile(each)
            assert content
            data = content.read()
            if each.name == NAME:
                change(each)
            made.addfile(each, io.BytesIO(data[: each.size]))
    with pytest.raises(IntegrityError, match="instead of blobs/"):
        unpack_bundle(path, tmp_path / "out")
    assert not Path("/etc/x").exists()


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_a_compressed_one_is_none(bundle: Path, tmp_path: Path, mode: str) -> None:
    path = tmp_path / "compressed.tar"
    with tarfile.open(bundle) as tar, tarfile.open(path, mode) as made:  # type: ignore[call-overload]
        for each in tar:
            made.addfile(each, tar.extractfile(each))
    with pytest.raises(UsageError, match="is no bundle of farm"):
        unpack_bundle(path, tmp_path / "out")


@pytest.mark.parametrize("name", ["../x", "/x", "logs/x.log", "blobs/x", f"blobs/{'0' * 64}", "x"])
def test_a_list_with_other_names_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "listed.tar"
    write_bundle(path, CONTENTS, {**PARTS, name: b"x"})
    with pytest.raises(IntegrityError, match=r"belongs in no bundle|not called as its content"):
        unpack_bundle(path, tmp_path / "out")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["listed.tar"]


@pytest.mark.parametrize("lacking", ["manifest.json", "unit.json"])
def test_one_that_lacks_a_part_is_refused(tmp_path: Path, lacking: str) -> None:
    path = tmp_path / "lacking.tar"
    write_bundle(path, CONTENTS, {n: part for n, part in PARTS.items() if n != lacking})
    with pytest.raises(IntegrityError, match=f"lacks {lacking}"):
        unpack_bundle(path, tmp_path / "out")


def test_another_format_says_which_farm_made_it(tmp_path: Path) -> None:
    path = tmp_path / "newer.tar"
    write_bundle(path, replace(CONTENTS, format=2), PARTS)
    with pytest.raises(
        UsageError, match=r"format 2, made by farm '0\.1\.0': this farm reads"
    ) as e:
        unpack_bundle(path, tmp_path / "out")
    assert e.value.hint == "take the farm that made it"


def test_a_full_disk_leaves_nothing_of_it(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        write_bundle(tmp_path / "gone" / "bundle.tar", CONTENTS, {**PARTS, NAME: Path("/dev")})
    assert list(tmp_path.iterdir()) == []


def test_a_log_loses_the_passwords_of_urls_and_no_other_byte(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"\xff get https://u:p@example.org/x\r\nat a@b\rdone")
    redacted_log(tmp_path / "log", tmp_path / "out")
    written = (tmp_path / "out").read_bytes()
    assert written == b"\xff get https://example.org/x\r\nat a@b\rdone"
