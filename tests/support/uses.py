"""Looks at what the lock of a folder says."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.host.in_use import LOCK_NAME
from farm.host.locks import take_alone

if TYPE_CHECKING:
    from pathlib import Path


def is_used(folder: Path) -> bool:
    """Whether a farm uses the folder right now."""
    if not (folder / LOCK_NAME).exists():
        return False
    with take_alone(folder / LOCK_NAME) as free:
        return not free
