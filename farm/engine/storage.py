"""Where an engine keeps images, layers and caches, and what it means that its disk is full."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from farm.engine import daemon_api
from farm.errors import StorageError
from farm.host.files import room_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.engine.endpoint import Endpoint


def folder_of(endpoint: Endpoint) -> Path | None:
    """The folder, on this machine; None of an engine elsewhere, or that does not say it."""
    if endpoint.data is not None or not endpoint.is_here:
        return endpoint.data
    with suppress(OSError, LookupError, TypeError):
        told = Path(daemon_api.get_json(endpoint.socket, "/info")["DockerRootDir"])
        return told if told.is_dir() else None
    return None


def no_space(
    engine: str,
    folder: Path | None,
    *,
    what: str = "",
    step: str = "",
    details: Iterable[str] = (),
) -> StorageError:
    """The error for an engine whose disk is full; ``what`` is what did not fit."""
    disk = f"{folder}{room_text(folder)}" if folder else "on its host"
    return StorageError(
        f"no space left on the disk of the engine {engine}, {disk}{what and f': {what}'}",
        hint="make room there ('farm clean --oldest', 'docker builder prune' in a Docker of your "
        "own) or set FARM_CACHE_DIR to a folder on a larger disk, and build again: it goes on",
        details=tuple(details),
        step=step,
    )
