from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.errors import FetchError, IntegrityError, RecipeError
from farm.load.trees import tree_digest
from farm.source.tar import Entry, Kind, TarWriter, archive_alias
from farm.source.tree import pack_tree as pack_as_planned
from farm.store.blobs import STORED_TIME_S, Store, Writer

if TYPE_CHECKING:
    from pathlib import Path


def fill(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return folder


def pack_tree(folder: Path, store: Store) -> str:
    return pack_as_planned(folder, f"tree:{tree_digest(folder)}", store)


def test_two_equal_folders_give_one_archive(store: Store, tmp_path: Path) -> None:
    one = fill(tmp_path / "one", "b/x.py", "a.txt", "b.txt")
    two = fill(tmp_path / "two", "b.txt", "a.txt", "b/x.py", "b/__pycache__/x.pyc")
    (two / "empty").mkdir()
    os.utime(two / "a.txt", (1, 1))
    (two / "a.txt").chmod(0o600)
    sha256 = pack_tree(one, store)
    other = Store(tmp_path / "other")
    assert pack_tree(two, other) == sha256
    with tarfile.open(store.path_of(sha256)) as tar:
        found = {member.name: member for member in tar}
    assert list(found) == [
        "source",
        "source/a.txt",
        "source/b",
        "source/b/x.py",
        "source/b.txt",
    ]
    assert {member.mtime for member in found.values()} == {STORED_TIME_S}


def test_content_names_and_executable_bits_count(store: Store, tmp_path: Path) -> None:
    folder = fill(tmp_path / "tree", "a", "b")
    seen = {pack_tree(folder, store)}
    (folder / "a").chmod(0o755)
    seen.add(pack_tree(folder, store))
    (folder / "a").write_text("other")
    seen.add(pack_tree(folder, store))
    (folder / "a").rename(folder / "c")
    seen.add(pack_tree(folder, store))
    assert len(seen) == 4


def test_links_and_devices_are_refused(store: Store, tmp_path: Path) -> None:
    folder = fill(tmp_path / "tree", "a")
    (folder / "link").symlink_to("/etc/passwd")
    with pytest.raises(RecipeError):
        pack_tree(folder, store)


@pytest.mark.parametrize("change", ["longer than before", "", None])
def test_a_folder_that_was_saved_into_since_it_was_planned_is_not_stored(
    change: str | None, store: Store, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "tree", "a", "b")
    digest = f"tree:{tree_digest(folder)}"
    if change is None:
        (folder / "a").unlink()
    else:
        (folder / "a").write_text(change)
    with pytest.raises(IntegrityError, match="not what it was when the build was planned"):
        pack_as_planned(folder, digest, store)
    assert store.alias(archive_alias(digest)) is None


def test_a_folder_that_is_saved_into_while_it_is_packed_is_not_stored(
    store: Store, tmp_path: Path
) -> None:
    """The writer that takes the first file changes the second, as an editor might."""
    folder = fill(tmp_path / "tree", "a", "b")
    digest = f"tree:{tree_digest(folder)}"

    class Saving(Store):
        def writer(self, *, expected: str | None = None) -> Writer:
            (folder / "b").write_text("saved meanwhile")
            return super().writer(expected=expected)

    with pytest.raises(IntegrityError, match="not what it was"):
        pack_as_planned(folder, digest, Saving(store.root))
    assert store.alias(archive_alias(digest)) is None


def test_a_file_that_vanishes_while_the_folder_is_packed_is_named(
    store: Store, tmp_path: Path
) -> None:
    folder = fill(tmp_path / "tree", "a", "b")

    class Removing(Store):
        def writer(self, *, expected: str | None = None) -> Writer:
            (folder / "b").unlink()
            return super().writer(expected=expected)

    with pytest.raises(IntegrityError, match="b cannot be read: No such file"):
        pack_as_planned(folder, f"tree:{tree_digest(folder)}", Removing(store.root))


NAMES = st.text(st.sampled_from("ab.-"), min_size=1, max_size=3).filter(
    lambda name: name not in {".", ".."}
)
PATHS = st.sets(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=8)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(paths=PATHS)
def test_an_archive_lists_each_path_once_and_folders_before_what_they_hold(
    store: Store, paths: set[str]
) -> None:
    leaves = {p for p in paths if not any(other.startswith(f"{p}/") for other in paths)}
    with store.writer() as writer:
        tar = TarWriter(writer, time_s=0)
        for path in sorted(leaves, key=lambda path: path.split("/")):
            tar.add(Entry(path=path, kind=Kind.FILE))
        tar.close()
    with tarfile.open(store.path_of(writer.sha256)) as archive:
        names = archive.getnames()
    assert len(names) == len(set(names))
    assert {name.removeprefix("source/") for name in names} >= leaves
    for name in names[1:]:
        assert names.index(name.rpartition("/")[0]) < names.index(name)


def pack(store: Store, *entries: Entry) -> None:
    with store.writer() as writer:
        tar = TarWriter(writer, time_s=0)
        for entry in entries:
            tar.add(entry)


def test_a_path_below_a_link_is_refused(store: Store) -> None:
    link = Entry(path="a", kind=Kind.LINK, target="/etc")
    with pytest.raises(FetchError, match="both a file and a folder"):
        pack(store, link, Entry(path="a/passwd", kind=Kind.FILE))


def test_the_same_path_twice_is_refused(store: Store) -> None:
    entry = Entry(path="a", kind=Kind.FILE)
    with pytest.raises(FetchError, match="two entries"):
        pack(store, entry, entry)
