"""Lay a unit's build context out on disk, hard-linked from the store."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from farm.errors import IntegrityError
from farm.host.files import sha256_of, storage_error
from farm.render.manifest import MODE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farm.render.context import Entry


def write_context(
    folder: Path,
    entries: tuple[Entry, ...],
    staged: Mapping[str, Path] | None,
    *,
    linked: bool = True,
) -> None:
    """Write every file of the context below ``folder``.

    ``staged`` maps digests to files of the store; None leaves those files out
    (``farm render``, which needs no network).  All files of the store have one time,
    and an engine that has a file of the same name, size and time, sent from a folder
    of the same name, takes that one: without ``linked`` they are copies, with their own.

    Raises:
        IntegrityError: a needed wheel or a patch changed since it was planned.
        StorageError: the disk is full.
    """
    try:
        for entry in entries:
            target = folder / entry.target
            target.parent.mkdir(parents=True, exist_ok=True)
            _write(entry, target, staged, linked=linked)
            if target.exists():
                target.chmod(MODE)
    except OSError as error:
        raise storage_error(error, folder) from error


def _write(entry: Entry, target: Path, staged: Mapping[str, Path] | None, *, linked: bool) -> None:
    if entry.origin == "text":
        target.write_text(entry.text, encoding="utf-8")
    elif entry.origin == "path" and entry.path is not None:
        shutil.copyfile(entry.path, target)
        if f"sha256:{sha256_of(target)}" != entry.digest:
            raise IntegrityError(
                f"{entry.path} is no longer what was planned with ({entry.digest})",
                hint="run it again",
            )
    elif staged is not None and linked:
        link(staged[entry.digest], target)
    elif staged is not None:
        shutil.copyfile(staged[entry.digest], target)


def link(source: Path, target: Path) -> None:
    """Hard-link, or copy where the store is on another file system."""
    try:
        os.link(source, target)
    except FileExistsError:
        raise  # a copy would be written into what is linked there: a file of the store
    except OSError:
        shutil.copyfile(source, target)
