"""What is compiled again: nothing for a new reason, one file for a patch of one file.

llama-cpp-python 0.3.36 for the CPU, on an engine of its own whose compile cache is empty at first.
Times are those of the compile step, as it measured itself.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from farm.engine import private
from farm.load.folders import cache_folder
from tests.bench.commands import FARM, ROOT
from tests.support.farming import borrow_cache, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

UNIT = "llama-cpp-python@0.3.36:cpu"
GOAL = 0.05
PATCHED = """\
    edits:
      - file: vendor/llama.cpp/ggml/src/ggml-alloc.c
        replace: '#include "ggml-alloc.h"'
        by: "#include \\"ggml-alloc.h\\"\\nint farm_bench_was_here;"
        reason: a patch of one file
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Warm:
    """One build: seconds of its compile step (0: there was none), and calls that compiled."""

    how: str
    seconds: float
    compiled: int
    hits: int

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def measure(folder: Path) -> Iterator[Warm]:
    """Cold, then with a patch of one file, then with another reason in the recipe."""
    root = folder / "warm"
    for name in ("recipes", "patches"):
        shutil.copytree(ROOT / name, root / name)
    cache = borrow_cache(cache_folder(), folder / "warm-cache")
    recipe = root / "recipes/llama-cpp-python.yaml"
    text = recipe.read_text(encoding="utf-8")
    try:
        private.ensure_running(cache, quiet)
        yield _built(root, cache, "cold")
        patches = "    patches: [0001-install-each-library-once.patch]\n"
        recipe.write_text(text.replace(patches, patches + PATCHED, 1), encoding="utf-8")
        yield _built(root, cache, "one file patched")
        other = recipe.read_text(encoding="utf-8").replace("reason: a patch of", "reason: of", 1)
        recipe.write_text(other, encoding="utf-8")
        yield _built(root, cache, "another reason")
    finally:
        private.stop(cache)


def _built(root: Path, cache: Path, how: str) -> Warm:
    env = {k: v for k, v in os.environ.items() if not k.startswith("FARM_")}
    env |= {"FARM_CACHE_DIR": str(cache), "FARM_ENGINE": "private"}
    argv = (FARM, "-C", str(root), "build", "--progress=json", UNIT)
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"farm build ended with status {done.returncode}:\n{done.stdout}")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    if any(event.get("outcome") == "unchanged" for event in events):
        return Warm(how=how, seconds=0.0, compiled=0, hits=0)
    result = root / "out/llama-cpp-python-0.3.36/cpu"
    record = json.loads((result / "record.json").read_text(encoding="utf-8"))
    lines = (result / "logs/calls.jsonl").read_text(encoding="utf-8").splitlines()
    calls = [call for call in map(json.loads, lines) if call["kind"] == "compile"]
    hits = sum(call["cache"] == "hit" for call in calls)
    seconds = record["compile"]["seconds"]
    return Warm(how=how, seconds=seconds, compiled=len(calls) - hits, hits=hits)
