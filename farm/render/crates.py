"""The crates of a unit, as its build context has them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from farm.model.unit import git_digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.model.crates import Crate
    from farm.model.unit import Unit

LIST = "crates.json"


def crate_files(unit: Unit) -> Iterator[tuple[str, str]]:
    """Name in the context, and digest, of each crate's file and each repository's archive."""
    for crate in all_crates(unit):
        if not crate.git:
            yield crate.filename, f"sha256:{crate.sha256}"
    for commit in git_commits(unit):
        yield f"{commit}.tar", git_digest(commit, submodules=True)


def git_commits(unit: Unit) -> list[str]:
    """Commits of repositories that crates come from, each once."""
    return list(dict.fromkeys(crate.commit for crate in all_crates(unit) if crate.git))


def crate_list(unit: Unit) -> str:
    """What ``inside/vendor.py`` reads."""
    crates = [
        {"name": crate.name, "version": crate.version, "sha256": crate.sha256}
        for crate in all_crates(unit)
        if not crate.git
    ]
    sources = dict.fromkeys(crate.git for crate in all_crates(unit) if crate.git)
    git = [_source([c for c in all_crates(unit) if c.git == source]) for source in sources]
    return json.dumps({"crates": crates, "git": git}, indent=1) + "\n"


def _source(crates: list[Crate]) -> dict[str, object]:
    first = crates[0]
    return {
        "source": first.git.partition("#")[0],
        "url": first.url,
        "reference": dict([first.reference]) if first.reference else {},
        "commit": first.commit,
        "crates": [{"name": crate.name, "version": crate.version} for crate in crates],
    }


def all_crates(unit: Unit) -> tuple[Crate, ...]:
    """All of them, each once however many Cargo.lock name it, in one order."""
    found = {crate for each in unit.crates for crate in each.crates}
    return tuple(sorted(found, key=lambda crate: (crate.name, crate.version, crate.git)))
