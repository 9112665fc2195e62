"""One budget for all compilers: is it safe, is it idle, and what does the gate cost?

An engine of its own gets a memory limit of the kernel's.  The same Dockerfile is built under it by
buildx alone, with a fixed number of jobs, and by farm, which is told the limit and no number.
Times are those of the compile step, as it measured itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.engine import private
from farm.engine.limits import limit_of
from farm.engine.place import place_of
from farm.load.folders import cache_folder
from tests.bench.commands import FARM
from tests.support.farming import borrow_cache, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.engine.endpoint import Endpoint

PROJECT = Path(__file__).parent / "stress"
GIB = 2**30
LIMIT_BYTES = 3 * GIB
SPARE_BYTES = GIB // 4
"""Of the limit: for what is no compiler, and for pages of files that are being written."""
VARIANTS = ("sorted", "random1", "random2")
SWEEP = (1, 2, 3, 8)


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """One build of one order: seconds of its compile step; the bound that no scheduler beats."""

    how: str
    variant: str
    seconds: float
    ended_well: bool
    bound_s: float | None = None
    peak_bytes: int | None = None
    retried: int | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bed:
    """A project, and an engine whose builds together have a memory limit."""

    root: Path
    cache: Path
    endpoint: Endpoint


@contextmanager
def bed(folder: Path) -> Iterator[Bed]:
    """Bring up an engine of its own under the limit, and end it afterwards."""
    root = folder / "stress"
    shutil.copytree(PROJECT, root)
    cache = borrow_cache(cache_folder(), folder / "stress-cache")
    try:
        endpoint = private.ensure_running(cache, quiet)
        _limit(cache)
        yield Bed(root=root, cache=cache, endpoint=endpoint)
    finally:
        private.stop(cache)


def _limit(cache: Path) -> None:
    name = place_of(cache).cgroup.lstrip("/")
    for top, files in (("", ("memory.max",)), ("memory", ("memory.limit_in_bytes",))):
        for file in (Path("/sys/fs/cgroup") / top / name / each for each in files):
            if file.exists():
                file.write_text(str(LIMIT_BYTES))
    if limit_of(place_of(cache)) != LIMIT_BYTES:
        raise RuntimeError("the engine's builds cannot be limited here")


def measure(folder: Path, variants: tuple[str, ...] = VARIANTS) -> Iterator[Built]:
    """Build every order by a fixed number of jobs and by farm: not knowing the sizes, knowing."""
    with bed(folder) as made:
        for variant in variants:
            forget(made)
            yield by_farm(made, variant, "farm, first")
            yield by_farm(made, variant, "farm, again")
            yield from (by_hand(made, variant, jobs) for jobs in SWEEP)


def by_hand(made: Bed, variant: str, jobs: int) -> Built:
    """The same Dockerfile and context, given to buildx."""
    context = made.root / f"context-{variant}"
    if not context.exists():
        _farm(made, "render", f"stress:{variant}", "--output", str(context))
    out, file = made.root / "plain", made.root / "jobs"
    file.write_text(f"MAX_JOBS={jobs}\n")
    shutil.rmtree(out, ignore_errors=True)
    argv = (*made.endpoint.buildx, "build", "--target", "result")
    argv += (f"--output=type=local,dest={out}",)
    argv += ("--secret", f"id=jobs,src={file}", "--build-arg", f"FARM_ATTEMPT={time.time_ns()}")
    done = subprocess.run(
        (*argv, str(context)), env=made.endpoint.environment(), capture_output=True, check=False
    )
    status = out / "status.json"
    told = json.loads(status.read_text()) if status.exists() else {}
    well = done.returncode == 0 and told.get("exit_status") == 0
    seconds = told.get("seconds", 0.0)
    return Built(how=f"ninja -j{jobs}", variant=variant, seconds=seconds, ended_well=well)


def by_farm(made: Bed, variant: str, how: str) -> Built:
    """``farm build`` that knows the limit, and nothing else."""
    memory = f"{(LIMIT_BYTES - SPARE_BYTES) / GIB} GiB"
    done = _farm(made, "build", f"stress:{variant}", "--rebuild", "--memory", memory)
    result = made.root / "out/stress-1.0" / variant
    if done.returncode:
        sys.stderr.write(done.stdout + done.stderr)
        return Built(how=how, variant=variant, seconds=0.0, ended_well=False)
    told = json.loads((result / "record.json").read_text())["compile"]
    calls = [json.loads(line) for line in (result / "logs/calls.jsonl").read_text().splitlines()]
    return Built(
        how=how,
        variant=variant,
        seconds=told["seconds"],
        ended_well=True,
        bound_s=bound(calls, cores=len(os.sched_getaffinity(0))),
        peak_bytes=max(call["peak_bytes"] for call in calls),
        retried=sum(call["tries"] > 1 for call in calls),
    )


def bound(calls: list[dict[str, Any]], *, cores: int) -> float:
    """What no order of the same calls can beat: their processor time, or the longest of them."""
    well = [float(call["cpu_s"]) for call in calls if not call["status"]]
    return max(sum(well) / cores, *well)


def forget(made: Bed) -> None:
    """Let the pool know no sizes: the engine's cache mounts go."""
    only = ("--filter", "type=exec.cachemount")
    argv = (*made.endpoint.docker, "builder", "prune", "--force", *only)
    subprocess.run(argv, env=made.endpoint.environment(), capture_output=True, check=True)


def _farm(made: Bed, verb: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    env = {"FARM_CACHE_DIR": str(made.cache), "FARM_ENGINE": "private"}
    argv = (FARM, "-C", str(made.root), verb, *arguments)
    return subprocess.run(
        argv, env={**_environment(), **env}, capture_output=True, text=True, check=False
    )


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("FARM_") and k != "MAX_JOBS"}
