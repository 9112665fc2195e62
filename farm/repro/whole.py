"""Make a bundle whole: with all that it was too small for, and with all sources if asked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.host.files import sha256_of
from farm.host.machine import this_machine
from farm.model.unit import RootfsBase
from farm.repro.opening import resolved
from farm.repro.reproduce import completed
from farm.run.fetching import places_of
from farm.run.prerequisites import Prerequisites
from farm.run.resources import Resources
from farm.run.share import capacity_of
from farm.run.tasks import Tasks
from farm.source.debs import bring_base
from farm.source.job import Job
from farm.store.blobs import Store
from farm.store.bundle import Blob, write_bundle

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farm.repro.grounds import Setting
    from farm.repro.opening import Opened
    from farm.store.bundle import Contents, Parts


def write_whole(
    opened: Opened, target: Path, setting: Setting, *, with_sources: bool = False
) -> Contents:
    """Write an opened bundle anew, lacking nothing that nobody gives by hash.

    ``with_sources`` it holds all sources and the packages of its bases, too.

    Raises:
        FetchError: something is neither in the bundle, nor here, nor to be had.
        StorageError: the disk is full.
        FarmError: see `farm.run.prerequisites.Prerequisites.inputs`, `farm.source.debs`.
    """
    files: Mapping[str, Path] = completed(opened, setting.cache).held
    debs: dict[str, Path] = {}
    if with_sources:
        files = _inputs(opened, files, setting)
        debs = _debs(opened, setting)
    sums = {digest: sha256_of(path) for digest, path in sorted(files.items())}
    parts: Parts = {
        each.name: opened.folder / each.name
        for each in opened.contents.members
        if not each.name.startswith(("blobs/", "debs/"))
    }
    parts |= {f"blobs/{sums[digest]}": path for digest, path in files.items()}
    parts |= {f"debs/{sha256}": path for sha256, path in debs.items()}
    blobs = tuple(Blob(digest=digest, sha256=sha256) for digest, sha256 in sums.items())
    return write_bundle(target, replace(opened.contents, blobs=blobs), parts)


def _inputs(opened: Opened, held: Mapping[str, Path], setting: Setting) -> dict[str, Path]:
    """All inputs, by the digests that a context has for them."""
    capacity = capacity_of(this_machine(), setting.options)

    async def bring() -> dict[str, Path]:
        tasks = Tasks(Resources(capacity), setting.cancel)
        prerequisites = Prerequisites(
            setting.cache, setting.options, setting.sink, tasks, held=held
        )
        return await prerequisites.inputs(opened.unit)

    return asyncio.run(bring())


def _debs(opened: Opened, setting: Setting) -> dict[str, Path]:
    """The packages of its bases, by sha256."""
    cache, options = setting.cache, setting.options
    places = places_of(cache, offline=options.offline, mirror=options.source_mirror)
    store = Store(cache / "store")
    job = Job(store=store, sink=setting.sink, places=places, cancel=setting.cancel)
    test = opened.unit.smoke_test
    found: dict[str, Path] = {}
    for base in (opened.unit.base, test.base if test else None):
        if not isinstance(base, RootfsBase):
            continue
        wanted = [deb.sha256 for deb in resolved(base).debs]
        if opened.debs.keys() >= set(wanted):
            found |= {sha256: opened.debs[sha256] for sha256 in wanted}
        else:
            found |= bring_base(base, job, cache, locked=True)[1]
    return found
