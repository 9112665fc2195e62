from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.errors import IntegrityError, StorageError
from farm.host.locks import LOCK_ALONE, take
from farm.store.blobs import STORED_TIME_S, Store

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


SEALED_NS = STORED_TIME_S * 1_000_000_000 + len(b"content") * 1000


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def everything(root: Path) -> list[Path]:
    return [path for path in root.rglob("*") if path.is_file() and path.name != "CACHEDIR.TAG"]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("mounting needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(chunks=st.lists(st.binary(max_size=2000), max_size=5))
def test_what_goes_in_comes_out_by_its_hash(store: Store, chunks: list[bytes]) -> None:
    content = b"".join(chunks)
    assert store.add_stream(chunks) == digest(content)
    found = store.get(digest(content))
    assert found is not None
    assert found.read_bytes() == content
    assert store.add_stream([content]) == digest(content)
    assert not list((store.root / "tmp").iterdir())


def test_an_entry_is_read_only_with_a_fixed_time_in_a_tagged_folder(store: Store) -> None:
    path = store.get(store.add_stream([b"content"]))
    assert path is not None
    assert path.relative_to(store.root).parts == (
        "sha256",
        digest(b"content")[:2],
        digest(b"content"),
    )
    assert path.stat().st_mode & 0o777 == 0o444
    assert path.stat().st_mtime_ns == SEALED_NS
    assert (store.root / "CACHEDIR.TAG").read_text().startswith("Signature: 8a477f597d28d172789f0")


def test_reading_creates_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "absent")
    assert store.get("0" * 64) is None
    assert store.alias("git:x") is None
    store.sweep()
    assert not store.root.exists()


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 64 + "\n"])
def test_only_a_sha256_names_an_entry(store: Store, name: str) -> None:
    with pytest.raises(ValueError, match="not a sha256"):
        store.get(name)


def test_unexpected_content_is_refused_and_leaves_nothing(store: Store, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"other")
    with pytest.raises(
        IntegrityError, match=f"expected sha256 {'0' * 64}, got {digest(b'other')}"
    ):
        store.add_file(tmp_path / "file", expected="0" * 64)
    assert everything(store.root) == []


def test_a_writer_that_fails_leaves_nothing(store: Store) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.add_stream(broken())
    assert everything(store.root) == []


def test_an_entry_somebody_wrote_into_is_noticed_without_asking(store: Store) -> None:
    sha256 = store.add_stream([b"good"])
    store.path_of(sha256).chmod(0o644)
    store.path_of(sha256).write_bytes(b"evil")
    assert store.get(sha256) is None
    assert everything(store.root) == []
    assert store.add_stream([b"good"]) == sha256
    assert store.get(sha256) is not None


def test_an_entry_that_was_cut_is_noticed_even_where_its_time_was_put_back(store: Store) -> None:
    sha256 = store.add_stream([b"good"])
    path = store.path_of(sha256)
    stored = path.stat()
    path.chmod(0o644)
    path.write_bytes(b"goo")
    os.utime(path, ns=(stored.st_atime_ns, stored.st_mtime_ns))
    assert store.get(sha256) is None


def test_an_entry_of_an_older_farm_is_taken_as_it_is(store: Store) -> None:
    path = store.path_of(store.add_stream([b"good"]))
    os.utime(path, (STORED_TIME_S, STORED_TIME_S))
    assert store.get(path.name) == path


def test_an_entry_that_was_only_touched_stays(store: Store) -> None:
    sha256 = store.add_stream([b"content"])
    os.utime(store.path_of(sha256))
    assert store.get(sha256) is not None
    assert store.path_of(sha256).stat().st_mtime_ns == SEALED_NS


def test_an_alias_leads_to_its_file_as_long_as_it_is_there(store: Store) -> None:
    sha256 = store.add_stream([b"tar"])
    key = "git:../../x\n+submodules"
    assert store.alias(key) is None
    store.set_alias(key, sha256)
    assert store.alias(key) == sha256
    assert store.alias("git:other") is None
    store.path_of(sha256).unlink()
    assert store.alias(key) is None


def test_a_damaged_alias_counts_as_absent(store: Store) -> None:
    store.set_alias("key", store.add_stream([b"tar"]))
    next((store.root / "alias").iterdir()).write_text('{"key": "key", "sha')
    assert store.alias("key") is None


def test_linking_out_shares_the_file_and_replaces_what_was_there(
    store: Store, tmp_path: Path
) -> None:
    sha256 = store.add_stream([b"content"])
    dest = tmp_path / "context" / "deep" / "file"
    for _ in range(2):
        store.link_to(sha256, dest)
        assert dest.samefile(store.path_of(sha256))
    dest.unlink()
    dest.write_bytes(b"old")
    store.link_to(sha256, dest)
    assert dest.read_bytes() == b"content"
    assert [path.name for path in dest.parent.iterdir()] == ["file"]


def test_linking_out_to_another_file_system_copies(store: Store, tiny_disk: Path) -> None:
    sha256 = store.add_stream([b"content"])
    store.link_to(sha256, tiny_disk / "file")
    assert (tiny_disk / "file").read_bytes() == b"content"
    assert (tiny_disk / "file").stat().st_mtime_ns == SEALED_NS
    assert (tiny_disk / "file").stat().st_mode & 0o777 == 0o444


def test_linking_out_what_is_not_there_says_so(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        store.link_to("0" * 64, tmp_path / "file")


def test_a_full_disk_is_named_with_its_room_and_nothing_remains(tiny_disk: Path) -> None:
    store = Store(tiny_disk / "store")
    with pytest.raises(StorageError, match="no space left") as caught:
        store.add_stream([b"x" * 600_000, b"y" * 600_000])
    assert str(tiny_disk) in caught.value.message
    assert "MB free there" in caught.value.message
    assert everything(store.root) == []
    store.add_stream([b"x" * 600_000])


def test_linking_out_to_a_full_disk_leaves_nothing_half_written(
    store: Store, tiny_disk: Path
) -> None:
    sha256 = store.add_stream([b"x" * 2_000_000])
    with pytest.raises(StorageError, match="no space left"):
        store.link_to(sha256, tiny_disk / "context" / "file")
    assert everything(tiny_disk) == []


def test_a_folder_that_cannot_be_written_is_named(tiny_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(tiny_disk)], check=True)
    with pytest.raises(StorageError, match="Read-only file system") as caught:
        Store(tiny_disk / "store").add_stream([b"x"])
    assert "FARM_CACHE_DIR" in caught.value.hint


def test_two_processes_adding_the_same_things_at_once_both_succeed(store: Store) -> None:
    script = (
        "import sys; from pathlib import Path; from farm.store.blobs import Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "for n in range(40):\n"
        "    sha = store.add_stream([b'%d' % n] * 1000)\n"
        "    store.set_alias(f'key{n}', sha)\n"
        "    assert store.get(sha) and store.alias(f'key{n}') == sha\n"
    )
    argv = [sys.executable, "-c", script, str(store.root)]
    children = [subprocess.Popen(argv) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    assert len(everything(store.root / "sha256")) == 40
    assert len(everything(store.root / "alias")) == 40
    assert everything(store.root / "tmp") == []


def test_threads_adding_the_same_thing_at_once_all_succeed(store: Store) -> None:
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(store.add_stream([b"same"] * 5000)))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(found) == {digest(b"same" * 5000)}
    assert len(found) == 8


def age(path: Path, days: float) -> None:
    then = time.time() - days * 86400
    os.utime(path, (then, then))


def test_sweeping_removes_what_killed_writers_left_and_nothing_else(store: Store) -> None:
    tmp = store.folder("tmp")
    for name in ("old-file", "new-file"):
        (tmp / name).write_bytes(b"half")
    (tmp / "old-folder").mkdir()
    (tmp / "old-folder" / "x").write_bytes(b"")
    with store.work_folder() as working:
        for path in (tmp / "old-file", tmp / "old-folder", working):
            age(path, 0.1)
        store.sweep()
        assert {path.name for path in tmp.iterdir()} == {"new-file", working.name}


def test_sweeping_removes_downloads_that_nobody_went_on_with_for_a_month(store: Store) -> None:
    partial = store.folder("partial")
    for name, days in (("a" * 64, 31), ("b" * 64, 29), ("c" * 64, 31)):
        for path in (partial / name, partial / f"{name}.json"):
            path.write_bytes(b"half")
            age(path, days)
    (store.folder("corrupt") / "f").write_bytes(b"of an older farm")
    held = take(partial / ("c" * 64), LOCK_ALONE)
    assert held is not None
    store.sweep()
    os.close(held)
    assert {path.name[0] for path in partial.iterdir() if len(path.name) == 64} == {"b", "c"}
    assert not list((store.root / "corrupt").iterdir())


def test_sweeping_leaves_alone_what_took_the_name_of_what_it_looked_at(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = store.folder("partial") / ("a" * 64)
    path.write_bytes(b"half")
    age(path, 31)
    lock = fcntl.flock

    def renamed_meanwhile(fd: int, kind: int) -> None:
        path.unlink()
        path.write_bytes(b"another's")
        lock(fd, kind)

    monkeypatch.setattr(fcntl, "flock", renamed_meanwhile)
    store.sweep()
    assert path.read_bytes() == b"another's"
