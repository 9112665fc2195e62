"""Commits of git repositories, with their submodules, as deterministic archives.

Nothing is ever checked out: the tree is read from the object database, so no
hook, filter or configuration of the repository runs, and what git fetched is
what its hashes say.  The same commit gives the same archive from any URL.
"""

from __future__ import annotations

import io
import os
import re
import subprocess
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

from farm.errors import CancelledError, FetchError
from farm.events import Notice, TaskProgress
from farm.host.children import Finished, end_group, missing_program, run_child
from farm.host.files import storage_errors
from farm.host.urls import redact
from farm.source.giturls import allowed_protocols, check_git_url, submodule_url
from farm.source.places import Places, absent
from farm.source.tar import Entry, Kind, TarWriter, check_path

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from farm.events import Sink
    from farm.source.wants import GitWant
    from farm.store.blobs import Store, Writer

_COMMIT = re.compile(r"[0-9a-f]{40}")
_MAX_DEPTH = 10
# What of the user's GIT_* variables reaches git: how to connect, and the user's
# own configuration (insteadOf, say); never which repository or index to use.
_KEPT = ("GIT_SSL_", "GIT_SSH", "GIT_CONFIG", "GIT_HTTP_", "GIT_PROXY_", "GIT_ASKPASS")
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.recurseSubmodules=false",
    "protocol.ext.allow=never",
)
_GIT = ("git", *(part for setting in _SETTINGS for part in ("-c", setting)))
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
_EVERY = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_MODES = {"100644": Kind.FILE, "100664": Kind.FILE, "100755": Kind.PROGRAM, "120000": Kind.LINK}
_LFS = b"version https://git-lfs.github.com/spec/v1\n"  # the first line of a pointer file
_LFS_MAX_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blob:
    """A file or link of the tree, and the repository that holds its content."""

    entry: Entry
    blob: str
    repository: _Repository


@dataclass(eq=False, kw_only=True)
class _Repository:
    """A bare repository with one commit, in a folder of ours."""

    url: str
    commit: str
    folder: Path
    environ: Mapping[str, str]
    cancel: threading.Event | None

    def run(self, *argv: str, stdin: bytes = b"") -> Finished:
        return run_child(
            [*_GIT, *argv],
            env=self.environ,
            cwd=self.folder,
            stdin=stdin,
            cancel=self.cancel,
        )

    def ask(self, *argv: str) -> bytes:
        done = self.run(*argv)
        if done.status:
            raise FetchError(
                f"git {argv[0]} failed on {redact(self.url)} at {self.commit}",
                details=done.last_words,
            )
        return done.stdout

    def has_commit(self) -> bool:
        return self.run("cat-file", "-e", f"{self.commit}^{{commit}}").status == 0


def fetch_commit(  # noqa: PLR0913 - independent switches, keyword-only
    want: GitWant,
    *,
    store: Store,
    sink: Sink,
    cancel: threading.Event | None = None,
    environ: Mapping[str, str] | None = None,
    places: Places | None = None,
) -> str:
    """Bring a commit into the store, unless it is there; returns its archive's sha256.

    Where ``places`` names a mirror to keep it in, its repositories are brought
    there in any case.

    Raises:
        FetchError: no full commit id, a protocol other than https, ssh, git or
            an explicit file://, git missing, or the server does not give it.
        StorageError: the disk is full.
        CancelledError: ``cancel`` was set; no git process is left.
    """
    if not _COMMIT.fullmatch(want.commit):
        raise FetchError(
            f"{want.commit[:60]!r} is not a full commit id",
            hint="branches, tags and short ids move; write all 40 hex digits",
        )
    check_git_url(want.url)
    places = places or Places()
    known = store.alias(want.alias)
    if known is not None and places.keep is None:
        return known
    variables = dict(os.environ if environ is None else environ)
    with store.work_folder() as work:
        job = _Job(
            work=work, sink=sink, cancel=cancel, environ=_environment(variables), places=places
        )
        sha256 = job.run(want, store)
    store.set_alias(want.alias, sha256)
    return sha256


@dataclass(kw_only=True)
class _Job:
    """One commit with its submodules on the way into the store."""

    work: Path
    sink: Sink
    cancel: threading.Event | None
    environ: dict[str, str]
    places: Places
    repositories: list[_Repository] = field(default_factory=list)
    brought: set[str] = field(default_factory=set)

    def run(self, want: GitWant, store: Store) -> str:
        task = f"git {want.commit[:12]} {redact(want.url)}"
        self._progress(task)
        try:
            top = self._fetch(want.url, want.commit)
            blobs = list(self._blobs(top, prefix="", submodules=want.submodules))
            self._check_paths(want, top)
            shown = top.ask("show", "-s", "--no-show-signature", "--format=%ct", want.commit)
            time_s = int(shown)
            with store.writer() as writer:
                self._archive(blobs, writer, time_s)
        finally:
            self._progress(task, finished=True)
        return writer.sha256

    def _progress(self, task: str, *, finished: bool = False) -> None:
        count = len(self.repositories)
        total = count if finished else None
        self.sink(
            TaskProgress(
                task=task, done=count, total=total, unit_of_measure="steps", finished=finished
            )
        )

    def _fetch(self, url: str, commit: str) -> _Repository:
        """A repository with the commit: from the mirror if it has it, else from its URL."""
        keep = self.places.keep
        folder = self.work / f"{len(self.repositories)}.git"
        folder = keep.repository(url) if keep else folder
        with storage_errors(self.work):
            folder.mkdir(parents=True, exist_ok=keep is not None)
        made = _Repository(
            url=url, commit=commit, folder=folder, environ=self.environ, cancel=self.cancel
        )
        with _alone(folder) if keep else nullcontext():
            made.ask("init", "--quiet", "--bare", "--template=", ".")
            if not (keep and made.has_commit()) and not self._from_mirror(made):
                if self.places.offline:
                    raise absent(f"git {commit[:12]} from {redact(url)}")
                self._from_url(made)
            if keep:  # without a name git would take the commit for garbage
                made.ask("update-ref", f"refs/heads/farm-{commit}", commit)
        self.repositories.append(made)
        return made

    def _from_mirror(self, made: _Repository) -> bool:
        """Whether the mirror has the commit; that it has the repository alone is nothing."""
        mirror = self.places.mirror
        place = mirror.repository(made.url) if mirror else None
        if place is None or not place.is_dir():
            return False
        # The user named the folder, so git may read it.
        made.environ = {**self.environ, "GIT_ALLOW_PROTOCOL": "file"}
        exact = made.run(*_FETCH, "--depth=1", "--", str(place), made.commit)
        if exact.status or not made.has_commit():
            made.run(*_FETCH, "--update-shallow", "--", str(place), *_EVERY)
        if made.has_commit():
            return True
        text = f"{place} of the mirror does not give {made.commit[:12]}"
        self.sink(Notice(text=": ".join([text, *exact.last_words[:1]])))
        return False

    def _from_url(self, made: _Repository) -> None:
        """Only the commit where the server gives it, all of its branches and tags otherwise."""
        url, commit = made.url, made.commit
        rewritten = made.ask("ls-remote", "--get-url", "--", url).decode().strip()
        made.environ = {
            **self.environ,
            "GIT_ALLOW_PROTOCOL": ":".join(allowed_protocols(url, rewritten)),
        }
        exact = made.run(*_FETCH, "--depth=1", "--", url, commit)
        if exact.status or not made.has_commit():
            whole = made.run(*_FETCH, "--", url, *_EVERY)
            if whole.status:
                raise _refused(url, commit, whole)
            if not made.has_commit():
                raise FetchError(
                    f"{redact(url)} has no commit {commit} on a branch or tag",
                    details=exact.last_words,
                    hint="check the commit id; was the branch that held it deleted?",
                )

    def _blobs(
        self,
        repository: _Repository,
        *,
        prefix: str,
        submodules: bool | tuple[str, ...],
        depth: int = 0,
    ) -> Iterator[_Blob]:
        if depth > _MAX_DEPTH:
            raise FetchError(f"submodules nest more than {_MAX_DEPTH} deep in {prefix}")
        links: list[tuple[str, str]] = []
        for mode, blob, size, name in _tree(repository):
            check_path(name)
            if mode == "160000":
                links.append((name, blob))
            elif mode in _MODES:
                entry = Entry(path=prefix + name, kind=_MODES[mode], size=size)
                yield _Blob(entry=entry, blob=blob, repository=repository)
            else:
                raise FetchError(f"{name!r} in {repository.commit} has the unknown mode {mode}")
        urls = _submodule_urls(repository) if links and submodules else {}
        for name, commit in links:
            folder = Entry(path=prefix + name, kind=Kind.FOLDER)
            yield _Blob(entry=folder, blob="", repository=repository)
            if submodules is True or (submodules and prefix + name in submodules):
                self.brought.add(prefix + name)
                url = _url_of(repository, urls, name)
                yield from self._blobs(
                    self._fetch(url, commit),
                    prefix=f"{prefix}{name}/",
                    submodules=submodules,
                    depth=depth + 1,
                )

    def _check_paths(self, want: GitWant, top: _Repository) -> None:
        """A named submodule that the commit does not have would be missing in silence."""
        paths = () if isinstance(want.submodules, bool) else want.submodules
        unknown = [path for path in paths if path not in self.brought]
        if unknown:
            raise FetchError(
                f"{redact(top.url)} has no submodule at {', '.join(unknown)} in {top.commit}",
                hint="a submodule inside another needs the outer one's path too",
            )

    def _archive(self, blobs: list[_Blob], writer: Writer, time_s: int) -> None:
        tar = TarWriter(writer, time_s=time_s)
        pointers = 0
        readers = {made: _BlobReader(made) for made in self.repositories}
        try:
            for blob in sorted(blobs, key=lambda blob: blob.entry.path.split("/")):
                if blob.entry.kind is Kind.FOLDER:
                    tar.add(blob.entry)
                else:
                    pointers += readers[blob.repository].add(blob, tar)
                if self.cancel is not None and self.cancel.is_set():
                    raise CancelledError("cancelled while archiving a commit")
            tar.close()
        finally:
            for reader in readers.values():
                reader.close()
        if pointers:
            text = f"{pointers} files of {self.repositories[0].commit} are Git LFS pointers"
            self.sink(Notice(text=f"{text}; their contents are not brought"))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """One farm and one thread at a time in a repository of a mirror."""
    from filelock import FileLock

    with FileLock(folder.with_name(f".{folder.name}.lock")):
        yield


class _BlobReader:
    """``git cat-file --batch`` of one repository."""

    def __init__(self, repository: _Repository) -> None:
        try:
            self._child = subprocess.Popen(
                [*_GIT, "cat-file", "--batch"],
                cwd=repository.folder,
                env=dict(repository.environ),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except FileNotFoundError:
            raise missing_program("git") from None
        self._ask = cast("IO[bytes]", self._child.stdin)
        self._answer = cast("IO[bytes]", self._child.stdout)

    def add(self, blob: _Blob, tar: TarWriter) -> bool:
        """Archive a blob's content; true if it is a Git LFS pointer."""
        self._ask.write(blob.blob.encode() + b"\n")
        self._ask.flush()
        head = self._answer.readline().split()
        if head != [blob.blob.encode(), b"blob", str(blob.entry.size).encode()]:
            raise FetchError(f"git cannot read {blob.entry.path!r} of {blob.repository.commit}")
        pointer = False
        if blob.entry.kind is Kind.LINK:
            target = self._answer.read(blob.entry.size).decode(errors="surrogateescape")
            tar.add(Entry(path=blob.entry.path, kind=Kind.LINK, target=target))
        elif blob.entry.size <= _LFS_MAX_BYTES:
            content = self._answer.read(blob.entry.size)
            tar.add(blob.entry, io.BytesIO(content))
            pointer = content.startswith(_LFS)
        else:
            tar.add(blob.entry, self._answer)
        self._answer.read(1)
        return pointer

    def close(self) -> None:
        """End the child."""
        self._ask.close()
        self._answer.close()
        end_group(self._child)


def _tree(repository: _Repository) -> Iterator[tuple[str, str, int, str]]:
    """Mode, object, size (0 of a submodule) and path of everything in the commit."""
    listing = repository.ask("ls-tree", "-r", "-z", "-l", "--full-tree", repository.commit)
    for line in listing.split(b"\0")[:-1]:
        head, _, name = line.partition(b"\t")
        mode, _, found, size = head.decode().split()
        bytes_ = 0 if size == "-" else int(size)
        yield mode, found, bytes_, name.decode(errors="surrogateescape")


def _submodule_urls(repository: _Repository) -> dict[str, str]:
    """Path to URL, from .gitmodules; parsed by git, which executes nothing of it."""
    blob = f"--blob={repository.commit}:.gitmodules"
    done = repository.run("config", blob, "-z", "--get-regexp", r"^submodule\..*\.(path|url)$")
    settings: dict[str, dict[str, str]] = {}
    for item in done.stdout.decode(errors="surrogateescape").split("\0")[:-1]:
        key, _, value = item.partition("\n")
        name, _, variable = key.removeprefix("submodule.").rpartition(".")
        settings.setdefault(name, {})[variable] = value
    return {found["path"]: found["url"] for found in settings.values() if len(found) == 2}  # noqa: PLR2004 - path and url


def _url_of(repository: _Repository, urls: Mapping[str, str], name: str) -> str:
    if name not in urls:
        raise FetchError(f".gitmodules of {repository.commit} has no URL for {name!r}")
    return submodule_url(repository.url, urls[name])


def _environment(variables: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith("GIT_") or name.startswith(_KEPT)
    }
    bundle = next(
        (kept[n] for n in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE") if kept.get(n)), None
    )
    if bundle is not None:
        kept.setdefault("GIT_SSL_CAINFO", bundle)
    kept.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    return {**kept, "GIT_TERMINAL_PROMPT": "0", "GIT_LFS_SKIP_SMUDGE": "1", "LC_ALL": "C"}


def _refused(url: str, commit: str, done: Finished) -> FetchError:
    first = next((line for line in done.last_words if "fatal" in line), "")
    return FetchError(
        f"cannot fetch {commit} from {redact(url)}: {first or 'git failed'}",
        details=done.last_words,
        hint="check the URL, the network, and that git may read it without asking for a password",
    )
