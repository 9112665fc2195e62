"""Removing a folder without ever leaving its parent."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from farm.errors import StorageError
from farm.upkeep.machine import mounts

if TYPE_CHECKING:
    from pathlib import Path


def remove(path: Path, *, within: Path) -> None:
    """Delete a file, a link or a folder that lies below ``within``; absent is fine.

    Raises:
        StorageError: it lies elsewhere (perhaps through a link), is a link to a
            folder, something is mounted below it, or it cannot be deleted.
    """
    if not os.path.lexists(path):
        return
    _check_inside(path, within)
    try:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    except OSError as error:
        raise StorageError(
            f"cannot delete {error.filename or path}: {error.strerror or error}",
            hint="check its rights; what was deleted so far is gone",
        ) from error


def _check_inside(path: Path, within: Path) -> None:
    real = path.parent.resolve() / path.name
    if not real.is_relative_to(within.resolve()) or real == within.resolve():
        raise StorageError(f"{path} does not lie in {within}: not deleted")
    if path.is_symlink() and path.is_dir():
        raise StorageError(
            f"{path} is a link to {path.resolve()}, which is not followed",
            hint="delete what it leads to, and the link, by hand",
        )
    below = [point for point in mounts() if point.is_relative_to(real)]
    if below:
        raise StorageError(
            f"something is mounted at {below[0]}: {path} is not deleted",
            hint=f"umount {below[0]}",
        )
