from __future__ import annotations

import hashlib
import os
import random
import shutil
import subprocess
import tarfile
import threading
from typing import TYPE_CHECKING

import pytest

from farm.errors import CancelledError, FetchError, StorageError
from farm.events import Event, Notice, TaskProgress
from farm.source.git import fetch_commit
from farm.source.job import Job
from farm.source.kinds import GitCommit
from farm.source.tar import archive_alias
from farm.store.blobs import Store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMITTED = {
    "GIT_AUTHOR_DATE": "1700000000 +0000",
    "GIT_COMMITTER_DATE": "1700000001 +0200",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@b",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@b",
}


def git(folder: Path, *argv: str, stdin: str | None = None) -> str:
    base = ["git", "-c", "protocol.file.allow=always", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        [*base, *argv],
        cwd=folder,
        env={**os.environ, **COMMITTED},
        check=True,
        capture_output=True,
        text=True,
        input=stdin,
    )
    return done.stdout.strip()


def repository(folder: Path, files: dict[str, str]) -> tuple[str, str]:
    """URL and commit of a new repository."""
    folder.mkdir(parents=True)
    git(folder, "init", "-q")
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return f"file://{folder}", commit_all(folder)


def commit_all(folder: Path) -> str:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "x")
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def fetch(store: Store, sink: Callable[[Event], None]) -> Callable[..., str]:
    def call(url: str, commit: str, *, submodules: bool | tuple[str, ...] = False) -> str:
        want = GitCommit(url=url, commit=commit, submodules=submodules)
        return fetch_commit(want, Job(store=store, sink=sink))

    return call


def members(store: Store, sha256: str) -> dict[str, tarfile.TarInfo]:
    path = store.get(sha256)
    assert path is not None
    with tarfile.open(path) as tar:
        return {member.name: member for member in tar}


def test_a_commit_becomes_one_archive_with_plain_owners_modes_and_times(
    fetch: Callable[..., str], store: Store, tmp_path: Path, events: list[Event]
) -> None:
    folder = tmp_path / "repo"
    url, _ = repository(folder, {"z.txt": "z", "src/deep/a.py": "a", "run.sh": "#!/bin/sh"})
    (folder / "run.sh").chmod(0o755)
    (folder / "link").symlink_to("src/deep")
    found = members(store, fetch(url, commit_all(folder)))
    assert {name: oct(member.mode) for name, member in found.items()} == {
        "source": "0o755",
        "source/.git": "0o644",
        "source/link": "0o755",
        "source/run.sh": "0o755",
        "source/src": "0o755",
        "source/src/deep": "0o755",
        "source/src/deep/a.py": "0o644",
        "source/z.txt": "0o644",
    }
    assert {(m.uid, m.gid, m.uname, m.gname, m.mtime) for m in found.values()} == {
        (0, 0, "", "", 1700000001)
    }
    assert found["source/link"].linkname == "src/deep"
    ends = [event for event in events if isinstance(event, TaskProgress) and event.finished]
    assert len(ends) == 1


def test_the_bytes_of_a_known_commit_are_known(
    fetch: Callable[..., str], tmp_path: Path, store: Store
) -> None:
    url, commit = repository(tmp_path / "repo", {"a": "one\n", "b/c": "two\n"})
    assert commit == "eb53903133b96dda30cd11fd312fc7729d14c825"
    assert fetch(url, commit) == (
        "76990afac97254952d5e6ad40a68079b9fdbaad61a052d6aeaa79e1f9483a6a4"
    )


def test_the_same_commit_gives_the_same_archive_from_any_url(
    tmp_path: Path, sink: Callable[[Event], None]
) -> None:
    url, commit = repository(tmp_path / "repo", {"a": "1", "b/c": "2"})
    git(tmp_path, "clone", "-q", "--bare", str(tmp_path / "repo"), "copy.git")
    archives = set()
    for number, where in enumerate((url, f"file://{tmp_path}/copy.git")):
        store = Store(tmp_path / f"store{number}")
        want = GitCommit(url=where, commit=commit)
        archives.add(fetch_commit(want, Job(store=store, sink=sink)))
    assert len(archives) == 1


def test_a_commit_in_the_store_needs_no_repository(
    fetch: Callable[..., str], tmp_path: Path
) -> None:
    url, commit = repository(tmp_path / "repo", {"a": "1"})
    first = fetch(url, commit)
    assert fetch("https://nowhere.invalid/x", commit) == first


def test_a_commit_that_is_no_tip_is_found(fetch: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / "repo"
    url, first = repository(folder, {"a": "1"})
    (folder / "a").write_text("2")
    commit_all(folder)
    assert fetch(url, first)


def nested(tmp_path: Path) -> tuple[str, str]:
    """A repository with a submodule by relative URL, which has one by absolute URL."""
    inner_url, _ = repository(tmp_path / "inner", {"inner.txt": "inner"})
    repository(tmp_path / "middle", {"middle.txt": "middle"})
    git(tmp_path / "middle", "submodule", "--quiet", "add", inner_url, "deps/inner")
    commit_all(tmp_path / "middle")
    url, _ = repository(tmp_path / "outer", {"outer.txt": "outer"})
    git(tmp_path / "outer", "remote", "add", "origin", url)
    git(tmp_path / "outer", "submodule", "--quiet", "add", "../middle", "third party/middle")
    return url, commit_all(tmp_path / "outer")


def test_submodules_come_recursively_at_their_pinned_commits(
    fetch: Callable[..., str], store: Store, tmp_path: Path
) -> None:
    url, commit = nested(tmp_path)
    (tmp_path / "inner" / "inner.txt").write_text("newer")
    commit_all(tmp_path / "inner")
    sha256 = fetch(url, commit, submodules=True)
    files = {name for name, member in members(store, sha256).items() if member.isfile()}
    assert files == {
        "source/.git",
        "source/.gitmodules",
        "source/outer.txt",
        "source/third party/middle/.gitmodules",
        "source/third party/middle/middle.txt",
        "source/third party/middle/deps/inner/inner.txt",
    }
    path = store.path_of(sha256)
    with tarfile.open(path) as tar:
        inner = tar.extractfile("source/third party/middle/deps/inner/inner.txt")
        assert inner is not None
        assert inner.read() == b"inner"


def test_without_submodules_their_folders_are_empty_and_the_archive_another(
    fetch: Callable[..., str], store: Store, tmp_path: Path
) -> None:
    url, commit = nested(tmp_path)
    alone = fetch(url, commit)
    assert members(store, alone)["source/third party/middle"].isdir()
    assert "source/third party/middle/middle.txt" not in members(store, alone)
    assert fetch(url, commit, submodules=True) != alone


def test_of_named_submodules_only_those_come(
    fetch: Callable[..., str], store: Store, tmp_path: Path
) -> None:
    url, commit = nested(tmp_path)
    outer = "third party/middle"
    one = members(store, fetch(url, commit, submodules=(outer,)))
    assert one[f"source/{outer}/middle.txt"].isfile()
    assert one[f"source/{outer}/deps/inner"].isdir()
    assert f"source/{outer}/deps/inner/inner.txt" not in one
    both = fetch(url, commit, submodules=(outer, f"{outer}/deps/inner"))
    assert both == fetch(url, commit, submodules=True)


@pytest.mark.parametrize("path", ["other", "third party/middle/deps/inner", "outer.txt"])
def test_a_named_submodule_that_is_not_there_is_an_error(
    path: str, fetch: Callable[..., str], tmp_path: Path
) -> None:
    url, commit = nested(tmp_path)
    with pytest.raises(FetchError, match=f"no submodule at {path} in {commit}"):
        fetch(url, commit, submodules=(path,))


def test_unpacking_gives_what_a_checkout_gives(
    fetch: Callable[..., str], store: Store, tmp_path: Path
) -> None:
    url, commit = nested(tmp_path)
    out = tmp_path / "out"
    out.mkdir()
    archive = str(store.path_of(fetch(url, commit, submodules=True)))
    subprocess.run(["tar", "-xf", archive, "--strip-components=1"], cwd=out, check=True)
    git(tmp_path, "clone", "-q", "--recurse-submodules", url, "clone")
    subprocess.run(["diff", "-r", "-x", ".git", "out", "clone"], cwd=tmp_path, check=True)


def test_export_attributes_and_filters_of_the_repository_change_nothing(
    fetch: Callable[..., str], store: Store, tmp_path: Path
) -> None:
    attributes = "* text eol=crlf\nhidden export-ignore\nv export-subst\nx filter=evil\n"
    url, commit = repository(
        tmp_path / "repo", {".gitattributes": attributes, "hidden": "h\n", "v": "$Format:%H$\n"}
    )
    sha256 = fetch(url, commit)
    assert "source/hidden" in members(store, sha256)
    with tarfile.open(store.path_of(sha256)) as tar:
        subst = tar.extractfile("source/v")
        assert subst is not None
        assert subst.read() == b"$Format:%H$\n"


def test_lfs_pointers_are_told(
    fetch: Callable[..., str], tmp_path: Path, events: list[Event]
) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n"
    fetch(*repository(tmp_path / "repo", {"big.bin": pointer}))
    notices = [event.text for event in events if isinstance(event, Notice)]
    assert len(notices) == 1
    assert "1 files" in notices[0]


@pytest.mark.parametrize("commit", ["main", "v1.0", "0" * 39, "0" * 40 + "\n", "A" * 40, "-x", ""])
def test_only_a_full_commit_id_is_taken(fetch: Callable[..., str], commit: str) -> None:
    with pytest.raises(FetchError, match="not a full commit id"):
        fetch("https://host.invalid/x", commit)


def test_a_commit_that_is_not_there_is_told(fetch: Callable[..., str], tmp_path: Path) -> None:
    url, _ = repository(tmp_path / "repo", {"a": "1"})
    with pytest.raises(FetchError, match="has no commit 1111") as caught:
        fetch(url, "1" * 40)
    assert caught.value.hint


def test_the_id_of_a_tree_or_a_blob_is_no_commit(
    fetch: Callable[..., str], tmp_path: Path
) -> None:
    url, _ = repository(tmp_path / "repo", {"a": "1"})
    tree = git(tmp_path / "repo", "rev-parse", "HEAD^{tree}")
    with pytest.raises(FetchError, match="has no commit"):
        fetch(url, tree)


def test_a_repository_that_is_not_there_is_told_in_git_s_words(
    fetch: Callable[..., str], tmp_path: Path
) -> None:
    with pytest.raises(FetchError, match="does not appear to be a git repository"):
        fetch(f"file://{tmp_path}/nothing", "1" * 40)


def test_a_password_is_in_no_message(fetch: Callable[..., str]) -> None:
    with pytest.raises(FetchError) as caught:
        fetch("https://me:hush-hush@127.0.0.1:9/x.git", "1" * 40)
    assert "hush-hush" not in f"{caught.value!r} {caught.value.details}"


def test_missing_git_is_named(
    fetch: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="'git' is needed"):
        fetch("https://host.invalid/x", "1" * 40)


def test_the_user_s_own_insteadof_is_followed(fetch: Callable[..., str], tmp_path: Path) -> None:
    _, commit = repository(tmp_path / "mirror" / "x", {"a": "1"})
    (tmp_path / "gitconfig").write_text(
        f'[url "{tmp_path}/mirror/"]\n    insteadOf = https://host.invalid/\n'
    )
    assert fetch("https://host.invalid/x", commit)


def test_hooks_templates_and_repository_variables_of_the_user_do_not_run(
    fetch: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, commit = repository(tmp_path / "repo", {"a": "1"})
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("reference-transaction", "post-checkout", "post-merge"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
        (hooks / name).chmod(0o755)
    (tmp_path / "gitconfig").write_text(f"[core]\n    hooksPath = {hooks}\n")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(tmp_path / "objects"))
    fetch(url, commit)
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / "objects").exists()


def crafted(folder: Path, mode: str, kind: str, content: str, *names: str) -> tuple[str, str]:
    """A commit whose tree holds one object under a path that git itself would refuse."""
    repository(folder, {"a": "1"})
    stdin = None if kind == "commit" else content
    found = (
        content if kind == "commit" else git(folder, "hash-object", "-w", "--stdin", stdin=stdin)
    )
    for name in reversed(names):
        data = f"{mode} {name}".encode() + b"\0" + bytes.fromhex(found)
        found = raw_tree(folder, data)
        mode = "40000"
    commit = git(folder, "commit-tree", found, "-m", "x")
    git(folder, "update-ref", "refs/heads/evil", commit)
    return f"file://{folder}", commit


def raw_tree(folder: Path, data: bytes) -> str:
    argv = ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"]
    done = subprocess.run(argv, cwd=folder, input=data, check=True, capture_output=True)
    return done.stdout.decode().strip()


@pytest.mark.parametrize("names", [("..", "evil"), (".git", "config"), (".GIT", "x"), (".",)])
def test_a_tree_whose_paths_leave_it_is_refused(
    fetch: Callable[..., str], tmp_path: Path, names: tuple[str, ...], store: Store
) -> None:
    url, commit = crafted(tmp_path / "repo", "100644", "blob", "evil", *names)
    with pytest.raises(FetchError, match="unusable path"):
        fetch(url, commit)
    assert store.alias(archive_alias(f"git:{commit}")) is None


def test_a_submodule_that_points_to_this_machine_or_runs_something_is_refused(
    tmp_path: Path,
) -> None:
    from farm.source.giturls import submodule_url

    marker = tmp_path / "ran"
    for url in (f"ext::sh -c touch% {marker}", str(tmp_path), "--upload-pack=touch x"):
        with pytest.raises(FetchError):
            submodule_url("https://host/x", url)
    assert not marker.exists()


def test_a_gitlink_without_a_url_is_told(fetch: Callable[..., str], tmp_path: Path) -> None:
    url, commit = crafted(tmp_path / "repo", "160000", "commit", "1" * 40, "sub")
    with pytest.raises(FetchError, match="no URL for 'sub'"):
        fetch(url, commit, submodules=True)


def test_names_that_are_not_utf8_survive(
    fetch: Callable[..., str], store: Store, tmp_path: Path
) -> None:
    folder = tmp_path / "repo"
    url, _ = repository(folder, {"a": "1", "x" * 150 + "/" + "y" * 150: "long"})
    (folder / os.fsdecode(b"caf\xe9")).write_text("latin")
    found = members(store, fetch(url, commit_all(folder)))
    assert os.fsdecode(b"source/caf\xe9") in found
    assert "source/" + "x" * 150 + "/" + "y" * 150 in found


@pytest.mark.parametrize("dies", ["exit 1", 'read -r id; echo "$id blob 4"; printf go; exit 1'])
def test_a_git_that_dies_while_it_gives_files_is_a_fetch_error(
    dies: str,
    fetch: Callable[..., str],
    store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, commit = repository(tmp_path / "repo", {"a": "1234", "b": "5678"})
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/git"
    proven = tmp_path / "proven"  # before the files, git gives what proves them
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *" cat-file "*) if [ -e {proven} ]; then {dies}; fi\n'
        f'touch {proven};; esac\nexec {shutil.which("git")} "$@"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    with pytest.raises(FetchError, match=f"cannot read 'a' of {commit}"):
        fetch(url, commit)
    assert store.alias(archive_alias(f"git:{commit}")) is None


def test_cancelling_leaves_no_process_no_folder_and_no_archive(
    store: Store, sink: Callable[[Event], None], tmp_path: Path
) -> None:
    url, commit = repository(tmp_path / "repo", {"a": "1"})
    cancel = threading.Event()
    cancel.set()
    with pytest.raises(CancelledError):
        fetch_commit(GitCommit(url=url, commit=commit), Job(store=store, sink=sink, cancel=cancel))
    assert list((store.root / "tmp").iterdir()) == []
    assert store.alias(archive_alias(f"git:{commit}")) is None


def test_the_archive_is_stored_under_its_own_hash(
    fetch: Callable[..., str], store: Store, tmp_path: Path
) -> None:
    sha256 = fetch(*repository(tmp_path / "repo", {"a": "1"}))
    assert hashlib.sha256(store.path_of(sha256).read_bytes()).hexdigest() == sha256


def test_a_full_disk_is_a_storage_error(sink: Callable[[Event], None], tmp_path: Path) -> None:
    content = random.Random(5).randbytes(600_000).hex()  # noqa: S311 - does not compress to nothing
    url, commit = repository(tmp_path / "repo", {"a": content})
    folder = tmp_path / "tiny"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)], check=True)
    try:
        job = Job(store=Store(folder / "store"), sink=sink)
        with pytest.raises(StorageError, match="no space left"):
            fetch_commit(GitCommit(url=url, commit=commit), job)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
