"""What bringing inputs needs: the store, the places, and the clients, made when first used."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from farm.errors import FetchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from farm.events import Sink
    from farm.source.fetch import Fetcher
    from farm.source.index import Listed, PackageIndex
    from farm.source.mirror import Mirror
    from farm.store.blobs import Store


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


@dataclass(eq=False, kw_only=True)
class Job:
    """Brings inputs into one store; any number of threads may share it.

    Setting ``cancel`` ends what is under way within a second; what has come is kept.
    """

    store: Store
    sink: Sink
    places: Places = field(default_factory=Places)
    cancel: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _index: PackageIndex | None = None
    _fetcher: Fetcher | None = None

    def __post_init__(self) -> None:
        """Remove what killed farms left in the store."""
        if not self.places.offline:
            self.store.sweep()

    @property
    def index(self) -> PackageIndex:
        """The package index; loading its client takes a moment."""
        with self._lock:
            if self._index is None:
                from farm.source.index import PackageIndex

                self._index = PackageIndex()
            return self._index

    @property
    def fetcher(self) -> Fetcher:
        """What downloads; loading its client takes a moment."""
        with self._lock:
            if self._fetcher is None:
                from farm.source.fetch import Fetcher

                self._fetcher = Fetcher(store=self.store, sink=self.sink, cancel=self.cancel)
            return self._fetcher

    def fetch(self, *urls: str, sha256: str, task: str, size: int | None) -> None:
        """Download a file from the first place that gives it; raises like `Input.bring`."""
        from farm.source.fetch import Download

        self.fetcher.fetch_first(
            [Download(url=url, sha256=sha256, task=task, size=size) for url in urls]
        )

    def fetch_listed(self, file: Listed) -> None:
        """Download a file of the index; raises like `Input.bring`."""
        self.fetch(file.url, sha256=file.sha256, task=file.filename, size=file.size)


def absent(what: str) -> FetchError:
    """The error where something would have to be fetched, and must not be."""
    return FetchError(
        f"{what}: not in the store, and fetching is switched off",
        hint="run it once without --offline, or name a folder that has it with --source-mirror",
    )


@contextmanager
def programs_needed() -> Iterator[None]:
    """Turn a program that is not installed into a FetchError."""
    from farm.host.programs import MissingProgramError

    try:
        yield
    except MissingProgramError as error:
        raise FetchError(
            f"the program {str(error)!r} is needed and was not found on PATH",
            hint=f"install {error} with your system's package manager",
        ) from None
