"""Lock files of crates: one line for each, with the checksum or commit that Cargo.lock has.

They lie beside the other locks, one for each Cargo.lock, at
``recipes/locks/<package>/<version>/crates/<source>/<path of the Cargo.lock>.txt``: crates
depend neither on the variant nor on the Python.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from farm.errors import RecipeError
from farm.load.locks import content_of, lock_line_problem
from farm.model.crates import Crate, CrateLock

if TYPE_CHECKING:
    from collections.abc import Iterator

# What names a file, a folder of the container and a dependency: letters, digits, - and _
# (https://doc.rust-lang.org/cargo/reference/manifest.html#the-name-field), and a version of
# three numbers (https://semver.org).
NAME = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}"
VERSION = r"[0-9]{1,19}\.[0-9]{1,19}\.[0-9]{1,19}(?:[+-][0-9A-Za-z.+-]{1,100})?"
GIT = (
    r"git\+(?:https?|ssh|git|file)://[^\s\x00-\x1f\x7f'\"\\?#]{1,1000}"
    r"(?:\?(?:rev|tag|branch)=[A-Za-z0-9._/%+~@-]{1,200})?#[0-9a-f]{40}"
)
_HEAD = re.compile(r"# farm crates: ([0-9a-f]{64})")
_LINE = re.compile(rf"({NAME}) ({VERSION}) (?:sha256:([0-9a-f]{{64}})|({GIT}))")


def lock_parts(source: str, file: str) -> tuple[str, ...]:
    """Where the lock of a Cargo.lock lies below ``recipes/locks/<package>/<version>/``."""
    *folders, name = (part for part in file.split("/") if part not in {"", "."})
    return ("crates", source, *folders, f"{name}.txt")


def crates_digest(source: str, file: str) -> str:
    """sha256 of what crates are locked from: the source's digest, and where its Cargo.lock is."""
    return hashlib.sha256(json.dumps([source, file]).encode()).hexdigest()


def format_crates(lock: CrateLock) -> str:
    """The text of a lock file; `parse_crates` reads it back."""
    lines = sorted(f"{c.name} {c.version} {c.git or f'sha256:{c.sha256}'}" for c in lock.crates)
    head = [
        "# Crates, each pinned as Cargo.lock of the source does; renewed by 'farm lock'.",
        f"# farm crates: {lock.inputs}",
    ]
    return "\n".join([*head, *lines]) + "\n"


def parse_crates(text: str, shown: str) -> CrateLock:
    """Read a lock file of crates.

    Raises:
        RecipeError: with each line that is not what `format_crates` writes.
    """
    head = next(filter(None, map(_HEAD.fullmatch, text.splitlines())), None)
    problems = []
    if head is None:
        what = "is no lock of crates: '# farm crates: <digest>' is missing"
        problems.append(lock_line_problem(shown, 1, what))
    crates: dict[Crate, None] = {}
    for number, line in content_of(text):
        match = _LINE.fullmatch(line)
        if match is None:
            problems.append(lock_line_problem(shown, number, f"not a pinned crate: {line[:80]!r}"))
            continue
        crate = Crate(name=match[1], version=match[2], sha256=match[3] or "", git=match[4] or "")
        if crate in crates:
            what = f"{crate.name} {crate.version} is pinned twice"
            problems.append(lock_line_problem(shown, number, what))
        crates[crate] = None
    problems += [lock_line_problem(shown, 1, what) for what in contradictions(crates)]
    if problems or head is None:
        raise RecipeError(problems)
    return CrateLock(inputs=head[1], crates=tuple(crates))


def contradictions(crates: dict[Crate, None]) -> Iterator[str]:
    """Crates of the registry that have one name and version, and different contents."""
    known: dict[str, str] = {}
    for crate in crates:
        if crate.sha256 and known.setdefault(crate.filename, crate.sha256) != crate.sha256:
            yield f"{crate.name} {crate.version} is pinned to two checksums"
