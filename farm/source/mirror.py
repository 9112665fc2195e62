"""A folder that holds sources for machines without a network.

Layout::

    files/<file name>             sdists, archives and wheels, as the index or URL calls them
    files/<sha256>                the same, where two files have one name
    git/<owner>/<name>.git        bare repositories, by the last two parts of their URL

Nothing is believed because it lies there: a file counts by its sha256, and a
repository only by the commit, whose id covers every file below it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected
from typing import TYPE_CHECKING

from farm.errors import FetchError, IntegrityError, UsageError
from farm.host.files import sha256_of, storage_errors
from farm.host.urls import check_filename, redact
from farm.source.wants import SdistWant

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.source.wants import HashedWant
    from farm.store.blobs import Store

_PARTS = 2
"""Of a repository's URL: owner and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A mirror at ``root``."""

    root: Path

    @classmethod
    def at(cls, root: Path) -> Mirror:
        """A mirror that is there.

        Raises:
            UsageError: it is no folder.
        """
        if not root.is_dir():
            raise UsageError(
                f"the source mirror {root} is no folder",
                hint="'farm fetch --into FOLDER' makes one",
            )
        return cls(root=root.absolute())

    def bring(self, want: HashedWant, store: Store) -> str | None:
        """Copy a file into the store; None where the mirror has none of that name or hash.

        Raises:
            IntegrityError: there is one of that name, and it is something else.
            StorageError: the disk is full.
        """
        for path in self._candidates(want):
            found = sha256_of(path)
            if found == want.sha256:
                return store.add_file(path, expected=want.sha256)
            raise IntegrityError(
                f"{want.label}: expected sha256 {want.sha256}, but {path} of the mirror has "
                f"{found}; not taken",
                hint=f"replace it, or put the right one at {self.root}/files/{want.sha256}",
            )
        return None

    def _candidates(self, want: HashedWant) -> Iterator[Path]:
        folder = self.root / "files"
        names = [want.sha256, file_name(want)]
        if isinstance(want, SdistWant) and folder.is_dir():
            names += sorted(path.name for path in folder.iterdir() if _is_sdist(path.name, want))
        yield from (folder / name for name in names if (folder / name).is_file())

    def repository(self, url: str) -> Path:
        """Where a repository lies, or would lie.

        Raises:
            FetchError: the URL's last parts name no folder.
        """
        path = url.rstrip("/").removesuffix(".git").replace(":", "/")
        parts = [part for part in path.split("/") if part][-_PARTS:]
        if len(parts) < _PARTS:
            raise FetchError(f"{redact(url)} has no owner and name by which a mirror finds it")
        for part in parts:
            check_filename(part, where=redact(url))
        return self.root / "git" / parts[0] / f"{parts[1]}.git"

    def keep(self, want: HashedWant, store: Store) -> Path:
        """Put a file of the store into the mirror; where its name is taken, under its sha256.

        Raises:
            StorageError: the disk is full.
        """
        folder = self.root / "files"
        with storage_errors(self.root.parent):
            folder.mkdir(parents=True, exist_ok=True)
        for name in (file_name(want), want.sha256):
            target = folder / name
            if not target.exists():
                store.link_to(want.sha256, target)
                return target
            if sha256_of(target) == want.sha256:
                return target
        raise IntegrityError(
            f"{folder / want.sha256} is not what its name says", hint="remove it, and fetch again"
        )


def file_name(want: HashedWant) -> str:
    """What a file is called in a mirror."""
    if isinstance(want, SdistWant):
        return f"{want.name.replace('-', '_')}-{want.version}.tar.gz"
    return check_filename(want.filename, where="mirror")


def _is_sdist(name: str, want: SdistWant) -> bool:
    """Whether a file name means the same sdist, however its project spells its name."""
    from packaging.utils import InvalidSdistFilename, canonicalize_name, parse_sdist_filename
    from packaging.version import InvalidVersion, Version

    with suppress(InvalidSdistFilename, InvalidVersion):
        found = parse_sdist_filename(name)
        return found == (canonicalize_name(want.name), Version(want.version))
    return False
