"""Three accelerators of one package: in one run, one after another, and by buildx all at once.

Times are wall-clock from the first compile's beginning to the last one's end: what comes before
(bases, sources, requirements) is there already and the same for all.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING

from farm.engine.private import ensure_running
from farm.load.folders import cache_folder
from tests.bench.commands import FARM, ROOT
from tests.bench.measure import Comparison
from tests.support.farming import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.engine.endpoint import Endpoint

UNITS = tuple(f"llama-cpp-python@0.2.44:{variant}" for variant in ("cpu", "cuda", "rocm"))


def measure(folder: Path) -> Iterator[Comparison]:
    """One run of three units against each alone, and against three builds of buildx at once."""
    endpoint = ensure_running(cache_folder(), quiet)
    out = folder / "together"
    _farm(out, *UNITS)  # fills caches, and teaches what each file needs
    one_run = _farm(out, *UNITS, "--rebuild", "-j", "3")
    alone = sum(_farm(out, unit, "--rebuild") for unit in UNITS)
    at_once = _buildx(endpoint, folder)
    for theirs, goal, seconds in (
        ("one after another, each with all cores", 0.9, alone),
        ("three docker buildx build at once, each with all cores", 1.0, at_once),
    ):
        yield Comparison(
            name="together",
            ours="farm build of cpu, cuda and rocm in one run",
            theirs=theirs,
            goal=goal,
            ours_s=(one_run,),
            theirs_s=(seconds,),
        )


def _farm(out: Path, *arguments: str) -> float:
    """Build, and say how long compilers were at it."""
    argv = (FARM, "build", "--engine", "private", "--output-dir", str(out), *arguments)
    env = {k: v for k, v in os.environ.items() if k != "MAX_JOBS"}
    done = subprocess.run(argv, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"farm build ended with status {done.returncode}:\n{done.stderr}")
    variants = [a.rpartition(":")[2] for a in arguments if a.startswith("llama")]
    compiled = [
        json.loads((out / f"llama-cpp-python-0.2.44/{v}/record.json").read_text())["compile"]
        for v in variants
    ]
    return max(_at(c["finished"]) for c in compiled) - min(_at(c["started"]) for c in compiled)


def _at(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _buildx(endpoint: Endpoint, folder: Path) -> float:
    """The same Dockerfiles and contexts by hand, at the same time."""
    (folder / "jobs").write_text(f"MAX_JOBS={len(os.sched_getaffinity(0))}\n")
    with ThreadPoolExecutor(len(UNITS)) as pool:
        spans = list(pool.map(lambda unit: _by_hand(endpoint, folder, unit), UNITS))
    return max(end for _, end in spans) - min(begin for begin, _ in spans)


def _by_hand(endpoint: Endpoint, folder: Path, unit: str) -> tuple[float, float]:
    name = unit.rpartition(":")[2]
    context, out = folder / f"context-{name}", folder / f"plain-{name}"
    shutil.rmtree(context, ignore_errors=True)
    argv: tuple[str, ...] = (FARM, "render", unit, "--output", str(context))
    subprocess.run(argv, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    argv = (*endpoint.buildx, "build", "--target", "result", f"--output=type=local,dest={out}")
    argv += ("--secret", f"id=jobs,src={folder / 'jobs'}")
    argv += ("--build-arg", f"FARM_ATTEMPT={time.time_ns()}", str(context))
    done = subprocess.run(
        argv, env=endpoint.environment(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.stderr.write(done.stderr[-2000:])
        raise RuntimeError(f"buildx ended with status {done.returncode}")
    told = json.loads((out / "status.json").read_text())
    return _at(told["started"]), _at(told["finished"])
