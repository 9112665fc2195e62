"""Locks between processes: the kernel's, so that they end with their process."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farm.errors import CancelledError
from farm.events import Notice
from farm.host.files import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.events import Sink
    from farm.host.programs import Cancel

LOCK_ALONE = fcntl.LOCK_EX
LOCK_SHARED = fcntl.LOCK_SH
_POLL_S = 0.05


@contextmanager
def holding(
    file: Path,
    kind: int = LOCK_ALONE,
    *,
    cancel: Cancel | None = None,
    sink: Sink | None = None,
    what: str = "",
) -> Iterator[int]:
    """Hold a lock file among all processes and threads; yields its descriptor.

    ``sink`` is told once where another farm has it, which is then busy with ``what``.

    Raises:
        CancelledError: ``cancel`` was set while waiting.
        StorageError: The lock file cannot be made.
    """
    while (descriptor := take(file, kind)) is None:
        if cancel is not None and cancel.is_set():
            raise CancelledError("cancelled while another farm was busy with it")
        if sink is not None:
            sink(Notice(text=f"another farm is busy with {what}: waiting for it"))
        sink = None
        time.sleep(_POLL_S)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def take(file: Path, kind: int) -> int | None:
    """A descriptor that holds the lock (``LOCK_SHARED`` or ``LOCK_ALONE``), None if it is taken.

    It is on the file that has the name now: one that was removed meanwhile locks nobody out.

    Raises:
        StorageError: The lock file cannot be made.
    """
    while True:
        with storage_errors(file):
            file.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            try:
                descriptor = os.open(file, flags, 0o644)
            except FileNotFoundError:  # the folder went between these two
                continue
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(descriptor), file.stat()):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            return None
        except FileNotFoundError:
            pass
        os.close(descriptor)


@contextmanager
def take_alone(file: Path) -> Iterator[bool]:
    """Hold a lock file for a moment if nobody else has it; yields whether that is so."""
    descriptor = take(file, LOCK_ALONE)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            os.close(descriptor)


def remove_unheld(folder: Path, lock: Path) -> None:
    """Remove a folder and its lock, unless somebody holds that."""
    with take_alone(lock) as free:
        if free:
            shutil.rmtree(folder, ignore_errors=True)
            lock.unlink(missing_ok=True)
