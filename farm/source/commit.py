"""The project as it was at a commit: nothing of the user's work tree or index is touched."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import UsageError
from farm.host import programs
from farm.load.project import Project, shipped_root
from farm.source.repository import GIT, environment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_FOLDERS = ("recipes", "patches", "dockerfiles")


@contextmanager
def project_at(project: Project, ref: str) -> Iterator[Project]:
    """A project's files of a commit, in a folder that is gone afterwards.

    Raises:
        UsageError: the project is in no git repository, or that has no such commit.
        OSError: no room for the files.
    """
    with tempfile.TemporaryDirectory(prefix="farm-commit-") as scratch:
        root = _files_at(project.root, ref, Path(scratch))
        roots = (root,) if project.roots == (shipped_root(),) else (root, shipped_root())
        yield Project(root=root, roots=roots)


def _files_at(root: Path, ref: str, scratch: Path) -> Path:
    """Write the project's files of a commit into a folder; returns its root there."""
    git = _Git(root, scratch / "index")
    commit = git.commit(ref)
    inside = git.ask("rev-parse", "--show-prefix").decode().removesuffix("\n")
    git.must("read-tree", commit)
    listed = git.must("ls-files", "-z", "--", *_FOLDERS)
    tree = scratch / "tree"
    git.must("checkout-index", "-z", "--stdin", f"--prefix={tree}/", stdin=listed)
    (tree / inside / "recipes").mkdir(parents=True, exist_ok=True)
    return tree / inside


class _Git:
    """git in the user's repository, with an index of our own."""

    def __init__(self, root: Path, index: Path) -> None:
        self.root = root
        self.environ: Mapping[str, str] = environment(os.environ) | {"GIT_INDEX_FILE": str(index)}

    def commit(self, ref: str) -> str:
        """The id of the commit that a name means here."""
        inside = self._run("rev-parse", "--is-inside-work-tree")
        if inside.status:
            raise UsageError(
                f"{self.root} is in no git repository that can be read",
                hint="commits are those of the project's own repository",
                details=inside.last_words,
            )
        found = self._run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
        )
        if found.status:
            raise UsageError(f"there is no commit {ref[:80]!r} here", hint=self._why_not())
        return found.text.strip()

    def _why_not(self) -> str:
        if self._run("rev-parse", "--is-shallow-repository").text.strip() == "true":
            return (
                "this clone is shallow: fetch the whole history (fetch-depth: 0 for GitHub's "
                "checkout, GIT_DEPTH: 0 for GitLab, else git fetch --unshallow)"
            )
        return "name a commit, branch or tag that git log shows here; git fetch brings others"

    def ask(self, *argv: str) -> bytes:
        return self._run(*argv).output

    def must(self, *argv: str, stdin: bytes = b"") -> bytes:
        done = self._run(*argv, stdin=stdin)
        if done.status:
            raise UsageError(f"git {argv[0]} failed in {self.root}", details=done.last_words)
        return done.output

    def _run(self, *argv: str, stdin: bytes = b"") -> programs.Finished:
        try:
            return programs.run([*GIT, *argv], env=self.environ, cwd=self.root, stdin=stdin)
        except programs.MissingProgramError as error:
            raise UsageError(
                "commits cannot be looked into: git is not there", hint="apt-get install git"
            ) from error
