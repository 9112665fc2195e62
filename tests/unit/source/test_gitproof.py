"""What is unpacked is held against the commit that the archive proves, or the folder's digest."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import pytest

from farm.errors import FetchError
from farm.inside.unpack import RefusedError, unpack
from farm.load.trees import tree_digest
from farm.model.unit import git_digest
from farm.source.git import fetch_commit
from farm.source.job import Job
from farm.source.kinds import GitCommit
from farm.source.repository import proof_of
from farm.source.tree import pack_tree
from tests.unit.source.test_git import commit_all, git, nested, repository

if TYPE_CHECKING:
    from pathlib import Path

    from farm.events import Event
    from farm.store.blobs import Store

LATIN = os.fsdecode(b"caf\xe9")
Change = Callable[[str, bytes], Iterable[tuple[str, bytes, int]]]


@pytest.fixture
def archive(store: Store, sink: Callable[[Event], None]) -> Callable[..., Path]:
    """The archive of a commit, as farm makes it."""

    def call(url: str, commit: str, *, submodules: bool | tuple[str, ...] = False) -> Path:
        wanted = GitCommit(url=url, commit=commit, submodules=submodules)
        return store.path_of(fetch_commit(wanted, Job(store=store, sink=sink)))

    return call


def files(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}


def everything(folder: Path) -> tuple[str, str]:
    """A commit with all kinds of entries, in an order of git's own (``a-b`` before ``a/``)."""
    url, _ = repository(folder, {"a/x": "1", "a-b": "2", "a.c": "3", "z/deep/er/y": "4", "e": ""})
    (folder / LATIN).write_text("latin")
    (folder / "run").write_text("#!/bin/sh")
    (folder / "run").chmod(0o755)
    (folder / "link").symlink_to("a/x")
    (folder / "broken").symlink_to("nowhere")
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (folder / "large.bin").write_text(pointer)
    return url, commit_all(folder)


def test_a_commit_is_what_its_archive_proves(archive: Callable[..., Path], tmp_path: Path) -> None:
    url, commit = everything(tmp_path / "repo")
    unpack(archive(url, commit), tmp_path / "out", f"git:{commit}")
    names = {"a/x", "a-b", "a.c", "z/deep/er/y", "e", LATIN, "run", "link", "broken", "large.bin"}
    assert files(tmp_path / "out") == names
    with pytest.raises(RefusedError, match="does not bring the git object"):
        unpack(archive(url, commit), tmp_path / "other", f"git:{commit[::-1]}")


def legacy(folder: Path) -> tuple[str, str]:
    """A commit with a mode that only old programs wrote: 100664."""
    url, _ = repository(folder, {"d/a": "1"})
    blob, tree = git(folder, "rev-parse", "HEAD:d/a"), git(folder, "rev-parse", "HEAD:d")
    raw = b"40000 d\0" + bytes.fromhex(tree) + b"100664 old\0" + bytes.fromhex(blob)
    (folder / "raw").write_bytes(raw)
    made = git(folder, "hash-object", "-t", "tree", "-w", "--literally", "raw")
    commit = git(folder, "commit-tree", made, "-m", "x")
    git(folder, "update-ref", "HEAD", commit)
    return url, commit


def test_modes_of_old_programs_are_proven_too(
    archive: Callable[..., Path], tmp_path: Path
) -> None:
    url, commit = legacy(tmp_path / "repo")
    unpack(archive(url, commit), tmp_path / "out", f"git:{commit}")
    assert files(tmp_path / "out") == {"d/a", "old"}


MIDDLE, INNER = "third party/middle", "third party/middle/deps/inner"
Submodules = bool | tuple[str, ...]
WAYS: tuple[Submodules, ...] = (False, True, (MIDDLE,), (MIDDLE, INNER))


def depth(submodules: Submodules) -> int:
    """How many of the nested submodules are asked for."""
    return 2 * submodules if isinstance(submodules, bool) else len(submodules)


@pytest.mark.parametrize("submodules", WAYS)
def test_submodules_are_proven_at_the_commits_that_the_outer_ones_name(
    archive: Callable[..., Path], tmp_path: Path, submodules: Submodules
) -> None:
    url, commit = nested(tmp_path)
    made = archive(url, commit, submodules=submodules)
    unpack(made, tmp_path / "out", git_digest(commit, submodules))
    assert (tmp_path / "out" / MIDDLE / "middle.txt").exists() == (depth(submodules) > 0)
    assert (tmp_path / "out" / INNER / "inner.txt").exists() == (depth(submodules) > 1)
    beside = tmp_path / "out.submodules.json"
    told = json.loads(beside.read_text()) if beside.exists() else {}
    assert list(told) == [MIDDLE, INNER][: depth(submodules)]
    for number, other in enumerate(WAYS):
        if depth(other) != depth(submodules):
            with pytest.raises(RefusedError):
                unpack(made, tmp_path / f"as{number}", git_digest(commit, other))


def rewritten(archive: Path, path: Path, change: Change) -> Path:
    """The archive with other files: ``change`` gives name, content and mode of those of one."""
    with tarfile.open(archive) as source, tarfile.open(path, "w") as made:
        for member in source:
            stream = source.extractfile(member) if member.isfile() else None
            if stream is None:
                made.addfile(member)
                continue
            for name, content, mode in change(member.name, stream.read()):
                info = tarfile.TarInfo(name)
                info.size, info.mode = len(content), mode or member.mode
                made.addfile(info, io.BytesIO(content))
    return path


def only(name: str, *instead: tuple[str, bytes | None, int]) -> Change:
    """Changes one file, into others; where there is no content it stays."""

    def change(found: str, content: bytes) -> Iterable[tuple[str, bytes, int]]:
        if found != f"source/{name}":
            return [(found, content, 0)]
        return [(f"source/{n}", content if c is None else c, mode) for n, c, mode in instead]

    return change


def proof(change: Callable[[bytes], bytes]) -> Change:
    """Changes the proof."""
    return lambda name, content: [(name, change(content) if name == "source/.git" else content, 0)]


TAMPERED: dict[str, Change] = {
    "content": only("a/x", ("a/x", b"!", 0)),
    "length": only("a-b", ("a-b", b"22", 0)),
    "an executable bit": only("a/x", ("a/x", None, 0o755)),
    "no executable bit": only("run", ("run", None, 0o644)),
    "another name": only("a/x", ("a/y", None, 0)),
    "a file less": only("e"),
    "a file more": only("e", ("e", None, 0), ("f", None, 0)),
    "a file for a folder": only("z/deep/er/y", ("z/deep/er", b"4", 0)),
    "a file for a link": only("run", ("run", None, 0), ("link", b"a/x", 0)),
    "no proof": only(".git"),
    "no proof at all": proof(lambda _: b""),
    "half a proof": proof(lambda c: c[: len(c) // 2]),
    "a damaged proof": proof(lambda c: b"\0" + c),
    "another commit": proof(lambda c: c.replace(b"author a", b"author b")),
    "another tree": proof(lambda c: c.replace(b"100755 run", b"100644 run")),
}


@pytest.mark.parametrize("what", TAMPERED)
def test_what_is_not_the_commits_is_refused(
    archive: Callable[..., Path], tmp_path: Path, what: str
) -> None:
    url, commit = everything(tmp_path / "repo")
    whole = archive(url, commit)
    bad = rewritten(whole, tmp_path / "bad.tar", TAMPERED[what])
    with pytest.raises((RefusedError, IsADirectoryError)):
        unpack(bad, tmp_path / "out", f"git:{commit}")
    same = rewritten(whole, tmp_path / "same.tar", lambda name, content: [(name, content, 0)])
    unpack(same, tmp_path / "same", f"git:{commit}")


def with_member(archive: Path, path: Path, name: str, kind: bytes) -> Path:
    """The archive with one more member, empty or a link."""
    path.write_bytes(archive.read_bytes())
    with tarfile.open(path, "a") as made:
        info = tarfile.TarInfo(f"source/{name}")
        info.type, info.mode, info.linkname = kind, 0o755, "e"
        made.addfile(info)
    return path


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_no_folder_and_no_link_can_be_added(
    archive: Callable[..., Path], tmp_path: Path, kind: bytes
) -> None:
    url, commit = everything(tmp_path / "repo")
    bad = with_member(archive(url, commit), tmp_path / "bad.tar", "z/more", kind)
    with pytest.raises(RefusedError, match="'z/more' is not what the commit"):
        unpack(bad, tmp_path / "out", f"git:{commit}")


def test_a_proof_is_made_of_what_git_really_has() -> None:
    assert proof_of(b"") == b""
    one = b"1" * 40 + b" tree 3\nabc\n"
    assert proof_of(one + one.replace(b"tree", b"commit")) == b"tree 3\0abccommit 3\0abc"
    for answer in (b"1" * 40 + b" missing\n", b"1" * 40 + b" blob 3\nabc\n", b"x"):
        with pytest.raises(FetchError):
            proof_of(answer)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose names sort otherwise as texts than by their parts."""
    made = tmp_path / "tree"
    for name in ("a/x", "a-b", "a.c", "d/e/f", LATIN):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text("content")
    (made / "empty").write_text("")
    (made / "a/x").chmod(0o755)
    (made / "without/files").mkdir(parents=True)
    return made


def packed(folder: Path, store: Store) -> tuple[Path, str]:
    digest = f"tree:{tree_digest(folder)}"
    return store.path_of(pack_tree(folder, digest, store)), digest


def test_a_folders_digest_is_the_same_before_and_after(
    folder: Path, store: Store, tmp_path: Path
) -> None:
    made, digest = packed(folder, store)
    unpack(made, tmp_path / "out", digest)
    assert files(tmp_path / "out") == {"a/x", "a-b", "a.c", "d/e/f", LATIN, "empty"}


@pytest.mark.parametrize("name", ["a/x", "a-b", "new", "a/new", "__pycache__/x.pyc"])
def test_another_file_in_the_archive_of_a_folder_is_refused(
    folder: Path, store: Store, tmp_path: Path, name: str
) -> None:
    made, digest = packed(folder, store)
    bad = with_member(made, tmp_path / "bad.tar", name, tarfile.REGTYPE)
    with pytest.raises(RefusedError, match="not what its digest says"):
        unpack(bad, tmp_path / "out", digest)


@pytest.mark.parametrize("kind", [tarfile.DIRTYPE, tarfile.SYMTYPE])
def test_what_is_no_file_is_not_of_a_folders_archive(
    folder: Path, store: Store, tmp_path: Path, kind: bytes
) -> None:
    made, digest = packed(folder, store)
    bad = with_member(made, tmp_path / "bad.tar", "d/more", kind)
    with pytest.raises(RefusedError, match="'more' is not of a tree of files"):
        unpack(bad, tmp_path / "out", digest)
