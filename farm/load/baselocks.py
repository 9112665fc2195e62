"""Locks of bases: the exact Debian packages of every set that units start from.

One line for each package, with the sets that it belongs to, so that a reader and
a diff see each package once.
"""

from __future__ import annotations

import platform
import re
from typing import TYPE_CHECKING

from farm.errors import RecipeError
from farm.load.locks import content_of, lock_line_problem
from farm.model.debian import Deb, DebSet

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.model.debian import RootfsBase

_SET = re.compile(r"set ([0-9a-f]{24}) ([0-9]{8}T[0-9]{6}Z) (\S.*)")
_DEB = re.compile(
    r"([a-z0-9][a-z0-9+.-]+) ([0-9][A-Za-z0-9.+:~-]*) ([0-9a-f]{64}) ([0-9]+)"
    r" ([a-z-]+/[A-Za-z0-9_.+:~/-]+\.deb) (\*|[0-9a-f]{6,24}(?: [0-9a-f]{6,24})*)"
)
_HEAD = (
    "# Exact Debian packages of what units start from; renewed by 'farm lock --bases'.",
    "# set: key, date, definition",
    "# package: name, version, sha256, bytes, archive and path, its sets (*: all)",
)
_SHORT = 6

Sets = dict[str, tuple[str, DebSet]]
"""By key: the definition in words, and the packages."""


def described(base: RootfsBase) -> str:
    """A definition in words, for the reader of a lock: `of_this_machine` tells its machine."""
    further = [f"+{suite} ({' '.join(names)})" for suite, names in base.further_suites]
    suites = " ".join((platform.machine(), base.suite, *base.components, *further))
    return f"{suites}: {' '.join(base.packages)}"


def of_this_machine(words: str) -> bool:
    """Whether a definition is of this machine's architecture."""
    return words.startswith(f"{platform.machine()} ")


def format_base_lock(sets: Mapping[str, tuple[str, DebSet]]) -> str:
    """The text of a lock; `parse_base_lock` reads it back."""
    ordered = sorted(sets.items(), key=lambda item: (item[1][0], item[0]))
    keys = [key for key, _ in ordered]
    short = next(n for n in range(_SHORT, 25) if len({key[:n] for key in keys}) == len(keys))
    members: dict[Deb, list[str]] = {}
    for key, (_, found) in ordered:
        for deb in found.debs:
            members.setdefault(deb, []).append(key[:short])
    lines = [f"set {key} {found.date} {words}" for key, (words, found) in ordered]
    for deb in sorted(members, key=lambda deb: (deb.name, deb.version, deb.path)):
        of = "*" if len(members[deb]) == len(keys) else " ".join(members[deb])
        lines.append(f"{deb.name} {deb.version} {deb.sha256} {deb.size} {deb.path} {of}")
    return "\n".join((*_HEAD, *lines)) + "\n"


def is_deb(deb: Deb) -> bool:
    """Whether a package is one that a lock could name."""
    line = f"{deb.name} {deb.version} {deb.sha256} {deb.size} {deb.path} *"
    return _DEB.fullmatch(line) is not None and ".." not in deb.path


def parse_base_lock(text: str, shown: str) -> Sets:
    """Read a lock.

    Raises:
        RecipeError: with each line that is not what `format_base_lock` writes.
    """
    heads: dict[str, tuple[str, str]] = {}
    debs: dict[str, list[Deb]] = {}
    problems = []
    for number, line in content_of(text):
        if found := _SET.fullmatch(line):
            heads[found[1]] = (found[2], found[3])
            debs[found[1]] = []
            continue
        found = _DEB.fullmatch(line)
        named = found[6].split() if found and found[6] != "*" else [""]
        of = [key for key in debs for name in named if key.startswith(name)]
        if found is None or len(of) < len(named) or ".." in found[5]:
            what = f"not a package of a set: {line[:80]!r}"
            problems.append(lock_line_problem(shown, number, what))
            continue
        name, version, sha256, size, path = found.groups()[:5]
        deb = Deb(name=name, version=version, sha256=sha256, size=int(size), path=path)
        for key in of:
            debs[key].append(deb)
    if problems:
        raise RecipeError(problems)
    return {
        key: (words, DebSet.of(tuple(debs[key]), date)) for key, (date, words) in heads.items()
    }
