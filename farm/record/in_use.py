"""Who uses a folder: builds share it, cleaning needs it alone.

The kernel releases the lock of a process that ends, however it ends, so nothing
stale is ever left behind.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from farm.errors import StorageError
from farm.record.results import storage_error

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME = ".in-use"
_POLL_S = 0.1


@contextmanager
def in_use(*folders: Path) -> Iterator[None]:
    """Hold folders (made if need be) while a run uses them; any number of farms may at once.

    Waits while somebody cleans them.

    Raises:
        StorageError: a folder cannot be written.
    """
    with ExitStack() as stack:
        for folder in folders:
            stack.callback(os.close, _taken(folder, fcntl.LOCK_SH))
        yield


@contextmanager
def alone(*folders: Path, purpose: str) -> Iterator[None]:
    """Hold folders so that no other farm uses them meanwhile; absent ones are passed over.

    Raises:
        StorageError: another farm uses one of them right now.
    """
    with ExitStack() as stack:
        for folder in folders:
            if folder.is_dir():
                try:
                    stack.callback(os.close, _taken(folder, fcntl.LOCK_EX, wait=False))
                except BlockingIOError as error:
                    raise StorageError(
                        f"another farm is building with {folder} right now: not {purpose}",
                        hint="wait until it is done, or end it, and try again",
                    ) from error
        yield


def is_used(folder: Path) -> bool:
    """Whether a farm uses the folder right now."""
    if not (folder / LOCK_NAME).exists():
        return False
    try:
        with alone(folder, purpose="looked at"):
            return False
    except StorageError:
        return True


def _taken(folder: Path, kind: int, *, wait: bool = True) -> int:
    """Return a descriptor that holds the lock, on the file that has the name now.

    Raises:
        BlockingIOError: somebody else has it, and ``wait`` is not asked for.
        StorageError: the folder cannot be written.
    """
    path = folder / LOCK_NAME
    while True:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        except OSError as error:
            raise storage_error(error, path) from error
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
            if _is_current(fd, path):
                return fd
            os.close(fd)  # cleaning has removed it meanwhile
        except BlockingIOError:
            os.close(fd)
            if not wait:
                raise
            time.sleep(_POLL_S)


def _is_current(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False
