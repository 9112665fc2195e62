"""What can be removed, how much that frees, and removing it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from farm.engine import private
from farm.errors import StorageError
from farm.host.files import freed_bytes
from farm.host.in_use import LOCK_NAME, alone
from farm.load.folders import is_marked
from farm.load.limits import cache_limit
from farm.run.runs import list_runs
from farm.store.record import read_record
from farm.store.results import STATE
from farm.upkeep import images
from farm.upkeep.oldest import beyond
from farm.upkeep.removing import remove

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path


class Target(StrEnum):
    """What `clean` removes; each is an option of the verb."""

    RUNS = "runs"
    RESULTS = "results"
    KEPT = "kept"
    REPRODUCED = "reproduced"
    STORE = "store"
    BASES = "bases"
    ENGINE = "engine"
    TEMPORARY = "tmp"
    IMAGES = "images"
    OLDEST = "oldest"


IN_CACHE = (
    *(Target.KEPT, Target.REPRODUCED, Target.STORE, Target.BASES, Target.ENGINE),
    Target.TEMPORARY,
)
"""Everything that farm puts into its cache folder, each in a folder of that name."""

_MEANINGS = {
    Target.RUNS: "runs but the last: their logs and failed builds",
    Target.RESULTS: "results: wheels, logs and records",
    Target.KEPT: "kept results, also of earlier inputs; those in out/ stay",
    Target.REPRODUCED: "what was built from bundles, with its logs",
    Target.STORE: "fetched sources and build requirements",
    Target.BASES: "bootstrapped bases",
    Target.ENGINE: "the private engine: its tools, images and build caches",
    Target.TEMPORARY: "temporary files",
    Target.IMAGES: "bases that were loaded into your Docker",
    Target.OLDEST: "sources, bases and results beyond the limit, used longest ago",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Removable:
    """One kind of thing that can be removed.

    ``paths`` are files and folders, ``images`` names on the user's Docker;
    ``frees_bytes`` is what their removal gives back.
    """

    target: Target
    meaning: str
    frees_bytes: int
    paths: tuple[Path, ...] = ()
    images: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many things."""
        return len(self.paths) + len(self.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Where is cleaned; ``out`` is None outside of a project."""

    cache: Path
    out: Path | None = None


def survey(grounds: Grounds, targets: Collection[Target]) -> list[Removable]:
    """Measure what could be removed, in the order of `Target`; nothing is changed."""
    return [_removable(grounds, target) for target in Target if target in targets]


def clean(grounds: Grounds, targets: Collection[Target]) -> list[Removable]:
    """Remove these; returns what was removed.

    Raises:
        StorageError: another farm is at work, a folder is not farm's, or
            something cannot be deleted.
        EngineError: the user's Docker does not let its images go.
    """
    _check_cache(grounds.cache, targets)
    _check_out(grounds.out, targets)
    held = [grounds.cache] if set(targets) & {*IN_CACHE, Target.IMAGES, Target.OLDEST} else []
    if grounds.out is not None and {Target.RUNS, Target.RESULTS} & set(targets):
        held.append(grounds.out / STATE)
    with alone(*held, purpose="cleaned"):
        found = survey(grounds, targets)
        for each in found:
            _remove(grounds, each)
        if set(IN_CACHE) <= set(targets):
            _leave_nothing(grounds.cache)
    return found


def keep_within_limit(cache: Path) -> int:
    """Let go what was used longest ago, where the cache folder takes more than it may.

    While another farm is at work with it nothing is done: the last to end does it.

    Returns:
        Bytes that became free.
    """
    try:
        return sum(each.frees_bytes for each in clean(Grounds(cache=cache), [Target.OLDEST]))
    except StorageError:
        return 0


def _removable(grounds: Grounds, target: Target) -> Removable:
    meaning = _MEANINGS[target]
    if target is Target.ENGINE and private.put_aside(grounds.cache):
        meaning += f", and what it could not start with ({private.ASIDE}…)"
    paths = tuple(_paths(grounds, target))
    loaded = images.loaded_bases() if target is Target.IMAGES else {}
    return Removable(
        target=target,
        meaning=meaning,
        frees_bytes=freed_bytes(paths) + sum(loaded.values()),
        paths=paths,
        images=tuple(loaded),
    )


def _paths(grounds: Grounds, target: Target) -> Iterator[Path]:
    if target in IN_CACHE:
        path = grounds.cache / target.value
        if path.exists() or path.is_symlink():
            yield path
    elif target is Target.OLDEST:
        yield from beyond(grounds.cache, cache_limit(grounds.cache).files_bytes)
    elif grounds.out is None or grounds.out.is_symlink():
        return
    elif target is Target.RUNS:
        yield from (run.folder for run in list_runs(grounds.out)[1:])
    elif target is Target.RESULTS:
        yield from _results(grounds.out)


def _results(out: Path) -> Iterator[Path]:
    """Folders that hold a record: whatever else lies in ``out/`` is not farm's."""
    for record in sorted(out.glob("*/*/record.json")):
        folder = record.parent
        linked = any(path.is_symlink() for path in (record, folder, folder.parent))
        if not linked and read_record(folder) is not None:
            yield folder


def _remove(grounds: Grounds, found: Removable) -> None:
    images.remove(found.images)
    if found.target is Target.ENGINE and found.paths:
        private.stop(grounds.cache)
    in_cache = found.target in {*IN_CACHE, Target.OLDEST}
    within = grounds.cache if in_cache else grounds.out
    for path in found.paths:
        if within is not None:
            remove(path, within=within)
    if found.target is Target.RESULTS:
        for parent in {path.parent for path in found.paths}:
            if not any(parent.iterdir()):
                parent.rmdir()


def _check_cache(cache: Path, targets: Collection[Target]) -> None:
    """Refuse to delete in a folder that farm has not made, whatever the variable says."""
    if set(targets) & {*IN_CACHE, Target.OLDEST} and cache.exists() and not is_marked(cache):
        raise StorageError(
            f"{cache} was not made by farm: it has no CACHEDIR.TAG; nothing is deleted there",
            hint="check FARM_CACHE_DIR",
        )


def _check_out(out: Path | None, targets: Collection[Target]) -> None:
    if out is not None and out.is_symlink() and {Target.RUNS, Target.RESULTS} & set(targets):
        raise StorageError(
            f"{out} is a link, which is not followed: nothing is deleted",
            hint=f"name the folder itself: --output-dir {out.resolve()}",
        )


def _leave_nothing(cache: Path) -> None:
    """Remove the folder itself, unless there is something in it that is not farm's."""
    if cache.is_dir() and {path.name for path in cache.iterdir()} <= {LOCK_NAME, "CACHEDIR.TAG"}:
        for name in (LOCK_NAME, "CACHEDIR.TAG"):
            (cache / name).unlink(missing_ok=True)
        cache.rmdir()
