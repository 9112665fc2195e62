"""Debian packages by hash, and the sets of them that bases are made of."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

FORMAT = 1
"""Part of every digest: changed when the same packages would give another image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deb:
    """One binary package.

    ``path`` is where it lies, below the folder that holds Debian's archives:
    ``debian/pool/…`` or ``debian-security/pool/…``; ``size`` is in bytes.
    """

    name: str
    version: str
    sha256: str
    size: int
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DebSet:
    """What a definition resolves to: packages by name, and when that was (``20261128T050000Z``).

    ``digest`` stands for names, versions and hashes.
    """

    digest: str
    date: str = field(compare=False)
    debs: tuple[Deb, ...] = field(compare=False, repr=False)

    @classmethod
    def of(cls, debs: tuple[Deb, ...], date: str) -> DebSet:
        """The set of these, in the order of their names."""
        ordered = tuple(sorted(debs, key=lambda deb: (deb.name, deb.version)))
        return cls(
            digest=_sha256([[deb.name, deb.version, deb.sha256] for deb in ordered]),
            date=date,
            debs=ordered,
        )


FurtherSuites = tuple[tuple[str, tuple[str, ...]], ...]
"""Suites besides the base's own, each with patterns of the packages that come from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootfsBase:
    """A base to bootstrap.  ``packages``, and what is left out, sorted and without repeats.

    ``locked`` are the packages that a lock names for this definition.
    """

    name: str
    suite: str
    packages: tuple[str, ...]
    components: tuple[str, ...] = ()
    exclude_paths: tuple[str, ...] = ()
    further_suites: FurtherSuites = ()
    locked: DebSet | None = None

    @property
    def key(self) -> str:
        """Digest of what decides which packages it resolves to; its name does not matter."""
        return _key(self.suite, self.packages, self.components, self.further_suites)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedBase:
    """A base whose every package is known, so that its image has a name before it is made.

    ``origin`` says who named the packages: a ``lock``, the ``mirror`` since there is
    no lock, or the mirror since the locked ones can no longer be had (``drift``).
    """

    suite: str
    packages: DebSet
    exclude_paths: tuple[str, ...]
    origin: Literal["lock", "mirror", "drift"]

    @property
    def debs(self) -> tuple[Deb, ...]:
        """Its packages, by name."""
        return self.packages.debs

    @property
    def digest(self) -> str:
        """sha256 of all that decides the image, equal on every machine."""
        return _sha256([FORMAT, self.suite, self.packages.digest, *self.exclude_paths])

    @property
    def tag(self) -> str:
        """What engines call the image."""
        return f"farm-base:{self.suite}-{self.digest[:12]}"


@cache
def _key(
    suite: str, packages: tuple[str, ...], components: tuple[str, ...], further: FurtherSuites
) -> str:
    return _sha256([platform.machine(), suite, packages, components, further])[:24]


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()
