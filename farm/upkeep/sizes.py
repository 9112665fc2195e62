"""How much a folder takes, and removing it without ever leaving its parent."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from typing import TYPE_CHECKING

from farm.errors import StorageError
from farm.upkeep.machine import mounts_of_process

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_BLOCK_BYTES = 512
"""The unit of ``st_blocks`` (stat(2)), whatever the file system's own is."""


def freed_bytes(paths: Iterable[Path]) -> int:
    """Return what deleting these would free on disk.

    A file that has a further name elsewhere (a context is made of hard links
    into the store) frees nothing.  Links are not followed; what vanishes
    meanwhile counts nothing.
    """
    names: dict[tuple[int, int], int] = {}
    total = 0
    for facts in _files(paths):
        key = (facts.st_dev, facts.st_ino)
        names[key] = names.get(key, 0) + 1
        if names[key] == facts.st_nlink:
            total += facts.st_blocks * _BLOCK_BYTES
    return total


def _files(paths: Iterable[Path]) -> Iterator[os.stat_result]:
    for path in paths:
        if path.is_symlink() or not path.is_dir():
            with suppress(OSError):
                yield path.lstat()
            continue
        for folder, _, names in os.walk(path):
            for name in names:
                with suppress(OSError):
                    yield os.lstat(os.path.join(folder, name))  # noqa: PTH118 - 10⁵ files


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
    below = [m.point for m in mounts_of_process() if m.point.is_relative_to(real)]
    if below:
        raise StorageError(
            f"something is mounted at {below[0]}: {path} is not deleted",
            hint=f"umount {below[0]}",
        )
