"""What of the cache folder was used longest ago, beyond what that folder may take.

Builds say what they use: `farm.store.blobs` by a file's access time, results and bases by
their folder's time of change.  The private engine lets its own build cache go
(`farm.engine.namespaces.daemon_config`), never what a running build uses.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.host.files import freed_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DOWN_TO = 0.9
"""Of the limit: so that not each build has something to let go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One thing that can be made or brought again; ``used_s`` is when it was used last."""

    path: Path
    used_s: float
    size_bytes: int


def kept(cache: Path) -> list[Kept]:
    """Sources, bases, results and what was reproduced, the longest unused first."""
    return sorted(_kept(cache), key=lambda each: each.used_s)


def beyond(cache: Path, limit_bytes: int) -> tuple[Path, ...]:
    """What must go so that the rest takes nine tenths of the limit; nothing within the limit."""
    found = kept(cache)
    excess = sum(each.size_bytes for each in found)
    if excess <= limit_bytes:
        return ()
    excess -= int(limit_bytes * _DOWN_TO)
    gone = []
    for each in found:
        if excess <= 0:
            break
        excess -= each.size_bytes
        gone.append(each.path)
    return tuple(gone)


def _kept(cache: Path) -> Iterator[Kept]:
    for path in (cache / "store/sha256").glob("*/*"):
        with suppress(OSError):
            facts = path.lstat()
            yield Kept(path=path, used_s=facts.st_atime, size_bytes=facts.st_blocks * 512)
    folders = [path.parent for path in (cache / "kept").glob("*/*/*/record.json")]
    folders += [path.parent for path in (cache / "bases").glob("*/base.json")]
    folders += [path for path in (cache / "reproduced").glob("*") if path.is_dir()]
    for folder in folders:
        with suppress(OSError):
            used_s = folder.stat().st_mtime
            yield Kept(path=folder, used_s=used_s, size_bytes=freed_bytes([folder]))
