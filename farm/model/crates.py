"""Crates: what a Cargo.lock of a source pins, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote


@dataclass(frozen=True, slots=True, kw_only=True)
class Crate:
    """One pinned crate: ``sha256`` of its file from the registry, or ``git`` where it has none.

    ``git`` is its source as Cargo.lock writes it: ``git+<url>[?rev=…]#<commit>``.
    """

    name: str
    version: str
    sha256: str = ""
    git: str = ""

    @property
    def filename(self) -> str:
        """What cargo calls the file of a registry's crate."""
        return f"{self.name}-{self.version}.crate"

    @property
    def url(self) -> str:
        """The repository of a git crate."""
        return self.git.removeprefix("git+").partition("#")[0].partition("?")[0]

    @property
    def commit(self) -> str:
        """The full commit of a git crate."""
        return self.git.partition("#")[2]

    @property
    def reference(self) -> tuple[str, str] | None:
        """How its manifest names the commit: (``rev``, ``tag`` or ``branch``, value)."""
        key, _, value = self.git.partition("#")[0].partition("?")[2].partition("=")
        return (key, unquote(value)) if key else None


@dataclass(frozen=True, slots=True, kw_only=True)
class CrateLock:
    """Locked crates.  ``inputs`` is the digest of the source and Cargo.lock that pinned them."""

    inputs: str
    crates: tuple[Crate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CrateSet:
    """The crates that a unit needs by one Cargo.lock: ``file`` of the source ``source``.

    ``inputs`` is the digest that a lock of them must name, ``lock`` the one that there is.
    """

    source: str
    file: str
    inputs: str
    lock: CrateLock | None

    @property
    def crates(self) -> tuple[Crate, ...]:
        """Those that are locked."""
        return self.lock.crates if self.lock else ()
