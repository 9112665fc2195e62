"""Debian packages, brought by hash: from the mirror, else from the snapshot archive."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from farm.debian import archive, bases
from farm.events import TaskProgress
from farm.source.fetch import Download, GoneError
from farm.source.inputs import debs_of
from farm.source.stage import groups, summary

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farm.debian.bases import BaseImage
    from farm.errors import FarmError
    from farm.events import Sink
    from farm.model.debian import ResolvedBase, RootfsBase
    from farm.source.job import Job
    from farm.source.kinds import DebFile, Input
    from farm.store.blobs import Store

_AT_ONCE = 8


def base_image(base: RootfsBase, job: Job, cache: Path, *, locked: bool = False) -> BaseImage:
    """Return a base, made if it is not there.

    Raises:
        LockError, BaseError, EngineError, FetchError, IntegrityError, StorageError,
        CancelledError: As `farm.debian.bases` and `bring_base`.
    """
    known = bases.known(base, cache, locked=locked)
    image = bases.made(known, cache) if known else None
    if image:
        return image
    resolved, debs = bring_base(base, job, cache, locked=locked)
    return bases.make(resolved, debs, cache, job.sink, job.cancel, offline=job.places.offline)


def bring_base(
    base: RootfsBase, job: Job, cache: Path, *, locked: bool = False
) -> tuple[ResolvedBase, dict[str, Path]]:
    """Bring the packages of a base into the store; each sha256 with its file there.

    Where its locked packages can no longer be had, it is made of what there is
    now, unless ``locked`` forbids it.

    Raises:
        LockError, BaseError, EngineError: As `farm.debian.bases.resolve`.
        FetchError, IntegrityError, StorageError: Of the one that did not come, or of all.
        CancelledError: What has come is kept.
    """

    def resolve() -> ResolvedBase:
        offline = job.places.offline
        return bases.resolve(base, cache, job.sink, job.cancel, offline=offline, locked=locked)

    resolved = bases.known(base, cache, locked=locked) or resolve()
    try:
        return resolved, _bring(resolved, job)
    except GoneError:
        resolved = resolve()
        return resolved, _bring(resolved, job)


def is_here(base: RootfsBase, store: Store, cache: Path) -> bool:
    """Whether it is known what a base is made of, and the store has all of that."""
    known = bases.known(base, cache)
    return known is not None and all(each.present(store) for each in debs_of(known))


def _bring(resolved: ResolvedBase, job: Job) -> dict[str, Path]:
    """All packages of a base.

    Raises:
        GoneError: Neither the mirror nor the snapshot archive has one any longer.
    """
    failures: list[tuple[Input, FarmError]] = []
    for group in groups(debs_of(resolved)):
        failures += group.bring(job)[1]
    for _, error in failures:
        if isinstance(error, GoneError):
            raise error
    if failures:
        raise summary(failures)
    return {deb.sha256: job.store.path_of(deb.sha256) for deb in resolved.debs}


def fetch_debs(wanted: Sequence[DebFile], job: Job) -> None:
    """Bring packages of one base, several at once, told as one.

    Raises:
        GoneError, FetchError, IntegrityError, StorageError: Of one that did not come.
        CancelledError: What has come is kept.
    """
    base = wanted[0].base
    snapshots = job.places.snapshots()
    settings = replace(job.fetcher.settings, proxies=tuple(archive.proxies().items()))
    fetcher = replace(job.fetcher, sink=lambda _: None, settings=settings)
    counted = _Counted(
        sink=job.sink,
        task=f"fetch the packages of {base.tag}",
        total=sum(each.deb.size for each in wanted),
    )

    def fetch(each: DebFile) -> None:
        urls = archive.urls_of(each.deb, base.packages.date, snapshots)
        size = each.deb.size
        fetcher.fetch_first(
            [Download(url=url, sha256=each.sha256, task=each.label, size=size) for url in urls]
        )
        counted.add(size)

    pool = ThreadPoolExecutor(_AT_ONCE)
    try:
        for each in [pool.submit(fetch, each) for each in wanted]:
            each.result()
    finally:
        pool.shutdown(cancel_futures=True)
        counted.add(0, finished=True)


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
