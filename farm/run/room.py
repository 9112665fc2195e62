"""Whether a build fits on the disks that it fills, said before it starts.

The figures are what is surely needed, not what may be: a disk that fills later is told as that.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import StorageError
from farm.host.files import existing, free_bytes
from farm.run.estimates import earlier, estimate_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from farm.model.debian import ResolvedBase
    from farm.model.unit import Unit
    from farm.run.options import Workplace

UNPACKED = 3
"""How many times larger packages and sources are at least when unpacked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Bytes that something will take in a folder, which need not be there yet."""

    folder: Path
    size_bytes: int
    what: str


def require_room(who: str, needs: Iterable[Need]) -> None:
    """See that all fits, folders of one disk together.

    Raises:
        StorageError: which disk is too small, for what, and by how much.
    """
    disks: dict[int, list[Need]] = {}
    for need in needs:
        if need.size_bytes:
            disks.setdefault(os.stat(existing(need.folder)).st_dev, []).append(need)  # noqa: PTH116
    for each in disks.values():
        wanted, free = sum(need.size_bytes for need in each), free_bytes(each[0].folder)
        if wanted > free:
            parts = [f"{_mb(need.size_bytes)} for {need.what} in {need.folder}" for need in each]
            raise StorageError(
                f"{who} will not fit: it needs {_mb(wanted)}, and {_mb(free)} are free "
                f"({', '.join(parts)})",
                hint="make room ('farm clean' says what it can remove), set FARM_CACHE_DIR or "
                "--output-dir to a folder on a larger disk, or try all the same: --no-preflight",
            )


def needs_of_base(base: ResolvedBase, cache: Path, there: Iterable[str]) -> list[Need]:
    """What a base takes that is not made yet; ``there`` are digests of packages that are here."""
    size, here = sum(deb.size for deb in base.debs), set(there)
    fetched = sum(deb.size for deb in base.debs if deb.sha256 not in here)
    return [
        Need(folder=cache / "store", size_bytes=fetched, what="packages"),
        # In the making there are both the tree and the archive.
        Need(folder=cache / "bases", size_bytes=2 * UNPACKED * size, what="the base"),
    ]


def needs_of_unit(
    unit: Unit, place: Workplace, staged: Mapping[str, Path], layers: Path | None
) -> list[Need]:
    """What a build takes: its result as large as the last one, its inputs in the engine.

    Of a unit that was built before the engine may have the layers still.  ``layers`` is where
    the engine keeps them, if on this machine.
    """
    size = estimate_of(unit, place).result_bytes
    needs = [
        Need(folder=place.cache / "kept", size_bytes=size, what="its result"),
        Need(folder=place.out, size_bytes=size, what="its result"),
    ]
    if layers is not None and not earlier(unit.key, place):
        given = sum(path.stat().st_size for path in staged.values())
        unpacked = given * (1 + UNPACKED)
        needs.append(Need(folder=layers, size_bytes=unpacked, what="its sources, unpacked"))
    return needs


def _mb(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"
