"""What the gate costs each call: the same small compile in turn with it and without it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import farm.inside
from farm.engine import images
from farm.engine.private import ensure_running
from farm.load.folders import cache_folder
from tests.bench.measure import Comparison
from tests.support.engines import BASE
from tests.support.farming import base_at, quiet

if TYPE_CHECKING:
    from farm.engine.endpoint import Endpoint

INSIDE = Path(farm.inside.__file__).parent
GOAL = 1.25
"""3 ms of the 12 that gcc takes for one line."""
SCRIPT = """
set -eu
mkdir /w && cd /w && echo 'int x;' >x.c
export CC=gcc-14 FARM_POOL=/w/pool FARM_CORES=4 FARM_MEMORY_BYTES=4000000000
export FARM_CALL_BYTES=100000000 FARM_CALLS=/w/calls
mkdir pool
python3 /gate.py install
python3 - <<'END'
import json, subprocess, time
def once(program):
    began = time.perf_counter()
    subprocess.run([program, "-c", "x.c"], check=True)
    return time.perf_counter() - began
gate = "/usr/bin/x86_64-linux-gnu-gcc-14"
for _ in range(20):
    once(gate), once(gate + ".real")
print(json.dumps([(once(gate), once(gate + ".real")) for _ in range(PAIRS)]))
END
"""


def measure(pairs: int) -> Comparison:
    """Seconds of ``gcc -c`` on one line, in a container, through the gate and without it."""
    cache = cache_folder()
    endpoint = ensure_running(cache, quiet)
    base = base_at(cache, BASE)
    images.load(base, endpoint)
    times = json.loads(_in_container(endpoint, base.tag, SCRIPT.replace("PAIRS", str(pairs))))
    return Comparison(
        name="gate",
        ours="gcc -c of one line, through the gate",
        theirs="without it",
        goal=GOAL,
        ours_s=tuple(ours for ours, _ in times),
        theirs_s=tuple(theirs for _, theirs in times),
    )


def _in_container(endpoint: Endpoint, image: str, script: str) -> str:
    def docker(*arguments: str) -> str:
        argv = [*endpoint.docker, *arguments]
        return subprocess.run(
            argv, capture_output=True, text=True, check=True, env=endpoint.environment()
        ).stdout.strip()

    container = docker("create", "--network=none", image, "/bin/sh", "-c", script)
    try:
        for name in ("gate.py", "gate.c"):
            docker("cp", str(INSIDE / name), f"{container}:/{name}")
        return docker("start", "--attach", container)
    finally:
        docker("rm", "--force", container)
