"""Renew the locks of crates: what the Cargo.lock of each source pins."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import LockError
from farm.load.crates import format_crates, lock_parts
from farm.model.crates import CrateLock
from farm.resolve.cargolock import MAX_BYTES, crates_of
from farm.resolve.sdist import read_file
from farm.source.inputs import input_of_source
from farm.source.stage import stage

if TYPE_CHECKING:
    from collections.abc import Container, Iterator
    from pathlib import Path

    from farm.events import Sink
    from farm.load.project import Project
    from farm.model.crates import CrateSet
    from farm.model.unit import Unit
    from farm.store.blobs import Store


def crate_locks(
    unit: Unit, project: Project, store: Store, sink: Sink, *, done: Container[Path]
) -> Iterator[tuple[Path, str]]:
    """Path and text of the lock of each Cargo.lock that a unit's crates come from.

    Units of one version share these: what is ``done`` is left out.

    Raises:
        FetchError, IntegrityError: the source cannot be had.
        LockError: it has no such Cargo.lock, or one whose crates cannot be staged.
    """
    folder = project.root / "recipes" / "locks" / unit.key.package / unit.key.version
    for crates in unit.crates:
        path = folder.joinpath(*lock_parts(crates.source, crates.file))
        if path not in done:
            yield path, _text(crates, unit, store, sink)


def _text(crates: CrateSet, unit: Unit, store: Store, sink: Sink) -> str:
    source = next(s for s in (unit.source, *unit.sources) if s.name == crates.source)
    wanted = input_of_source(source, unit.key)
    archive = store.path_of(stage([wanted], store, sink)[wanted])
    where = f"{crates.file} of {crates.source} ({source.filename})"
    content = read_file(archive, crates.file, limit=MAX_BYTES)
    if content is None:
        raise LockError(
            f"there is no {where}", hint="say where the source has its Cargo.lock in crates.lock"
        )
    return format_crates(CrateLock(inputs=crates.inputs, crates=crates_of(content, where)))
