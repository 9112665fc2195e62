"""What a build needs brought, as values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.source.kinds import (
    CrateFile,
    DebFile,
    GitCommit,
    IndexFile,
    Input,
    Sdist,
    Tree,
    UrlFile,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.model.crates import CrateSet
    from farm.model.debian import ResolvedBase
    from farm.model.unit import Pin, Source, Unit, UnitKey


def input_of_source(source: Source, key: UnitKey) -> Input:
    """What to bring for a unit's source."""
    sha256 = source.digest.removeprefix("sha256:")
    match source.kind:
        case "sdist":
            return Sdist(name=key.package, version=key.version, sha256=sha256)
        case "archive" | "wheel":
            return UrlFile(urls=(source.url,), sha256=sha256, filename=source.filename)
        case "git":
            commit = source.digest.removeprefix("git:").partition("+")[0]
            return GitCommit(url=source.url, commit=commit, submodules=source.submodules)
        case "tree":
            if source.path is None:
                raise ValueError(f"the tree {source.name!r} has no path")
            return Tree(path=source.path, digest=source.digest)


def input_of_pin(pin: Pin) -> IndexFile:
    """What to bring for a locked requirement."""
    return IndexFile(name=pin.name, version=pin.version, filename=pin.filename, sha256=pin.sha256)


def debs_of(base: ResolvedBase) -> tuple[DebFile, ...]:
    """What to bring for a base."""
    return tuple(DebFile(deb=deb, base=base, sha256=deb.sha256) for deb in base.debs)


def inputs_of(unit: Unit) -> tuple[Input, ...]:
    """Everything that a unit needs brought to be built and tried, each input once."""
    locks = (unit.lock, unit.smoke_test.lock if unit.smoke_test else None)
    pins = [pin for lock in locks if lock for pin in lock.pins]
    pins += unit.toolkit.wheels if unit.toolkit else ()
    found = [
        *(input_of_source(source, unit.key) for source in (unit.source, *unit.sources)),
        *map(input_of_pin, pins),
        *_inputs_of_crates(unit.crates),
    ]
    return tuple(dict.fromkeys(found))


def _inputs_of_crates(sets: Iterable[CrateSet]) -> Iterator[Input]:
    for each in sets:
        for crate in each.crates:
            if crate.git:
                yield GitCommit(url=crate.url, commit=crate.commit, submodules=True)
            else:
                yield CrateFile(
                    name=crate.name,
                    version=crate.version,
                    filename=crate.filename,
                    sha256=crate.sha256,
                    among=each.crates,
                )
