"""What earlier runs left because they were killed; all of it harmless, some of it large."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from farm.engine.place import place_of
from farm.host.in_use import is_used
from farm.host.process import read_identity
from farm.run.runs import is_running, list_runs, read_summary
from farm.upkeep.checks import ok, warning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.upkeep.checks import Check, Situation

_STALE_S = 3600.0
_HALF_MADE = ("engine/*.part", "bases/*.part", "store/tmp/*")


def checks(situation: Situation) -> Iterator[Check]:
    """Look for what is left of runs and engines that were killed."""
    found = [*_engine(situation.cache), *_half_made(situation.cache)]
    if situation.out is not None:
        found += _runs(situation.out)
    yield from found or [ok("leftovers", "none")]


def _engine(cache: Path) -> Iterator[Check]:
    place = place_of(cache)
    if place.state.exists() and read_identity(place.engine_identity) is None:
        yield warning(
            "leftovers",
            "the private engine ended without being stopped (a reboot, or it was killed)",
            "farm engine down tidies up; so does its next start",
        )
    elif read_identity(place.network_identity) and not read_identity(place.engine_identity):
        yield warning(
            "leftovers", "the network of a private engine runs without it", "farm engine down"
        )


def _half_made(cache: Path) -> Iterator[Check]:
    if is_used(cache):
        return
    old = []
    for pattern in _HALF_MADE:
        for path in cache.glob(pattern):
            with suppress(OSError):
                if time.time() - path.lstat().st_mtime > _STALE_S:
                    old.append(path)
    if old:
        yield warning(
            "leftovers",
            f"{len(old)} half-made files and folders in {cache}",
            "the next build goes on from them; 'farm clean' removes them",
        )


def _runs(out: Path) -> Iterator[Check]:
    dead = [r for r in list_runs(out) if read_summary(r) is None and not is_running(r)]
    if dead:
        yield warning(
            "leftovers",
            f"{len(dead)} runs were killed before they ended, the last is {dead[0].name}",
            "their logs are there (farm logs); 'farm clean --runs' removes them",
        )
