"""Commits of git repositories, with their submodules, as deterministic archives.

Nothing is ever checked out: the tree is read from the object database, so no
hook, filter or configuration of the repository runs, and what git fetched is
what its hashes say.  The same commit gives the same archive from any URL.
"""

from __future__ import annotations

import io
import os
import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, cast

from farm.errors import CancelledError, FetchError
from farm.events import Notice, TaskProgress
from farm.host import programs
from farm.host.locks import holding
from farm.host.urls import redact
from farm.source.giturls import check_git_url, submodule_url
from farm.source.job import absent, programs_needed
from farm.source.repository import GIT, Repository, environment
from farm.source.tar import Entry, Kind, TarWriter, archive_alias, check_path

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from farm.source.job import Job
    from farm.source.kinds import GitCommit
    from farm.store.blobs import Writer

_COMMIT = re.compile(r"[0-9a-f]{40}")
_MAX_DEPTH = 10
_MODES = {"100644": Kind.FILE, "100664": Kind.FILE, "100755": Kind.PROGRAM, "120000": Kind.LINK}
_LFS = b"version https://git-lfs.github.com/spec/v1\n"  # the first line of a pointer file
_LFS_MAX_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class _Blob:
    """A file or link of the tree, and the repository that holds its content."""

    entry: Entry
    blob: str
    repository: Repository


def fetch_commit(wanted: GitCommit, job: Job, *, environ: Mapping[str, str] | None = None) -> str:
    """Bring a commit into the store, unless it is there; returns its archive's sha256.

    Where the job's places name a mirror to keep it in, its repositories are brought
    there in any case.

    Raises:
        FetchError: no full commit id, a protocol other than https, ssh, git or
            an explicit file://, git missing, or the server does not give it.
        StorageError: the disk is full.
        CancelledError: the job was cancelled; no git process is left.
    """
    if not _COMMIT.fullmatch(wanted.commit):
        raise FetchError(
            f"{wanted.commit[:60]!r} is not a full commit id",
            hint="branches, tags and short ids move; write all 40 hex digits",
        )
    check_git_url(wanted.url)
    known = wanted.present(job.store)
    if known is not None and job.places.keep is None:
        return known
    if job.places.offline and not (job.places.mirror or job.places.keep):
        raise absent(wanted.described)
    variables = environment(os.environ if environ is None else environ)
    with job.store.work_folder() as work:
        return _Fetch(wanted=wanted, job=job, work=work, environ=variables).run(known)


@dataclass(kw_only=True)
class _Fetch:
    """One commit with its submodules on the way into the store."""

    wanted: GitCommit
    job: Job
    work: Path
    environ: dict[str, str]
    repositories: list[Repository] = field(default_factory=list)
    brought: set[str] = field(default_factory=set)
    made: int = 0

    def run(self, known: str | None) -> str:
        wanted = self.wanted
        self._progress()
        try:
            top = self._fetch(wanted.url, wanted.commit)
            blobs = list(self._blobs(top, prefix="", submodules=wanted.submodules))
            self._check_paths(top)
            return known or self._archive(top, blobs)
        finally:
            self._progress(finished=True)

    def _progress(self, *, finished: bool = False) -> None:
        count = len(self.repositories)
        self.job.sink(
            TaskProgress(
                task=f"git {self.wanted.commit[:12]} {redact(self.wanted.url)}",
                done=count,
                total=count if finished else None,
                unit_of_measure="steps",
                finished=finished,
            )
        )

    def _fetch(self, url: str, commit: str) -> Repository:
        """A repository with the whole commit: from a mirror if it gives it, else from its URL."""
        places = self.job.places
        kept = self._from_mirror(url, commit, places.keep.repository(url)) if places.keep else None
        made = kept
        if not made and places.mirror:
            place = places.mirror.repository(url)
            made = self._from_mirror(url, commit, place)
            if not made and place.is_dir():
                text = f"{place} of the mirror does not give {commit[:12]}"
                self.job.sink(Notice(text=text))
        if not made and places.offline:
            raise absent(f"git {commit[:12]} from {redact(url)}")
        made = made or self._from_url(url, commit)
        if places.keep and not kept:
            self._keep(made, places.keep.repository(url))
        self.repositories.append(made)
        return made

    def _new(self, url: str, commit: str) -> Repository:
        """An empty one: what an attempt that failed left in another proves nothing."""
        self.made += 1
        folder = self.work / f"{self.made}.git"
        made = self._at(folder, url, commit)
        made.init()
        return made

    def _at(self, folder: Path, url: str, commit: str) -> Repository:
        return Repository(
            url=url,
            commit=commit,
            folder=folder,
            environ=self.environ,
            cancel=self.job.cancel,
        )

    def _from_mirror(self, url: str, commit: str, place: Path) -> Repository | None:
        """None if the mirror does not have all of it; that it has the repository is nothing."""
        if not place.is_dir():
            return None
        made = self._new(url, commit)
        made.fetch_from(place)
        return made if made.complete() else None

    def _from_url(self, url: str, commit: str) -> Repository:
        """Only the commit where the server gives it, all of its branches and tags otherwise."""
        made = self._new(url, commit)
        exact = made.fetch_exact()
        if made.complete():
            return made
        made = self._new(url, commit)
        whole = made.fetch_all()
        if made.complete():
            return made
        if whole.status:
            raise _refused(url, commit, whole)
        raise FetchError(
            f"{redact(url)} has no commit {commit} on a branch or tag",
            details=exact.last_words,
            hint="check the commit id; was the branch that held it deleted?",
        )

    def _keep(self, made: Repository, place: Path) -> None:
        """Put the commit into a mirror's repository, from which it must then come whole again."""
        kept = self._at(place, made.url, made.commit)
        lock = place.with_name(f".{place.name}.lock")
        with holding(lock, cancel=self.job.cancel, sink=self.job.sink, what=str(place)):
            kept.init()
            # Without a name git would take the commit for garbage.
            ref = f"+{made.commit}:refs/heads/farm-{made.commit}"
            done = kept.fetch_from(made.folder, ref)
        if done.status:
            raise FetchError(
                f"{place} of the mirror does not take {made.commit[:12]}: {_fatal(done)}",
                hint="is it yours to write? or damaged: then remove it, and fetch again",
                details=done.last_words,
            )
        if not self._from_mirror(made.url, made.commit, place):
            raise FetchError(
                f"{place} of the mirror is damaged: it does not give {made.commit}",
                hint="remove it, and fetch again",
            )

    def _blobs(
        self,
        repository: Repository,
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
                if name not in urls:
                    raise FetchError(f".gitmodules of {repository.commit} has no URL for {name!r}")
                yield from self._blobs(
                    self._fetch(submodule_url(repository.url, urls[name]), commit),
                    prefix=f"{prefix}{name}/",
                    submodules=submodules,
                    depth=depth + 1,
                )

    def _check_paths(self, top: Repository) -> None:
        """A named submodule that the commit does not have would be missing in silence."""
        paths = () if isinstance(self.wanted.submodules, bool) else self.wanted.submodules
        unknown = [path for path in paths if path not in self.brought]
        if unknown:
            raise FetchError(
                f"{redact(top.url)} has no submodule at {', '.join(unknown)} in {top.commit}",
                hint="a submodule inside another needs the outer one's path too",
            )

    def _archive(self, top: Repository, blobs: list[_Blob]) -> str:
        """Store the archive under the commit's name; returns its sha256."""
        shown = top.ask("show", "-s", "--no-show-signature", "--format=%ct", top.commit)
        with self.job.store.writer() as writer:
            pointers = self._write(blobs, writer, int(shown))
        if pointers:
            text = f"{pointers} files of {top.commit} are Git LFS pointers"
            self.job.sink(Notice(text=f"{text}; their contents are not brought"))
        self.job.store.set_alias(archive_alias(self.wanted.digest), writer.sha256)
        return writer.sha256

    def _write(self, blobs: list[_Blob], writer: Writer, time_s: int) -> int:
        """The files in the order of their paths; returns how many are Git LFS pointers."""
        tar = TarWriter(writer, time_s=time_s)
        tar.add_proof(b"".join(made.proof() for made in self.repositories))
        pointers = 0
        with ExitStack() as stack:
            readers = {made: _BlobReader(made, stack) for made in self.repositories}
            for blob in sorted(blobs, key=lambda blob: blob.entry.path.split("/")):
                if blob.entry.kind is Kind.FOLDER:
                    tar.add(blob.entry)
                else:
                    pointers += readers[blob.repository].add(blob, tar)
                if self.job.cancel.is_set():
                    raise CancelledError("cancelled while archiving a commit")
        tar.close()
        return pointers


class _BlobReader:
    """``git cat-file --batch`` of one repository, as long as ``stack`` is open."""

    def __init__(self, made: Repository, stack: ExitStack) -> None:
        with programs_needed():
            child: subprocess.Popen[bytes] = stack.enter_context(
                programs.started([*GIT, "cat-file", "--batch"], env=made.environ, cwd=made.folder)
            )
        self._ask = cast("IO[bytes]", child.stdin)
        self._answer = cast("IO[bytes]", child.stdout)

    def add(self, blob: _Blob, tar: TarWriter) -> bool:
        """Archive a blob's content; true if it is a Git LFS pointer.

        Raises:
            FetchError: git does not give it, or ended on the way.
        """
        try:
            return self._add(blob, tar)
        except OSError as error:
            raise _unreadable(blob) from error

    def _add(self, blob: _Blob, tar: TarWriter) -> bool:
        self._ask.write(blob.blob.encode() + b"\n")
        self._ask.flush()
        head = self._answer.readline().split()
        if head != [blob.blob.encode(), b"blob", str(blob.entry.size).encode()]:
            raise _unreadable(blob)
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


def _unreadable(blob: _Blob) -> FetchError:
    return FetchError(f"git cannot read {blob.entry.path!r} of {blob.repository.commit}")


def _tree(repository: Repository) -> Iterator[tuple[str, str, int, str]]:
    """Mode, object, size (0 of a submodule) and path of everything in the commit."""
    listing = repository.ask("ls-tree", "-r", "-z", "-l", "--full-tree", repository.commit)
    for line in listing.split(b"\0")[:-1]:
        head, _, name = line.partition(b"\t")
        mode, _, found, size = head.decode().split()
        bytes_ = 0 if size == "-" else int(size)
        yield mode, found, bytes_, name.decode(errors="surrogateescape")


def _submodule_urls(repository: Repository) -> dict[str, str]:
    """Path to URL, from .gitmodules; parsed by git, which executes nothing of it."""
    blob = f"--blob={repository.commit}:.gitmodules"
    done = repository.run("config", blob, "-z", "--get-regexp", r"^submodule\..*\.(path|url)$")
    settings: dict[str, dict[str, str]] = {}
    for item in done.output.decode(errors="surrogateescape").split("\0")[:-1]:
        key, _, value = item.partition("\n")
        name, _, variable = key.removeprefix("submodule.").rpartition(".")
        settings.setdefault(name, {})[variable] = value
    both = (found for found in settings.values() if {"path", "url"} <= found.keys())
    return {found["path"]: found["url"] for found in both}


def _refused(url: str, commit: str, done: programs.Finished) -> FetchError:
    return FetchError(
        f"cannot fetch {commit} from {redact(url)}: {_fatal(done)}",
        details=done.last_words,
        hint="check the URL, the network, and that git may read it without asking for a password",
    )


def _fatal(done: programs.Finished) -> str:
    return next((line for line in done.last_words if "fatal" in line), "git failed")
