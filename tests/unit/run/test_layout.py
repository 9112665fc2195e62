"""Contexts on disk: linked from the store, checked by hash, never written through a link."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from farm.errors import ExitCode, IntegrityError, StorageError
from farm.render.context import Entry
from farm.run.layout import write_context


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def stored(tmp_path: Path, data: bytes = b"sdist") -> dict[str, Path]:
    path = tmp_path / "store"
    path.write_bytes(data)
    return {digest(data): path}


def entry(target: str, origin: str, data: bytes = b"sdist", path: Path | None = None) -> Entry:
    text = data.decode() if origin == "text" else ""
    return Entry(target=target, digest=digest(data), origin=origin, text=text, path=path)  # type: ignore[arg-type]


def test_files_come_as_text_as_copies_and_as_links(tmp_path: Path) -> None:
    (tmp_path / "patch").write_bytes(b"diff")
    entries = (
        entry("edits/a.json", "text", "ä".encode()),
        entry("patches/a.patch", "path", b"diff", tmp_path / "patch"),
        entry("sources/a.tar", "store"),
    )
    staged = stored(tmp_path)
    write_context(tmp_path / "c", entries, staged)
    assert (tmp_path / "c/edits/a.json").read_bytes() == "ä".encode()
    assert (tmp_path / "c/patches/a.patch").read_bytes() == b"diff"
    (source,) = staged.values()
    assert (tmp_path / "c/sources/a.tar").samefile(source)
    assert not (tmp_path / "c/patches/a.patch").samefile(tmp_path / "patch")


def test_unlinked_files_have_a_time_of_their_own(tmp_path: Path) -> None:
    """An engine takes equal name, size and time for equal content."""
    staged = stored(tmp_path)
    (source,) = staged.values()
    os.utime(source, (1, 1))
    write_context(tmp_path / "c", (entry("sources/a.tar", "store"),), staged, linked=False)
    copy = tmp_path / "c/sources/a.tar"
    assert copy.read_bytes() == source.read_bytes()
    assert copy.stat().st_mtime != source.stat().st_mtime


def test_without_a_store_its_files_are_left_out(tmp_path: Path) -> None:
    write_context(tmp_path / "c", (entry("sources/a.tar", "store"),), None)
    assert list((tmp_path / "c/sources").iterdir()) == []


def test_a_file_that_changed_since_the_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "patch").write_bytes(b"changed")
    planned = entry("patches/a.patch", "path", b"diff", tmp_path / "patch")
    with pytest.raises(IntegrityError, match="no longer what was planned with") as caught:
        write_context(tmp_path / "c", (planned,), {})
    assert (caught.value.code, caught.value.hint) == (ExitCode.INTEGRITY, "run it again")


def test_a_file_that_is_gone_is_told(tmp_path: Path) -> None:
    planned = entry("patches/a.patch", "path", b"diff", tmp_path / "nix")
    with pytest.raises(StorageError, match="No such file"):
        write_context(tmp_path / "c", (planned,), {})


def test_a_second_file_in_one_place_never_reaches_the_store(tmp_path: Path) -> None:
    staged = stored(tmp_path)
    other = tmp_path / "other"
    other.write_bytes(b"other")
    staged[digest(b"other")] = other
    twice = (entry("wheels/a.whl", "store"), entry("wheels/a.whl", "store", b"other"))
    with pytest.raises(StorageError, match="File exists"):
        write_context(tmp_path / "c", twice, staged)
    assert (tmp_path / "store").read_bytes() == b"sdist"


def test_a_store_on_another_file_system_is_copied_from(tmp_path: Path) -> None:
    shm = Path("/dev/shm")  # noqa: S108 - another file system wherever it is mounted
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    import tempfile

    with tempfile.NamedTemporaryFile(dir=shm) as file:
        file.write(b"sdist")
        file.flush()
        staged = {digest(b"sdist"): Path(file.name)}
        write_context(tmp_path / "c", (entry("sources/a.tar", "store"),), staged)
    assert (tmp_path / "c/sources/a.tar").read_bytes() == b"sdist"


def test_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "c/edits").mkdir(parents=True)
    (tmp_path / "c/edits/a.json").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="no space left"):
        write_context(tmp_path / "c", (entry("edits/a.json", "text"),), {})
