"""A folder that lies beside the recipes, as a deterministic archive in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.load.trees import tree_digest, tree_files
from farm.source.tar import Entry, Kind, TarWriter, sorted_entries
from farm.store.blobs import STORED_TIME_S

if TYPE_CHECKING:
    from pathlib import Path

    from farm.store.blobs import Store


def pack_tree(folder: Path, store: Store) -> str:
    """Archive a folder, unless the store has it; returns the archive's sha256.

    Two folders with the same names, executable bits and contents give the same
    archive.  Folders without files are left out, since git does not keep them.

    Raises:
        RecipeError: a link or a device inside, or too many files.
        StorageError: the disk is full.
    """
    key = f"tree:{tree_digest(folder)}"
    known = store.alias(key)
    if known is not None:
        return known
    entries = []
    for path in tree_files(folder):
        status = path.stat()
        kind = Kind.PROGRAM if status.st_mode & 0o100 else Kind.FILE
        name = path.relative_to(folder).as_posix()
        entries.append(Entry(path=name, kind=kind, size=status.st_size))
    with store.writer() as writer:
        tar = TarWriter(writer, time_s=STORED_TIME_S)
        for entry in sorted_entries(entries):
            with (folder / entry.path).open("rb") as content:
                tar.add(entry, content)
        tar.close()
    store.set_alias(key, writer.sha256)
    return writer.sha256
