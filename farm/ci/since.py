"""Which units have other inputs than at an earlier commit of the project.

What a unit is made of is computed for both, the project as it is and as it was, by the same
farm: no guess from the names of files.  Nothing of the user's work tree or index is touched.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import FarmError, UsageError
from farm.host import programs
from farm.load.library import read
from farm.load.project import Project, shipped_root
from farm.plan.plan import Choice, make_plan
from farm.plan.select import parse_selector
from farm.run.settle import expectation, identify_without, template_folders
from farm.source.repository import GIT, environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.plan.plan import Plan
    from farm.run.options import Workplace

_FOLDERS = ("recipes", "patches", "dockerfiles")


def changed(plan: Plan, place: Workplace, ref: str) -> frozenset[str]:
    """Labels of a plan's units whose inputs, or what is expected of them, are not as at ``ref``.

    A unit that cannot be planned there, for it is new or its recipe was written for another
    farm, has changed.

    Raises:
        UsageError: the project is in no git repository, or that has no such commit.
        StorageError: no room for the files of that commit.
    """
    now = inputs_of(plan, place)
    with tempfile.TemporaryDirectory(prefix="farm-since-") as scratch:
        root = _files_at(place.project.root, ref, Path(scratch))
        roots = (root,) if place.project.roots == (shipped_root(),) else (root, shipped_root())
        there = replace(place, project=Project(root=root, roots=roots))
        before = dict(_inputs_there(plan, there))
    return frozenset(label for label, inputs in now.items() if before.get(label) != inputs)


def inputs_of(plan: Plan, place: Workplace) -> dict[str, str]:
    """A digest of all that each unit is made from and held against, by label.

    Unlike the identity it is known before anything is built: a needed unit counts by its own
    inputs in place of its wheels.
    """
    templates, found = template_folders(place.project), dict[str, str]()
    for unit in plan.units:
        parts = [identify_without(unit, templates, place.cache).identity, expectation(unit)]
        parts += [found[need.label] for need in unit.needs]
        found[unit.label] = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return found


def _inputs_there(plan: Plan, place: Workplace) -> Iterable[tuple[str, str]]:
    """As `inputs_of`, for the same units in another project, as far as it can plan them."""
    try:
        return inputs_of(_plan(plan.requested, place.project), place).items()
    except FarmError:  # one by one, then
        pass
    found: dict[str, str] = {}
    for label in sorted(plan.requested):
        try:
            found |= inputs_of(_plan([label], place.project), place)
        except FarmError:
            continue
    return found.items()


def _plan(labels: Iterable[str], project: Project) -> Plan:
    selectors = [parse_selector(label) for label in sorted(labels)]
    library = read(project, [selector.package for selector in selectors])
    return make_plan(library, selectors, Choice(), preflight=False)


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
                f"--changed-since: {self.root} is in no git repository that can be read",
                hint="leave the option out: what is built already is never built again",
                details=inside.last_words,
            )
        found = self._run(
            "rev-parse", "--verify", "--quiet", "--end-of-options", f"{ref}^{{commit}}"
        )
        if found.status:
            raise UsageError(
                f"--changed-since: there is no commit {ref[:80]!r} here", hint=self._why_not()
            )
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
            raise UsageError(
                f"--changed-since: git {argv[0]} failed in {self.root}", details=done.last_words
            )
        return done.output

    def _run(self, *argv: str, stdin: bytes = b"") -> programs.Finished:
        try:
            return programs.run([*GIT, *argv], env=self.environ, cwd=self.root, stdin=stdin)
        except programs.MissingProgramError as error:
            raise UsageError(
                "--changed-since: git is not there", hint="apt-get install git"
            ) from error
