"""Planning many units, each size in a fresh process; recipes as people write them."""

from __future__ import annotations

import gc
import hashlib
import json
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

VARIANTS = 10
SIZES = (10, 100, 250, 500, 750, 1000)
"""Numbers of recipes; each has `VARIANTS` variants."""
GOAL_RECIPES = 1000
GOAL_S = 1.5
GOAL_BYTES = 100 * 10**6
LINEAR = 1.5
"""How much a unit of the upper half may cost, as a multiple of one of the lower half."""

_ACCELERATORS = (
    ("cpu", "cpu", ""),
    ("empty", "none", ""),
    ("cuda", "cuda-13.0", "sm_86, sm_90a"),
    ("ampere", "cuda-13.0", "sm_80, sm_86"),
    ("hopper", "cuda-13.0", "sm_90a"),
    ("blackwell", "cuda-13.0", "sm_100f, sm_120f"),
    ("rocm", "rocm-7.0", "gfx942, gfx1150"),
    ("instinct", "rocm-7.0", "gfx90a, gfx942"),
    ("radeon", "rocm-7.0", "gfx1100, gfx1201"),
    ("strix", "rocm-7.0", "gfx1150, gfx1151"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One size: seconds of whole processes, of their parts, and the largest peak of memory."""

    units: int
    wall_s: tuple[float, ...]
    load_s: float
    plan_s: float
    peak_rss_bytes: int

    @property
    def median_s(self) -> float:
        return median(self.wall_s)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "median_s": self.median_s}


def measure(folder: Path, repeats: int) -> list[Planned]:
    """Load and plan each size in fresh processes.

    The sizes take turns, so that what else the machine does meets all alike.
    """
    roots = [folder / f"planning-{recipes}" for recipes in SIZES]
    for root, recipes in zip(roots, SIZES, strict=True):
        write_project(root, recipes)
    rounds = [[_once(root) for root in roots] for _ in range(repeats)]
    return [_joined(runs) for runs in zip(*rounds, strict=True)]


def _joined(runs: tuple[dict[str, Any], ...]) -> Planned:
    return Planned(
        units=runs[0]["units"],
        wall_s=tuple(run["wall_s"] for run in runs),
        load_s=median(run["load_s"] for run in runs),
        plan_s=median(run["plan_s"] for run in runs),
        peak_rss_bytes=max(run["peak_rss_bytes"] for run in runs),
    )


def _once(root: Path) -> dict[str, Any]:
    argv = (sys.executable, "-m", "tests.bench.planning", str(root))
    started = time.perf_counter()
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    passed = time.perf_counter() - started
    if ended.returncode:
        raise RuntimeError(f"planning {root.name} failed:\n{ended.stderr[-2000:]}")
    return {**json.loads(ended.stdout), "wall_s": passed}


def growth(found: list[Planned]) -> float:
    """What a unit of the upper half costs, as a multiple of what one of the lower half does.

    Taken between the quickest runs of three sizes, so that the start of a
    process, the same for all, is left out, and most of the noise.
    """
    smallest, *_, largest = found
    middle = min(found, key=lambda each: abs(each.units - largest.units // 2))
    early = (min(middle.wall_s) - min(smallest.wall_s)) / (middle.units - smallest.units)
    late = (min(largest.wall_s) - min(middle.wall_s)) / (largest.units - middle.units)
    return late / early


def write_project(root: Path, recipes: int) -> None:
    """A project of so many recipes; every tenth needs a wheel of the one before."""
    folder = root / "recipes"
    folder.mkdir(parents=True)
    for number in range(recipes):
        path = folder / f"{_name(number)}.yaml"
        path.write_text(_recipe(number), encoding="utf-8")


def _name(number: int) -> str:
    return f"package-{number:05}"


def _recipe(number: int) -> str:
    name = _name(number)
    digest = hashlib.sha256(name.encode()).hexdigest()
    text = f"""\
package: {name}
summary: Kernels number {number}
homepage: https://example.org/{name}
python: ["3.13", "3.14"]
expect: {{tag: cp39-abi3-linux_x86_64}}
jobs:
  memory_per_job: 1.5 GiB
  reason: the largest compile peaked at 1.3 GB
env:
  FORCE_BUILD: "1"
  KERNELS_JOBS_PER_FILE: {{value: "2", reason: more gain nothing}}
cmake_args:
  - -DKERNELS_TESTS=OFF
  - {{value: -DFETCHCONTENT_FULLY_DISCONNECTED=ON, reason: what is not staged must fail}}
requires:
  - {{value: cmake>=3.30, reason: the first that knows the policy CMP0170}}
  - ninja>=1.5
versions:
  1.{number}.0:
    source: {{sdist: {digest}}}
"""
    if number % 10 == 9:
        text += f"""\
    needs:
      - {{package: {_name(number - 1)}, version: 1.{number - 1}.0, variant: cpu, reason: imported}}
"""
    return text + "variants:\n" + "".join(_variant(*each) for each in _ACCELERATORS)


def _variant(name: str, toolchain: str, archs: str) -> str:
    lines = [f"  {name}:", f"    toolchain: {toolchain}"]
    lines += [f"    archs: [{archs}]"] if archs else []
    lines += ["    env:", f"      KERNELS_DEVICE: {name}"]
    return "\n".join(lines) + "\n"


def _plan_all(root: Path) -> dict[str, Any]:
    """Load and plan every recipe of a project, as ``farm plan`` does, in this process."""
    from farm.cli.main import COLLECT_AFTER
    from farm.load.library import gather
    from farm.load.project import find_project
    from farm.plan.plan import Choice, make_plan
    from farm.plan.select import Selector

    gc.set_threshold(*COLLECT_AFTER)
    project = find_project(root=root)
    names = project.own_recipes()
    started = time.perf_counter()
    library = gather(project, names)
    loaded = time.perf_counter()
    plan = make_plan(library, [Selector(package=name) for name in names], Choice())
    planned = time.perf_counter()
    return {
        "units": len(plan.units),
        "load_s": loaded - started,
        "plan_s": planned - loaded,
        "peak_rss_bytes": _peak_rss_bytes(),
    }


def _peak_rss_bytes() -> int:
    """VmHWM of this process; getrusage would count what its parent had before exec."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.stdout.write(json.dumps(_plan_all(Path(sys.argv[1]))))
