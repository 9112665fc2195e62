"""Who uses a folder: builds share it, cleaning needs it alone.

The kernel releases the lock of a process that ends, however it ends, so nothing
stale is ever left behind.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from farm.errors import StorageError
from farm.host.locks import LOCK_SHARED, holding, take_alone

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOCK_NAME = ".in-use"


@contextmanager
def in_use(*folders: Path) -> Iterator[None]:
    """Hold folders (made if need be) while a run uses them; any number of farms may at once.

    Waits while somebody cleans them.

    Raises:
        StorageError: a folder cannot be written.
    """
    with ExitStack() as stack:
        for folder in folders:
            stack.enter_context(holding(folder / LOCK_NAME, LOCK_SHARED))
        yield


@contextmanager
def alone(*folders: Path, purpose: str) -> Iterator[None]:
    """Hold folders so that no other farm uses them meanwhile; absent ones are passed over.

    Raises:
        StorageError: another farm uses one of them right now.
    """
    with ExitStack() as stack:
        for folder in folders:
            if folder.is_dir() and not stack.enter_context(take_alone(folder / LOCK_NAME)):
                raise StorageError(
                    f"another farm is at work with {folder} right now: not {purpose}",
                    hint="wait until it is done, or end it, and try again",
                )
        yield
