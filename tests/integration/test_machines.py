"""One identity on every machine: with other cores, memory, names and Docker, and nothing made."""

from __future__ import annotations

import json
import shutil
import subprocess
from typing import TYPE_CHECKING

from farm.load.project import shipped_root
from tests.support.farming import FARM, Farm

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = """
set -eu
hostname "$1"
mount --bind "$2" /proc/meminfo
shift 2
exec "$@"
"""
UNITS = ("llama-cpp-python", "vllm:empty")


def told_on(machine: Path, name: str, *, cores: str, memory_kib: int) -> dict[str, dict[str, str]]:
    """What ``farm plan`` says of each unit, in a checkout and on a machine of its own."""
    root = machine / "checkout"
    for part in ("recipes", "patches"):
        shutil.copytree(shipped_root() / part, root / part)
    meminfo = machine / "meminfo"
    meminfo.write_text(f"MemTotal: {memory_kib} kB\nMemAvailable: {memory_kib} kB\n")
    farm = Farm(root=root, cache=machine / "cache")
    # The one machine has a Docker, though none that answers, the other has not even a client.
    docker = {"DOCKER_HOST": "unix:///nowhere.sock"} if cores == "0" else {}
    done = subprocess.run(
        [
            *("unshare", "--mount", "--uts", "--pid", "--fork", "--propagation", "private"),
            *("/bin/sh", "-c", MACHINE, "machine", name, str(meminfo)),
            *("taskset", "--cpu-list", cores, str(FARM), "-C", str(root), "plan", "--json", "-j1"),
            *UNITS,
        ],
        capture_output=True,
        text=True,
        check=False,
        env=farm.environment() | docker,
        cwd="/",
    )
    assert done.returncode == 0, done.stderr
    assert not (machine / "cache").exists()
    return {row["label"]: row for row in json.loads(done.stdout)["units"]}


def test_two_machines_give_each_unit_one_identity_before_anything_is_bootstrapped(
    tmp_path: Path,
) -> None:
    small = told_on(tmp_path / "small", "small", cores="0", memory_kib=2 << 20)
    large = told_on(tmp_path / "large", "large", cores="0,1", memory_kib=64 << 20)
    assert small.keys() == large.keys()
    assert len(small) > 3
    for label, row in small.items():
        # That of a unit which needs another's wheel waits for that wheel, here as there.
        assert bool(row["identity"]) == (not row["needs"]), label
        assert row["identity"] == large[label]["identity"], label
    jobs = [{label: row["max_jobs"] for label, row in each.items()} for each in (small, large)]
    assert jobs[0] != jobs[1], "these were no two machines"
