"""Where sources may come from, and where they are kept besides the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import FetchError

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from farm.events import Sink
    from farm.source.mirror import Mirror


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """``mirror`` is asked before the network, which ``offline`` forbids; ``keep`` is filled.

    ``cargo`` brings a cargo where PATH has none that runs; it returns the program.
    ``snapshots`` says where Debian's snapshot archive is; see `farm.debian.archive.snapshots`.
    """

    offline: bool = False
    mirror: Mirror | None = None
    keep: Mirror | None = None
    cargo: Callable[[Sink, threading.Event], Path] | None = None
    snapshots: Callable[[], str] = str


def absent(what: str) -> FetchError:
    """The error where something would have to be fetched, and must not be."""
    return FetchError(
        f"{what}: not in the store, and fetching is switched off",
        hint="run it once without --offline, or name a folder that has it with --source-mirror",
    )
