"""A folder of sources: asked before the network, believed only by hash and commit."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from farm.errors import FetchError, IntegrityError, UsageError
from farm.source.mirror import Mirror
from farm.source.places import Places
from farm.source.stage import stage, stage_each
from farm.source.wants import FileWant, GitWant, IndexFileWant, SdistWant, TreeWant
from farm.store.blobs import Store
from tests.unit.source.test_git import commit_all, git, members, nested, repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.events import Event
    from farm.source.wants import HashedWant, Want
    from tests.unit.conftest import Web

    Sink = Callable[[Event], None]

CONTENT = b"content"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SDIST = SdistWant(name="my-pkg", version="1.0", sha256=SHA256)
WHEEL = IndexFileWant(name="w", version="1", filename="w-1-py3-none-any.whl", sha256=SHA256)
NOWHERE = "https://nowhere.invalid"
ARCHIVE = FileWant(url=f"{NOWHERE}/v1.tgz", sha256=SHA256, filename="sub-v1.tgz")


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    (tmp_path / "mirror/files").mkdir(parents=True)
    return Mirror.at(tmp_path / "mirror")


@pytest.mark.parametrize(
    ("want", "name"),
    [
        (SDIST, "my_pkg-1.0.tar.gz"),
        (SDIST, "My.Pkg-1.0.tar.gz"),
        (SDIST, "my-pkg-1.0.zip"),
        (SDIST, SHA256),
        (WHEEL, "w-1-py3-none-any.whl"),
        (ARCHIVE, "sub-v1.tgz"),
        (ARCHIVE, SHA256),
    ],
)
def test_a_file_is_found_by_name_or_hash_without_a_network(
    want: HashedWant, name: str, mirror: Mirror, store: Store, sink: Sink
) -> None:
    (mirror.root / "files" / name).write_bytes(CONTENT)
    places = Places(mirror=mirror, offline=True)
    assert stage([want], store, sink, places=places) == {want: SHA256}
    assert store.get(SHA256, verify=True)


@pytest.mark.parametrize("name", ["my_pkg-1.0.tar.gz", SHA256])
def test_a_file_that_is_something_else_is_an_error_and_no_reason_to_look_elsewhere(
    name: str, mirror: Mirror, store: Store, sink: Sink
) -> None:
    (mirror.root / "files" / name).write_bytes(b"something else")
    with pytest.raises(IntegrityError, match=r"expected sha256 .* of the mirror has"):
        stage([SDIST], store, sink, places=Places(mirror=mirror))
    assert store.get(SHA256) is None


@pytest.mark.parametrize("name", ["my_pkg-1.0.post1.tar.gz", "o-1.0.tar.gz", "my_pkg-x.tar.gz"])
def test_a_file_of_another_name_does_not_count(
    name: str, mirror: Mirror, store: Store, sink: Sink
) -> None:
    (mirror.root / "files" / name).write_bytes(CONTENT)
    with pytest.raises(FetchError, match="switched off"):
        stage([SDIST], store, sink, places=Places(mirror=mirror, offline=True))


def test_what_the_mirror_lacks_comes_from_its_url(
    mirror: Mirror, store: Store, sink: Sink, web: Web
) -> None:
    url, sha256 = web.put("/a", b"a")
    want = FileWant(url=url, sha256=sha256, filename="a")
    assert stage([want], store, sink, places=Places(mirror=mirror)) == {want: sha256}


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://example.org/owner/name", "owner/name.git"),
        ("https://example.org/deep/owner/name.git/", "owner/name.git"),
        ("ssh://git@example.org/owner/name.git", "owner/name.git"),
        ("git@example.org:owner/name.git", "owner/name.git"),
    ],
)
def test_a_repository_lies_at_the_last_parts_of_its_url(
    url: str, place: str, mirror: Mirror
) -> None:
    assert mirror.repository(url) == mirror.root / "git" / place


@pytest.mark.parametrize("url", ["https://x/../..", "https://x/a/..", "https://x/-a/b"])
def test_a_url_never_leads_out_of_the_mirror(url: str, mirror: Mirror) -> None:
    with pytest.raises(FetchError, match="unusable file name"):
        mirror.repository(url)


def test_a_commit_with_its_submodules_comes_from_repositories_of_the_mirror(
    mirror: Mirror, store: Store, sink: Sink, tmp_path: Path
) -> None:
    inner, _ = repository(tmp_path / "inner", {"inner.txt": "inner"})
    repository(tmp_path / "outer", {"outer.txt": "outer"})
    git(tmp_path / "outer", "submodule", "--quiet", "add", inner, "dep")
    modules = tmp_path / "outer/.gitmodules"
    modules.write_text(modules.read_text().replace(inner, f"{NOWHERE}/them/inner.git"))
    commit = commit_all(tmp_path / "outer")
    for owner, name in (("me", "outer"), ("them", "inner")):
        place = mirror.root / "git" / owner / f"{name}.git"
        git(tmp_path, "clone", "-q", "--bare", str(tmp_path / name), str(place))
    want = GitWant(url=f"{NOWHERE}/me/outer", commit=commit, submodules=True)
    found = stage([want], store, sink, places=Places(mirror=mirror, offline=True))
    names = members(store, found[want])
    assert {"source/outer.txt", "source/dep/inner.txt"} <= set(names)


def test_a_repository_without_the_commit_proves_nothing(
    mirror: Mirror, store: Store, sink: Sink, tmp_path: Path, events: list[Event]
) -> None:
    repository(tmp_path / "other", {"a": "a"})
    git(tmp_path, "clone", "-q", "--bare", "other", str(mirror.root / "git/me/outer.git"))
    want = GitWant(url=f"{NOWHERE}/me/outer", commit="1" * 40)
    with pytest.raises(FetchError, match="switched off"):
        stage([want], store, sink, places=Places(mirror=mirror, offline=True))
    assert any("does not give 111111111111" in str(event) for event in events)


def test_a_mirror_that_was_filled_is_enough_for_another_machine(
    tmp_path: Path, store: Store, sink: Sink, web: Web
) -> None:
    url, commit = nested(tmp_path)
    archive, sha256 = web.put("/sub-v1.tgz", CONTENT)
    wants: list[Want] = [
        GitWant(url=url, commit=commit, submodules=True),
        GitWant(url=url, commit=commit),
        FileWant(url=archive, sha256=sha256, filename="sub-v1.tgz"),
    ]
    filled = Mirror(root=tmp_path / "filled")
    here = stage(wants, store, sink, places=Places(keep=filled))
    assert stage(wants, store, sink, places=Places(keep=filled, offline=True)) == here
    elsewhere = Store(tmp_path / "elsewhere")
    for folder in ("outer", "middle", "inner"):
        (tmp_path / folder).rename(tmp_path / f"{folder}.gone")
    web.files.clear()
    places = Places(mirror=Mirror.at(filled.root), offline=True)
    assert stage(wants, elsewhere, sink, places=places) == here


def test_files_of_one_name_are_kept_both(tmp_path: Path, store: Store) -> None:
    mirror = Mirror(root=tmp_path / "filled")
    wants = [
        FileWant(url=f"{NOWHERE}/{n}/v1.tgz", sha256=store.add_stream([b"%d" % n]), filename="v1")
        for n in range(2)
    ]
    places = [mirror.keep(want, store) for want in (*wants, *wants)]
    assert [path.name for path in places] == ["v1", wants[1].sha256] * 2


def test_a_folder_beside_the_recipes_is_not_kept(tmp_path: Path, store: Store, sink: Sink) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").touch()
    mirror = Mirror(root=tmp_path / "filled")
    stage([TreeWant(path=tmp_path / "tree")], store, sink, places=Places(keep=mirror))
    assert not mirror.root.exists()


def test_all_that_is_lacking_is_told_at_once_in_order(
    mirror: Mirror, store: Store, sink: Sink
) -> None:
    lost = GitWant(url=f"{NOWHERE}/me/outer", commit="1" * 40)
    other = SdistWant(name="other", version="1", sha256="0" * 64)
    (mirror.root / "files" / WHEEL.filename).write_bytes(CONTENT)
    places = Places(mirror=mirror, offline=True)
    found, failures = stage_each((lost, WHEEL, other), store, sink, places=places)
    assert found == {WHEEL: SHA256}
    assert [want for want, _ in failures] == [lost, other]


def test_a_mirror_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        Mirror.at(tmp_path / "no")
