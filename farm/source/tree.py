"""A folder that lies beside the recipes, as a deterministic archive in the store."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING

from farm.errors import IntegrityError
from farm.load.trees import digest_of, tree_files
from farm.source.tar import Entry, Kind, TarWriter, archive_alias
from farm.store.blobs import STORED_TIME_S

if TYPE_CHECKING:
    from pathlib import Path

    from farm.store.blobs import Store


def pack_tree(folder: Path, digest: str, store: Store) -> str:
    """Archive a folder under the digest that it was planned with; returns the archive's sha256.

    Two folders with the same names, executable bits and contents give the same
    archive.  Folders without files are left out, since git does not keep them.

    Raises:
        IntegrityError: it is no longer what it was, or a file cannot be read.
        RecipeError: a link or a device inside, or too many files.
        StorageError: the disk is full.
    """
    files = tree_files(folder)
    packed: list[tuple[str, bool, str]] = []
    with store.writer() as writer:
        tar = TarWriter(writer, time_s=STORED_TIME_S)
        for path in files:
            name = path.relative_to(folder).as_posix()
            content, executable = _read(path)
            kind = Kind.PROGRAM if executable else Kind.FILE
            tar.add(Entry(path=name, kind=kind, size=len(content)), io.BytesIO(content))
            packed.append((name, executable, hashlib.sha256(content).hexdigest()))
        tar.close()
        # What counts is what was packed: the folder may be written meanwhile.
        if f"tree:{digest_of(packed)}" != digest:
            raise _changed(folder, "is not what it was when the build was planned")
    store.set_alias(archive_alias(digest), writer.sha256)
    return writer.sha256


def _read(path: Path) -> tuple[bytes, bool]:
    """Content, and whether it is executable; of one and the same file."""
    try:
        with path.open("rb") as file:
            return file.read(), bool(os.fstat(file.fileno()).st_mode & 0o100)
    except OSError as error:
        raise _changed(path, f"cannot be read: {error.strerror}") from error


def _changed(path: Path, what: str) -> IntegrityError:
    return IntegrityError(f"{path} {what}", hint="leave the folder alone, and run it again")
