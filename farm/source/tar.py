"""Deterministic tar archives: the same names, modes and contents give the same bytes."""

from __future__ import annotations

import io
import tarfile
from dataclasses import dataclass
from enum import Enum
from typing import IO, TYPE_CHECKING, cast

from farm.errors import FetchError

if TYPE_CHECKING:
    from farm.store.blobs import Writer

# Everything lies below this folder, so that every source unpacks the same way.
TOP_FOLDER = "source"
FORMAT = 2
"""Raise it where the same input becomes other bytes: what the store has is then made anew."""
PROOF = ".git"
"""The file that proves a commit (`farm.source.repository`); `check_path` lets no other have it."""


def archive_alias(digest: str) -> str:
    """What the store calls the archive of what has this digest."""
    return f"{digest} in format {FORMAT}"


class Kind(Enum):
    """What an archived path is."""

    FILE = tarfile.REGTYPE
    PROGRAM = b"x"
    LINK = tarfile.SYMTYPE
    FOLDER = tarfile.DIRTYPE


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One path, relative to the top folder; ``size`` in bytes, ``target`` of a link."""

    path: str
    kind: Kind
    size: int = 0
    target: str = ""


class TarWriter:
    """Writes entries, which must come in the order of their paths, into the store.

    Owner and group are 0, times are ``time_s``, modes are 0644 or 0755.  GNU
    format, since it takes names that are not UTF-8 as they are.
    """

    def __init__(self, writer: Writer, *, time_s: int) -> None:
        self._time_s = time_s
        self._tar = tarfile.open(  # noqa: SIM115 - closed by close()
            fileobj=cast("IO[bytes]", writer),
            mode="w",
            format=tarfile.GNU_FORMAT,
            encoding="utf-8",
            errors="surrogateescape",
        )
        self._folders: set[str] = set()
        self._leaves: set[str] = set()

    def add(self, entry: Entry, content: IO[bytes] | None = None) -> None:
        """Append an entry, and before it the folders that it lies in.

        Raises:
            FetchError: its path leaves the folder, or lies below a file or link.
        """
        parts = check_path(entry.path)
        for depth in range(len(parts)):
            self._add_folder("/".join([TOP_FOLDER, *parts[:depth]]))
        name = f"{TOP_FOLDER}/{entry.path}"
        if entry.kind is Kind.FOLDER:
            self._add_folder(name)
            return
        if name in self._leaves or name in self._folders:
            raise FetchError(f"two entries are called {entry.path!r}")
        self._leaves.add(name)
        info = self._info(name, entry.kind)
        info.size = entry.size
        info.linkname = entry.target
        self._tar.addfile(info, content)

    def add_proof(self, content: bytes) -> None:
        """Append what proves the other entries to be a commit's."""
        self._add_folder(TOP_FOLDER)
        info = self._info(f"{TOP_FOLDER}/{PROOF}", Kind.FILE)
        info.size = len(content)
        self._tar.addfile(info, io.BytesIO(content))

    def close(self) -> None:
        """Write the end of the archive."""
        self._tar.close()

    def _add_folder(self, name: str) -> None:
        if name in self._leaves:
            raise FetchError(f"{name!r} is both a file and a folder")
        if name not in self._folders:
            self._folders.add(name)
            self._tar.addfile(self._info(name, Kind.FOLDER))

    def _info(self, name: str, kind: Kind) -> tarfile.TarInfo:
        info = tarfile.TarInfo(name)
        info.type = tarfile.REGTYPE if kind is Kind.PROGRAM else kind.value
        info.mode = 0o644 if kind is Kind.FILE else 0o755
        info.mtime = self._time_s
        return info


def check_path(path: str) -> list[str]:
    """The parts of a relative path that stays where it is put.

    Raises:
        FetchError: it is absolute, has empty parts, ``.`` or ``..``, or names ``.git``.
    """
    parts = path.split("/")
    if any(part in {"", ".", ".."} or part.lower() == ".git" or "\0" in part for part in parts):
        raise FetchError(f"unusable path in a source tree: {path[:200]!r}")
    return parts
