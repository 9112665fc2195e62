"""The command line against Python itself, and against plain buildx."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.engine.private import ensure_running
from farm.load.folders import cache_folder, mark_cache
from tests.bench.measure import Command, Comparison, compare

if TYPE_CHECKING:
    from farm.engine.endpoint import Endpoint
    from farm.events import Event

PROJECT = Path(__file__).parent / "project"
ROOT = Path(__file__).parents[2]
FARM = str(Path(sys.executable).with_name("farm"))
UNITS = ("flit-core", "mdurl", "packaging")
UNIT = "mdurl"
PLAN_GOAL_S = 0.35
"""What ``farm plan vllm`` may take."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bed:
    """A project whose units are built, an engine, and the context of one unit."""

    root: Path
    context: Path
    endpoint: Endpoint

    def farm(self, label: str, *arguments: str) -> Command:
        """``farm build`` in the project, on the private engine."""
        argv = (FARM, "build", "--engine", "private", *arguments)
        return Command(label=label, argv=argv, cwd=self.root)

    def buildx(self) -> Command:
        """The unit's own Dockerfile and context, given to buildx by hand."""
        argv = (*self.endpoint.buildx, "build", "--target", "result")
        argv += ("--output", f"type=local,dest={self.root / 'plain'}", str(self.context))
        label = "docker buildx build (cached)"
        return Command(label=label, argv=argv, env=self.endpoint.environment())


def prepare(folder: Path) -> Bed:
    """Build the project's three small wheels in a folder of their own.

    The engine is farm's private one, in the user's cache as always; it is
    started if it does not run, and left as it is afterwards.
    """
    root = folder / "project"
    shutil.copytree(PROJECT, root)
    cache = cache_folder()
    mark_cache(cache)
    endpoint = ensure_running(cache, _ignore)
    bed = Bed(root=root, context=folder / "context", endpoint=endpoint)
    bed.farm("the first build", *UNITS).seconds()
    subprocess.run(
        (FARM, "render", UNIT, "--output", str(bed.context)),
        cwd=root,
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return bed


def _ignore(_event: Event, /) -> None:
    """Nobody watches the engine start."""


def start_up(pairs: int) -> Comparison:
    """The overview against an interpreter that does nothing."""
    return compare(
        "start",
        Command(label="farm --help", argv=(FARM, "--help")),
        Command(label="python -c pass", argv=(sys.executable, "-c", "pass")),
        goal=6,
        pairs=pairs,
    )


def nothing_to_do(bed: Bed, pairs: int) -> Comparison:
    """Three units that are built: their wheels are hashed, no engine is asked."""
    ours = bed.farm("farm build (3 units, all built)", *UNITS)
    return compare("no-op", ours, bed.buildx(), goal=0.8, pairs=pairs)


def plan_seconds(repeats: int) -> tuple[float, ...]:
    """``farm plan vllm``, the largest recipe of this repository: seconds of whole processes."""
    command = Command(label="farm plan vllm", argv=(FARM, "plan", "vllm"), cwd=ROOT)
    command.seconds()
    return tuple(command.seconds() for _ in range(repeats))


def forced(bed: Bed, pairs: int) -> Comparison:
    """One unit through the engine, which has every step cached."""
    ours = bed.farm("farm build --force (cached)", UNIT, "--force")
    return compare("forced", ours, bed.buildx(), goal=3, pairs=pairs)
