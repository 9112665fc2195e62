"""Locks of bases: what apt would install today for each set of packages, written down."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.debian.bases import current
from farm.host.files import write_whole
from farm.load.baselocks import described, format_base_lock, of_this_machine, parse_base_lock
from farm.model.unit import RootfsBase

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farm.events import Sink
    from farm.load.baselocks import Sets
    from farm.load.project import Project
    from farm.model.unit import Unit


def bases_of(units: Iterable[Unit]) -> tuple[RootfsBase, ...]:
    """What units are built on and tried in, each once; images are pinned by themselves."""
    found = (
        base
        for unit in units
        for base in (unit.base, unit.smoke_test.base if unit.smoke_test else None)
        if isinstance(base, RootfsBase)
    )
    return tuple(dict.fromkeys(found))


def lock_bases(
    bases: Iterable[RootfsBase], project: Project, cache: Path, sink: Sink, *, renew: bool
) -> Iterator[Path]:
    """Write the project's locks of these bases; yields the files that were written.

    With ``renew`` a lock holds these sets, and of others only those of other
    architectures; else those that are in no lock are added.

    Raises:
        BaseError: A package does not exist.
        EngineError: apt, a mirror or Debian's keys are missing.
        FetchError: The mirror cannot be reached.
        RecipeError: A lock to be added to cannot be read.
        StorageError: The disk is full.
    """
    asked = [base for base in bases if renew or base.locked is None]
    for name in sorted({base.name for base in asked}):
        path = project.root / "recipes" / "bases" / f"{name}.lock"
        old: Sets = {}
        if path.exists():
            old = parse_base_lock(path.read_text(encoding="utf-8"), project.display(path))
        sets = {k: v for k, v in old.items() if not (renew and of_this_machine(v[0]))}
        for base in asked:
            if base.name == name and base.key not in sets:
                found = (described(base), current(base, cache, sink))
                # What is as it was keeps its date, so that nothing differs.
                sets[base.key] = old[base.key] if old.get(base.key) == found else found
        write_whole(path, format_base_lock(sets))
        yield path
