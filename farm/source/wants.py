"""What a build needs brought, as values; each becomes one file of the store."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected when printed as JSON
from typing import TYPE_CHECKING, TypeAlias

from farm.model.unit import git_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.model.crates import Crate, CrateSet
    from farm.model.unit import Pin, Source, Unit, UnitKey


@dataclass(frozen=True, slots=True, kw_only=True)
class SdistWant:
    """The source distribution of a version, from the package index."""

    name: str
    version: str
    sha256: str

    @property
    def label(self) -> str:
        """For display."""
        return f"sdist of {self.name} {self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileWant:
    """A file by URL.  ``filename`` is for display."""

    url: str
    sha256: str
    filename: str

    @property
    def label(self) -> str:
        """For display."""
        return self.filename


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexFileWant:
    """One file of a version (a locked wheel) from the package index."""

    name: str
    version: str
    filename: str
    sha256: str

    @property
    def label(self) -> str:
        """For display."""
        return self.filename


@dataclass(frozen=True, slots=True, kw_only=True)
class GitWant:
    """One commit of a git repository, as an archive with one top folder.

    ``submodules``: none, all recursively, or those at the named paths.
    """

    url: str
    commit: str
    submodules: bool | tuple[str, ...] = False

    @property
    def alias(self) -> str:
        """What the store calls the archive; the same from whatever URL it came."""
        return git_digest(self.commit, self.submodules)

    @property
    def label(self) -> str:
        """For display; the URL is left out, since it may hold a password."""
        return f"git {self.commit[:12]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeWant:
    """A folder on this machine, as an archive with one top folder."""

    path: Path

    @property
    def label(self) -> str:
        """For display."""
        return f"folder {self.path.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class CrateWant:
    """The file of a crate, from cargo's registry.

    ``among`` are the crates of the Cargo.lock that it comes from: cargo fetches them
    together, and one that two of these ask for is still one.
    """

    name: str
    version: str
    filename: str
    sha256: str
    among: tuple[Crate, ...] = field(default=(), compare=False, repr=False)

    @property
    def label(self) -> str:
        """For display."""
        return f"crate {self.name} {self.version}"


def listed(crates: Sequence[CrateWant]) -> str:
    """Crates in a few words, for display."""
    if len(crates) == 1:
        return crates[0].label
    named = ", ".join(f"{want.name} {want.version}" for want in crates[:3])
    return f"{len(crates)} crates ({named}{', …' if len(crates) > 3 else ''})"  # noqa: PLR2004 - a readable line


Want: TypeAlias = SdistWant | FileWant | IndexFileWant | GitWant | TreeWant | CrateWant
HashedWant: TypeAlias = SdistWant | FileWant | IndexFileWant | CrateWant


def want_of_source(source: Source, key: UnitKey) -> Want:
    """What to bring for a unit's source."""
    sha256 = source.digest.removeprefix("sha256:")
    match source.kind:
        case "sdist":
            return SdistWant(name=key.package, version=key.version, sha256=sha256)
        case "archive" | "wheel":
            return FileWant(url=source.url, sha256=sha256, filename=source.filename)
        case "git":
            commit = source.digest.removeprefix("git:").partition("+")[0]
            return GitWant(url=source.url, commit=commit, submodules=source.submodules)
        case "tree":
            if source.path is None:
                raise ValueError(f"the tree {source.name!r} has no path")
            return TreeWant(path=source.path)


def want_of_pin(pin: Pin) -> IndexFileWant:
    """What to bring for a locked requirement."""
    return IndexFileWant(
        name=pin.name, version=pin.version, filename=pin.filename, sha256=pin.sha256
    )


def wants_of_crates(sets: Iterable[CrateSet]) -> dict[str, Want]:
    """What to bring for a unit's crates, by the digests under which its context has them."""
    wants: dict[str, Want] = {}
    for each in sets:
        for crate in each.crates:
            if crate.git:
                wants[git_digest(crate.commit, submodules=True)] = GitWant(
                    url=crate.url, commit=crate.commit, submodules=True
                )
            else:
                wants[f"sha256:{crate.sha256}"] = CrateWant(
                    name=crate.name,
                    version=crate.version,
                    filename=crate.filename,
                    sha256=crate.sha256,
                    among=each.crates,
                )
    return wants


def pins_of(unit: Unit) -> tuple[Pin, ...]:
    """Every wheel of the package index that a unit is built and tried with."""
    locks = (unit.lock, unit.smoke_test.lock if unit.smoke_test else None)
    pins = [pin for lock in locks if lock for pin in lock.pins]
    return (*pins, *(unit.toolkit.wheels if unit.toolkit else ()))


def wants_of_units(units: Iterable[Unit]) -> tuple[Want, ...]:
    """Everything that units need brought, each want once, in the order of the units."""
    wants: dict[Want, None] = {}
    for unit in units:
        for source in (unit.source, *unit.sources):
            wants[want_of_source(source, unit.key)] = None
        for pin in pins_of(unit):
            wants[want_of_pin(pin)] = None
        wants |= dict.fromkeys(wants_of_crates(unit.crates).values())
    return tuple(wants)
