"""Renew lock files: what each unit's source asks for, resolved and pinned."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.events import Notice
from farm.host.files import write_whole
from farm.load.locks import format_lock
from farm.resolve.cratelocks import crate_locks
from farm.resolve.sdist import build_requires_of, run_requires_of
from farm.source.inputs import input_of_source
from farm.source.stage import stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farm.events import Sink
    from farm.load.project import Project
    from farm.model.unit import Unit
    from farm.resolve.lock import Resolver
    from farm.store.blobs import Store


def relock(
    units: Iterable[Unit], project: Project, store: Store, sink: Sink, *, index: str | None = None
) -> list[Path]:
    """Write a lock file for each unit into the project; returns those written.

    Units that differ only in architectures share one.  A unit whose recipe
    says that the package index cannot lock it is passed over with a notice,
    unless ``index`` names another one, which is then asked instead of the
    machine's for everything.  Crates are pinned as the sources' Cargo.lock say.

    Raises:
        FetchError, IntegrityError: a source or the index cannot be had.
        LockError: requirements that cannot be resolved or have no wheel, or crates that
            cannot be staged.
        StorageError: a file cannot be written.
    """
    resolver = _resolver(store, index)
    written: dict[Path, None] = {}
    for unit in units:
        for path, text in crate_locks(unit, project, store, sink, done=written):
            write_whole(path, text)
            written[path] = None
        path = lock_path(unit, project)
        if path in written:
            continue
        if unit.unlocked and index is None:
            sink(Notice(text=f"{unit.label} is not locked: {unit.unlocked}", unit=unit.label))
            continue
        for each, text in _locks(unit, project, resolver, sink):
            write_whole(each, text)
            written[each] = None
    return list(written)


def lock_path(unit: Unit, project: Project) -> Path:
    """Where the project keeps a unit's lock."""
    folder = project.root / "recipes" / "locks" / unit.key.package / unit.key.version
    return folder / f"{unit.lock_stem}.txt"


def _resolver(store: Store, index: str | None) -> Resolver:
    from farm.host.network import NetworkSettings
    from farm.resolve.lock import Resolver

    settings = NetworkSettings.of_machine()
    if index is not None:
        settings = replace(settings, index_url=index)
    return Resolver(store=store, settings=settings)


def _locks(
    unit: Unit, project: Project, resolver: Resolver, sink: Sink
) -> Iterator[tuple[Path, str]]:
    """What the build installs, and what the smoke test does, as the texts of their files."""
    wanted = input_of_source(unit.source, unit.key)
    source = resolver.store.path_of(stage([wanted], resolver.store, sink)[wanted])
    build = resolver.lock(unit.lock_inputs, build_requires_of(source))
    yield lock_path(unit, project), format_lock(build)
    if unit.smoke_test:
        lock = resolver.lock(unit.smoke_test.lock_inputs, run_requires_of(source))
        path = lock_path(unit, project).with_name(f"{unit.smoke_test.lock_stem}.txt")
        yield path, format_lock(lock, what="What the smoke test installs beside the wheel")
