"""Renew lock files: what each unit's source asks for and pins, resolved and written down."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import LockError
from farm.events import Notice
from farm.host.files import write_whole
from farm.load.crates import format_crates, lock_parts
from farm.load.locks import format_lock
from farm.model.crates import CrateLock
from farm.resolve.cargolock import MAX_BYTES, crates_of
from farm.resolve.sdist import build_requires_of, read_file, run_requires_of
from farm.source.inputs import input_of_source
from farm.source.stage import stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farm.events import Sink
    from farm.load.project import Project
    from farm.model.crates import CrateSet
    from farm.model.unit import Source, Unit
    from farm.resolve.lock import Resolver
    from farm.store.blobs import Store


def relock(
    units: Iterable[Unit], project: Project, store: Store, sink: Sink, *, index: str | None = None
) -> list[Path]:
    """Write a lock file for each unit into the project; returns those written.

    Units that differ only in architectures share one, units of one version those of
    crates, which are pinned as the sources' Cargo.lock say.  A unit whose recipe
    says that the package index cannot lock it is passed over with a notice,
    unless ``index`` names another one, which is then asked instead of the
    machine's for everything.

    Raises:
        FetchError, IntegrityError: a source or the index cannot be had.
        LockError: requirements that cannot be resolved or have no wheel, a source without
            the Cargo.lock that its recipe names, or crates that cannot be staged.
        StorageError: a file cannot be written.
    """
    resolver = _resolver(store, index)
    written: dict[Path, None] = {}

    def write(path: Path, text: str) -> None:
        write_whole(path, text)
        written[path] = None

    for unit in units:
        folder = _folder(unit, project)
        for crates in unit.crates:
            path = folder.joinpath(*lock_parts(crates.source, crates.file))
            if path not in written:
                write(path, _crates(crates, unit, store, sink))
        if lock_path(unit, project) in written:
            continue
        if unit.unlocked and index is None:
            sink(Notice(text=f"{unit.label} is not locked: {unit.unlocked}", unit=unit.label))
            continue
        for stem, text in _requirements(unit, resolver, sink):
            write(folder / f"{stem}.txt", text)
    return list(written)


def lock_path(unit: Unit, project: Project) -> Path:
    """Where the project keeps a unit's lock."""
    return _folder(unit, project) / f"{unit.lock_stem}.txt"


def _folder(unit: Unit, project: Project) -> Path:
    return project.root / "recipes" / "locks" / unit.key.package / unit.key.version


def _resolver(store: Store, index: str | None) -> Resolver:
    from farm.host.network import NetworkSettings
    from farm.resolve.lock import Resolver

    settings = NetworkSettings.of_machine()
    if index is not None:
        settings = replace(settings, index_url=index)
    return Resolver(store=store, settings=settings)


def _archive(source: Source, unit: Unit, store: Store, sink: Sink) -> Path:
    wanted = input_of_source(source, unit.key)
    return store.path_of(stage([wanted], store, sink)[wanted])


def _requirements(unit: Unit, resolver: Resolver, sink: Sink) -> Iterator[tuple[str, str]]:
    """What the build installs, and what the smoke test does, as names and texts of their files."""
    source = _archive(unit.source, unit, resolver.store, sink)
    build = resolver.lock(unit.lock_inputs, build_requires_of(source))
    yield unit.lock_stem, format_lock(build)
    if unit.smoke_test:
        lock = resolver.lock(unit.smoke_test.lock_inputs, run_requires_of(source))
        what = "What the smoke test installs beside the wheel"
        yield unit.smoke_test.lock_stem, format_lock(lock, what=what)


def _crates(crates: CrateSet, unit: Unit, store: Store, sink: Sink) -> str:
    """The text of the lock of one Cargo.lock."""
    source = next(s for s in (unit.source, *unit.sources) if s.name == crates.source)
    where = f"{crates.file} of {crates.source} ({source.filename})"
    content = read_file(_archive(source, unit, store, sink), crates.file, limit=MAX_BYTES)
    if content is None:
        raise LockError(
            f"there is no {where}", hint="say where the source has its Cargo.lock in crates.lock"
        )
    return format_crates(CrateLock(inputs=crates.inputs, crates=crates_of(content, where)))
