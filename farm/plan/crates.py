"""Which crates a unit is built from, and whether they are locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.load.crates import crates_digest
from farm.model.crates import CrateSet
from farm.plan.settings import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from farm.model.crates import CrateLock
    from farm.model.key import UnitKey
    from farm.model.recipe import CargoLock
    from farm.model.unit import Source
    from farm.plan.settings import Path, PlacedLayer


def crate_sets(
    layers: tuple[PlacedLayer, ...],
    key: UnitKey,
    sources: tuple[Source, ...],
    holder: Callable[[Path, str | None], str],
    locks: Mapping[tuple[str, ...], CrateLock],
) -> Iterator[CrateSet]:
    """One set for each Cargo.lock that the layers name, each once.

    ``holder`` names the source that one means; ``locks`` are those of the library.
    """
    digests = {source.name: source.digest for source in sources}
    seen: set[tuple[str, str]] = set()
    wanted: CargoLock
    for path, wanted in joined(layers, "crates"):
        name = holder(path, wanted.of)
        if name not in digests or (name, wanted.lock) in seen:
            continue
        seen.add((name, wanted.lock))
        yield CrateSet(
            source=name,
            file=wanted.lock,
            inputs=crates_digest(digests[name], wanted.lock),
            lock=locks.get((key.package, key.version, name, wanted.lock)),
        )


def crates_problem(sets: tuple[CrateSet, ...]) -> str:
    """Why a unit's crates are not locked; empty if they are."""
    for each in sets:
        where = f"the crates of {each.file} of {each.source}"
        if each.lock is None:
            return f"{where} are not locked"
        if each.lock.inputs != each.inputs:
            return f"{where} were locked from another source than the recipe now names"
    return ""
