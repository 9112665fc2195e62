"""A folder of sources: asked before the network, believed only by hash and commit."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import zlib
from typing import TYPE_CHECKING

import pytest

from farm.errors import FetchError, IntegrityError, UsageError
from farm.load.trees import tree_digest
from farm.source.job import Job, Places
from farm.source.kinds import GitCommit, IndexFile, Sdist, Tree, UrlFile
from farm.source.mirror import Mirror
from farm.source.stage import stage, stage_each
from farm.source.tar import archive_alias
from farm.store.blobs import Store
from tests.unit.source.test_git import commit_all, git, members, nested, repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.events import Event
    from farm.source.kinds import HashedFile, Input
    from tests.unit.conftest import Web

    Sink = Callable[[Event], None]

CONTENT = b"content"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
SDIST = Sdist(name="my-pkg", version="1.0", sha256=SHA256)
WHEEL = IndexFile(name="w", version="1", filename="w-1-py3-none-any.whl", sha256=SHA256)
NOWHERE = "https://nowhere.invalid"
ARCHIVE = UrlFile(urls=(f"{NOWHERE}/v1.tgz",), sha256=SHA256, filename="sub-v1.tgz")


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
    want: HashedFile, name: str, mirror: Mirror, store: Store, sink: Sink
) -> None:
    (mirror.root / "files" / name).write_bytes(CONTENT)
    places = Places(mirror=mirror, offline=True)
    assert stage([want], store, sink, places=places) == {want: SHA256}
    assert store.path_of(SHA256).read_bytes() == CONTENT


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
    want = UrlFile(urls=(url,), sha256=sha256, filename="a")
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
    want = GitCommit(url=f"{NOWHERE}/me/outer", commit=commit, submodules=True)
    found = stage([want], store, sink, places=Places(mirror=mirror, offline=True))
    names = members(store, found[want])
    assert {"source/outer.txt", "source/dep/inner.txt"} <= set(names)


def test_a_repository_without_the_commit_proves_nothing(
    mirror: Mirror, store: Store, sink: Sink, tmp_path: Path, events: list[Event]
) -> None:
    repository(tmp_path / "other", {"a": "a"})
    git(tmp_path, "clone", "-q", "--bare", "other", str(mirror.root / "git/me/outer.git"))
    want = GitCommit(url=f"{NOWHERE}/me/outer", commit="1" * 40)
    with pytest.raises(FetchError, match="switched off"):
        stage([want], store, sink, places=Places(mirror=mirror, offline=True))
    assert any("does not give 111111111111" in str(event) for event in events)


def test_a_mirror_that_was_filled_is_enough_for_another_machine(
    tmp_path: Path, store: Store, sink: Sink, web: Web
) -> None:
    url, commit = nested(tmp_path)
    archive, sha256 = web.put("/sub-v1.tgz", CONTENT)
    wants: list[Input] = [
        GitCommit(url=url, commit=commit, submodules=True),
        GitCommit(url=url, commit=commit),
        UrlFile(urls=(archive,), sha256=sha256, filename="sub-v1.tgz"),
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
        UrlFile(
            urls=(f"{NOWHERE}/{n}/v1.tgz",), sha256=store.add_stream([b"%d" % n]), filename="v1"
        )
        for n in range(2)
    ]
    places = [mirror.keep(want, store) for want in (*wants, *wants)]
    assert [path.name for path in places] == ["v1", wants[1].sha256] * 2


def test_a_folder_beside_the_recipes_is_not_kept(tmp_path: Path, store: Store, sink: Sink) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/a").touch()
    mirror = Mirror(root=tmp_path / "filled")
    stage(
        [Tree(path=tmp_path / "tree", digest=f"tree:{tree_digest(tmp_path / 'tree')}")],
        store,
        sink,
        places=Places(keep=mirror),
    )
    assert not mirror.root.exists()


def test_all_that_is_lacking_is_told_at_once_in_order(
    mirror: Mirror, store: Store, sink: Sink
) -> None:
    lost = GitCommit(url=f"{NOWHERE}/me/outer", commit="1" * 40)
    other = Sdist(name="other", version="1", sha256="0" * 64)
    (mirror.root / "files" / WHEEL.filename).write_bytes(CONTENT)
    places = Places(mirror=mirror, offline=True)
    job = Job(store=store, sink=sink, places=places)
    found, failures = stage_each((lost, WHEEL, other), job)
    assert found == {WHEEL: SHA256}
    assert [want for want, _ in failures] == [lost, other]


def test_a_mirror_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is no folder"):
        Mirror.at(tmp_path / "no")


def mirrored(mirror: Mirror, tmp_path: Path) -> tuple[GitCommit, Path]:
    """A commit, and the repository of the mirror that has it as loose objects."""
    _, commit = repository(tmp_path / "outer", {"a": "good", "b": "other"})
    place = mirror.root / "git/me/outer.git"
    place.parent.mkdir(parents=True, exist_ok=True)
    git(tmp_path, "clone", "-q", "--bare", "outer", str(place))
    return GitCommit(url=f"file://{tmp_path}/me/outer", commit=commit), place


def plant(place: Path, name: str, *, content: bytes | None) -> None:
    """Put other content under the name of a file's object; None removes the object."""
    blob = git(place, "rev-parse", f"HEAD:{name}")
    path = place / "objects" / blob[:2] / blob[2:]
    path.unlink()
    if content is not None:
        path.write_bytes(zlib.compress(b"blob %d\0" % len(content) + content))


def as_mirror(mirror: Mirror) -> Places:
    return Places(mirror=mirror, offline=True)


def as_kept(mirror: Mirror) -> Places:
    return Places(keep=mirror, offline=True)


@pytest.mark.parametrize("places", [as_mirror, as_kept])
@pytest.mark.parametrize("content", [b"evil", b"evil, and longer", None])
def test_a_repository_whose_objects_are_not_what_they_are_called_gives_nothing(
    places: Callable[[Mirror], Places],
    content: bytes | None,
    store: Store,
    sink: Sink,
    tmp_path: Path,
) -> None:
    mirror = Mirror(root=tmp_path / "mirror")
    want, place = mirrored(mirror, tmp_path)
    plant(place, "a", content=content)
    with pytest.raises(FetchError, match="switched off"):
        stage([want], store, sink, places=places(mirror))
    assert store.alias(archive_alias(want.digest)) is None
    # Where there is another way, it is gone.
    (tmp_path / "me").mkdir()
    (tmp_path / "outer").rename(tmp_path / "me/outer")
    found = stage([want], store, sink, places=Places(mirror=mirror))
    with tarfile.open(store.path_of(found[want])) as tar:
        member = tar.extractfile("source/a")
        assert member is not None
        assert member.read() == b"good"


@pytest.mark.parametrize("places", [as_mirror, as_kept])
def test_a_replaced_object_of_a_mirror_does_not_count(
    places: Callable[[Mirror], Places], mirror: Mirror, store: Store, sink: Sink, tmp_path: Path
) -> None:
    want, place = mirrored(mirror, tmp_path)
    blob = git(place, "rev-parse", "HEAD:a")
    evil = git(place, "hash-object", "-w", "--stdin", stdin="evil")
    git(place, "replace", blob, evil)
    found = stage([want], store, sink, places=places(mirror))
    with tarfile.open(store.path_of(found[want])) as tar:
        member = tar.extractfile("source/a")
        assert member is not None
        assert member.read() == b"good"


def test_a_mirror_that_is_damaged_cannot_be_filled_further(
    mirror: Mirror, store: Store, sink: Sink, tmp_path: Path
) -> None:
    want, place = mirrored(mirror, tmp_path)
    plant(place, "a", content=b"evil")
    (tmp_path / "me").mkdir()
    (tmp_path / "outer").rename(tmp_path / "me/outer")
    with pytest.raises(FetchError, match=r"outer\.git of the mirror is damaged"):
        stage([want], store, sink, places=Places(keep=mirror))


def give_away(place: Path) -> None:
    for path in (place, *place.rglob("*")):
        os.chown(path, 4321, 4321)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
@pytest.mark.parametrize("places", [as_mirror, as_kept])
def test_a_mirror_of_somebody_else_is_read(
    places: Callable[[Mirror], Places], mirror: Mirror, store: Store, sink: Sink, tmp_path: Path
) -> None:
    want, place = mirrored(mirror, tmp_path)
    give_away(place)
    assert want in stage([want], store, sink, places=places(mirror))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder away")
def test_a_mirror_of_somebody_else_is_not_written_and_not_called_damaged(
    mirror: Mirror, store: Store, sink: Sink, tmp_path: Path
) -> None:
    """Its configuration could make git run something, so git itself refuses."""
    _, place = mirrored(mirror, tmp_path)
    (tmp_path / "outer/a").write_text("newer")
    commit = commit_all(tmp_path / "outer")
    give_away(place)
    (tmp_path / "me").mkdir()
    (tmp_path / "outer").rename(tmp_path / "me/outer")
    newer = GitCommit(url=f"file://{tmp_path}/me/outer", commit=commit)
    with pytest.raises(FetchError, match=r"does not take .*: fatal: detected dubious"):
        stage([newer], store, sink, places=Places(keep=mirror))


def test_a_folder_of_any_name_can_be_a_mirror(store: Store, sink: Sink, tmp_path: Path) -> None:
    odd = tmp_path / "it's a $(touch ran) mirror; -x"
    (odd / "files").mkdir(parents=True)
    mirror = Mirror.at(odd)
    want, _ = mirrored(mirror, tmp_path)
    assert want in stage([want], store, sink, places=as_mirror(mirror))


def test_a_fetch_that_failed_half_way_counts_for_nothing(
    store: Store, sink: Sink, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A git that leaves the commit without its files, as one does whose disk is full."""
    want, place = mirrored(Mirror(root=tmp_path / "mirror"), tmp_path)
    commit = place / "objects" / want.commit[:2] / want.commit[2:]
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    (bin_ / "git").write_text(
        "#!/bin/sh\n"
        f'case "$*" in *" fetch "*) mkdir -p objects/{want.commit[:2]}; '
        f"cp {commit} objects/{want.commit[:2]}/; exit 1;; esac\n"
        f'exec {shutil.which("git")} "$@"\n'
    )
    (bin_ / "git").chmod(0o755)
    monkeypatch.setenv("PATH", str(bin_), prepend=os.pathsep)
    with pytest.raises(FetchError, match="cannot fetch"):
        stage([want], store, sink)
    assert store.alias(archive_alias(want.digest)) is None
