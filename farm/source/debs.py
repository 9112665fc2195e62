"""Debian packages, brought by hash: from the mirror, else from the snapshot archive."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from farm.debian import archive, bases, toolbox
from farm.errors import BaseError
from farm.events import TaskProgress
from farm.source.fetch import Download, GoneError

if TYPE_CHECKING:
    from pathlib import Path

    from farm.debian.bases import BaseImage
    from farm.events import Event, Sink
    from farm.model.debian import Deb, ResolvedBase, RootfsBase
    from farm.source.fetch import Fetcher

_AT_ONCE = 8


def base_image(
    base: RootfsBase, fetcher: Fetcher, cache: Path, *, offline: bool = False, locked: bool = False
) -> BaseImage:
    """Return a base, made if it is not there.

    Where its locked packages can no longer be had, it is made of what there is
    now, unless ``locked`` forbids it.

    Raises:
        LockError, BaseError, EngineError, FetchError, IntegrityError, StorageError,
        CancelledError: As `farm.debian.bases` and `fetch_debs`.
    """

    def resolve() -> ResolvedBase:
        return bases.resolve(
            *(base, cache, fetcher.sink, fetcher.cancel), offline=offline, locked=locked
        )

    resolved = bases.known(base, cache, locked=locked) or resolve()
    image = bases.made(resolved, cache)
    if image:
        return image
    try:
        debs = fetch_debs(resolved, fetcher, cache, offline=offline)
    except GoneError:
        resolved = resolve()
        debs = fetch_debs(resolved, fetcher, cache, offline=offline)
    return bases.make(resolved, debs, cache, fetcher.sink, fetcher.cancel, offline=offline)


def fetch_debs(
    resolved: ResolvedBase, fetcher: Fetcher, cache: Path, *, offline: bool = False
) -> dict[str, Path]:
    """Bring the packages of a base into the store; maps each sha256 to its file.

    Raises:
        BaseError: ``offline``, and some are not there.
        GoneError: The mirror no longer has one, nor has the snapshot archive.
        FetchError: The network does not give one.
        IntegrityError: What came is not what the hash says.
        StorageError: The disk is full.
        CancelledError: What has come is kept.
    """
    store = fetcher.store
    absent = [deb for deb in resolved.debs if store.get(deb.sha256) is None]
    if absent and offline:
        raise BaseError(
            f"{len(absent)} packages of {resolved.tag} are not in the store, "
            "and --offline forbids to fetch them",
            hint="build or fetch once without --offline",
        )
    if absent:
        snapshots = _snapshots(cache)
        date = resolved.packages.date
        wanted = [(deb, archive.urls_of(deb, date, snapshots)) for deb in absent]
        task = f"fetch the packages of {resolved.tag}"
        counted = _Counted(sink=fetcher.sink, task=task, total=sum(d.size for d in absent))
        settings = replace(fetcher.settings, proxies=tuple(archive.proxies().items()))
        _all(wanted, replace(fetcher, sink=_quiet, settings=settings), counted)
    return {deb.sha256: store.path_of(deb.sha256) for deb in resolved.debs}


def _snapshots(cache: Path) -> str:
    """The snapshot archive that this machine's apt knows, or the toolbox's, which is newer."""
    tools = toolbox.existing(cache)
    found = archive.snapshots()
    return found or (archive.snapshots(tools.on_host("usr/bin/apt-config")) if tools else "")


def _all(wanted: list[tuple[Deb, tuple[str, ...]]], fetcher: Fetcher, counted: _Counted) -> None:
    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        tasks = [pool.submit(_one, deb, urls, fetcher, counted) for deb, urls in wanted]
        for task in tasks:
            task.result()
    finally:
        pool.shutdown(cancel_futures=True)
        counted.add(0, finished=True)


def _one(deb: Deb, urls: tuple[str, ...], fetcher: Fetcher, counted: _Counted) -> None:
    name = f"{deb.name} {deb.version}"
    fetcher.fetch_first(
        [Download(url=url, sha256=deb.sha256, task=name, size=deb.size) for url in urls]
    )
    counted.add(deb.size)


@dataclass(kw_only=True)
class _Counted:
    """One progress for many files."""

    sink: Sink
    task: str
    total: int
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, size: int, *, finished: bool = False) -> None:
        with self.lock:
            self.done += size
            self.sink(
                TaskProgress(task=self.task, done=self.done, total=self.total, finished=finished)
            )


def _quiet(event: Event, /) -> None:
    del event
