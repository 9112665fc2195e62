"""Bare repositories in folders of ours, and how git is run on them.

Whatever git fetches it hashes itself, so a commit that is complete in a repository
of ours is what its id says, wherever it came from.  git does not hash what it reads
from a repository that was there before; so nothing is ever read from another one.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import FetchError
from farm.host import programs
from farm.host.files import full_disk, says_full, storage_errors
from farm.host.network import NetworkSettings
from farm.host.urls import redact
from farm.source.giturls import allowed_protocols
from farm.source.job import programs_needed

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping
    from pathlib import Path

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
GIT = ("git", *(part for setting in _SETTINGS for part in ("-c", setting)))
_FETCH = ("fetch", "--quiet", "--no-tags", "--no-write-fetch-head")
_EVERY = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
_ID_LENGTH = 40
_ANSWER = re.compile(rb"[0-9a-f]{40} ((?:commit|tree) (\d+))\n")
# The user named the folder, whoever owns it, and any commit that it has is given.
_OF_FOLDER = (
    "--upload-pack=git -c safe.directory='*' -c uploadpack.allowAnySHA1InWant=true upload-pack"
)


@dataclass(frozen=True, eq=False, kw_only=True)
class Repository:
    """A bare repository in a folder of ours, for one commit that comes from ``url``."""

    url: str
    commit: str
    folder: Path
    environ: Mapping[str, str]
    cancel: threading.Event | None

    def init(self) -> None:
        """Make it, if it is not there.

        Raises:
            FetchError: git cannot, or is missing.
            StorageError: the folder cannot be made.
        """
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        self.ask("init", "--quiet", "--bare", "--template=", ".")

    def run(self, *argv: str, protocols: str = "", stdin: bytes = b"") -> programs.Finished:
        """Run git on it; the status is the caller's to judge.

        Raises:
            FetchError: git is missing.
            StorageError: the disk is full.
            CancelledError: cancelled; git has been ended.
        """
        environ = {**self.environ, "GIT_ALLOW_PROTOCOL": protocols}
        with programs_needed():
            done = programs.run(
                [*GIT, *argv], env=environ, cwd=self.folder, stdin=stdin, cancel=self.cancel
            )
        if done.status and says_full(done.complaint):
            raise full_disk(self.folder)
        return done

    def ask(self, *argv: str, stdin: bytes = b"") -> bytes:
        """What git says of it.

        Raises:
            FetchError: git fails, or says more than is taken.
        """
        done = self.run(*argv, stdin=stdin)
        if done.status or len(done.output) >= programs.MOST_BYTES:
            raise FetchError(
                f"git {argv[0]} failed on {redact(self.url)} at {self.commit}",
                details=done.last_words,
            )
        return done.output

    def proof(self) -> bytes:
        """What proves the commit's files; see `proof_of`.

        Raises:
            FetchError: git does not have all of it.
        """
        what = ("rev-list", "--objects", "--no-walk", "--filter=blob:none", self.commit)
        lines = self.ask(*what).split(b"\n")[:-1]
        ids = sorted({line[:_ID_LENGTH] + b"\n" for line in lines})  # no git changes this order
        return proof_of(self.ask("cat-file", "--batch", stdin=b"".join(ids)))

    def complete(self) -> bool:
        """Whether it has the commit with every file of it."""
        commit = f"{self.commit}^{{commit}}"
        return self.run("rev-list", "--objects", "--no-walk", "--quiet", commit).status == 0

    def fetch_from(self, folder: Path, *refs: str) -> programs.Finished:
        """Take the commit from a repository on this machine; whether it came `complete` tells."""
        options = ("--depth=1", "--update-shallow", _OF_FOLDER)
        wanted = refs or (self.commit,)
        return self.run(*_FETCH, *options, "--", str(folder), *wanted, protocols="file")

    def fetch_exact(self) -> programs.Finished:
        """Take only the commit from its URL; not every server gives one that is no tip."""
        return self.run(*_FETCH, "--depth=1", "--", self.url, self.commit, protocols=self._allowed)

    def fetch_all(self) -> programs.Finished:
        """Take every branch and tag from its URL."""
        return self.run(*_FETCH, "--", self.url, *_EVERY, protocols=self._allowed)

    @property
    def _allowed(self) -> str:
        rewritten = self.ask("ls-remote", "--get-url", "--", self.url).decode().strip()
        return ":".join(allowed_protocols(self.url, rewritten))


def proof_of(answer: bytes) -> bytes:
    """What an archive of a commit brings so that its files can be held against the commit's id.

    A commit object names a tree object, which names what is in a folder, by their hashes.  With
    these two kinds of objects, whoever has the files can compute everything up to the commit
    (`farm.inside.unpack.Checkout` does).  The proof is these objects one after the other, as git
    hashes them: ``commit <size>``, a zero byte, the content, then the next.  ``answer`` is what
    ``git cat-file --batch`` says of them.

    Raises:
        FetchError: git does not have one of them, or gave something else.
    """
    objects, start = [], 0
    while start < len(answer):
        head = _ANSWER.match(answer, start)
        if head is None:
            raise FetchError(f"git gave no commit and no tree: {answer[start : start + 60]!r}")
        end = head.end() + int(head[2])
        objects.append(head[1] + b"\0" + answer[head.end() : end])
        start = end + 1
    return b"".join(objects)


def environment(variables: Mapping[str, str]) -> dict[str, str]:
    """What git is given of farm's own environment.

    Raises:
        FetchError: a CA bundle is named that does not exist.
    """
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith("GIT_") or name.startswith(_KEPT)
    }
    bundle = NetworkSettings.of_machine(variables).ca_bundle
    if bundle is not None:
        kept.setdefault("GIT_SSL_CAINFO", bundle)
    kept.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    return {
        **kept,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_LFS_SKIP_SMUDGE": "1",
        "LC_ALL": "C",
    }
