"""A folder that holds sources for machines without a network.

Layout::

    files/<file name>             sdists, archives and wheels, as the index or URL calls them
    files/<sha256>                the same, where two files have one name
    git/<owner>/<name>.git        bare repositories, by the last two parts of their URL

Nothing is believed because it lies there: a file counts by its sha256, and a
repository only by the commit, whose id covers every file below it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected
from typing import TYPE_CHECKING

from farm.errors import FetchError, IntegrityError, UsageError
from farm.host.files import sha256_of, storage_errors
from farm.host.urls import check_filename, redact

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.source.kinds import HashedFile
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

    def bring(self, wanted: HashedFile, store: Store) -> str | None:
        """Copy a file into the store; None where the mirror has none of that name or hash.

        Raises:
            IntegrityError: there is one of that name, and it is something else.
            StorageError: the disk is full.
        """
        for path in self._candidates(wanted):
            found = sha256_of(path)
            if found == wanted.sha256:
                return store.add_file(path, expected=wanted.sha256)
            raise IntegrityError(
                f"{wanted.label}: expected sha256 {wanted.sha256}, but {path} of the mirror has "
                f"{found}; not taken",
                hint=f"replace it, or put the right one at {self.root}/files/{wanted.sha256}",
            )
        return None

    def _candidates(self, wanted: HashedFile) -> Iterator[Path]:
        folder = self.root / "files"
        names = (wanted.sha256, *wanted.names_in(folder))
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

    def keep(self, wanted: HashedFile, store: Store) -> Path:
        """Put a file of the store into the mirror; where its name is taken, under its sha256.

        Raises:
            StorageError: the disk is full.
        """
        folder = self.root / "files"
        with storage_errors(self.root.parent):
            folder.mkdir(parents=True, exist_ok=True)
        for name in (check_filename(wanted.filename, where="mirror"), wanted.sha256):
            target = folder / name
            if not target.exists():
                store.link_to(wanted.sha256, target)
                return target
            if sha256_of(target) == wanted.sha256:
                return target
        raise IntegrityError(
            f"{folder / wanted.sha256} is not what its name says",
            hint="remove it, and fetch again",
        )
