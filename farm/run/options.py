"""What the user asks of a run besides the units, and where it takes place."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from farm.engine.caches import LayerCache
    from farm.load.project import Project
    from farm.model.look import Look
    from farm.run.sharing import Shared
    from farm.source.mirror import Mirror
    from farm.store.signing import PrivateKey


@dataclass(frozen=True, slots=True, kw_only=True)
class Workplace:
    """The project, the folder for its results, and the one for what can be made again."""

    project: Project
    out: Path
    cache: Path


class Again(StrEnum):
    """What to do with a unit whose result is already there."""

    KEEP = "keep"
    """Nothing: the result stands."""
    FORCE = "force"
    """Ask the engine, whose cache may answer."""
    REBUILD = "rebuild"
    """Compile again, whatever is cached."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildOptions:
    """How to run.

    At most ``parallel`` units build at once, or one for each core.  ``max_jobs`` and
    ``nvcc_threads`` are the user's own and win over what is computed.  ``engine`` is auto,
    user or private.
    Without ``preflight`` the plan may hold what is known not to work.
    With ``look`` the units that were asked for end after configuring.  Sources come
    from ``source_mirror`` before they come from the network.  With ``locked`` a base
    has the packages that its lock names, or the build fails.  The engine takes layers
    from ``cache_from`` and puts them into ``cache_to``.  Results are shared with other
    machines in ``results``.  ``sign_key`` signs the provenance of what is built, and what
    is shared.  The compile cache keeps ``cache_bytes`` of each package; 0: it is not asked.
    """

    parallel: int | None = None
    max_jobs: int | None = None
    nvcc_threads: int | None = None
    memory_bytes: int | None = None
    again: Again = Again.KEEP
    fail_fast: bool = False
    offline: bool = False
    locked: bool = False
    engine: str = "auto"
    preflight: bool = True
    look: Look | None = None
    source_mirror: Mirror | None = None
    cache_from: tuple[LayerCache, ...] = ()
    cache_to: tuple[LayerCache, ...] = ()
    results: Shared | None = None
    sign_key: PrivateKey | None = field(default=None, repr=False)
    cache_bytes: int = 0
    command: tuple[str, ...] = ()

    def again_for(self, requested: bool) -> bool:  # noqa: FBT001 - the one thing it depends on
        """Whether a unit is built though its result is there: only what was asked for is."""
        return requested and self.again is not Again.KEEP
