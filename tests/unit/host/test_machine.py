"""Cores and memory: what is free, and the tightest of all cgroups, of both versions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from farm.host.machine import Machine, this_machine

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

AVAILABLE = 2**34
TOTAL = 99 * 2**20
CORES = len(os.sched_getaffinity(0))
V2 = "30 23 0:27 {root} {point} rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 23 0:28 {root} {point}/memory rw - cgroup cgroup rw,memory\n"
    "32 23 0:29 {root} {point}/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
)
OWN = "0::/a/b\n"
OTHER = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"


def machine(
    root: Path,
    files: Mapping[str, str],
    *,
    mounts: str = V2,
    top: str = "/",
    own: str = "0::/a/b\n",
) -> Machine:
    """What is found where these files are below the mount point of cgroups."""
    point = root / "cgroup fs"
    for name, text in files.items():
        path = point / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    proc = root / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(
        f"MemTotal: {TOTAL // 1024} kB\nMemAvailable:  {AVAILABLE // 1024} kB\n"
    )
    shown = str(point).replace(" ", r"\040")
    (proc / "self/mountinfo").write_text(OTHER + mounts.format(root=top, point=shown))
    (proc / "self/cgroup").write_text(own)
    return this_machine(proc=proc)


def free(root: Path, files: Mapping[str, str], **world: str) -> int:
    return machine(root, files, **world).memory_bytes


def test_this_very_machine_has_something_to_offer() -> None:
    found = this_machine()
    assert 1 <= found.cores <= CORES
    assert found.memory_bytes > 0


@pytest.mark.parametrize("text", ["", "garbage", "MemAvailable: x kB"])
def test_a_kernel_that_does_not_say_has_a_little(tmp_path: Path, text: str) -> None:
    (tmp_path / "meminfo").write_text(text)
    assert this_machine(proc=tmp_path) == Machine(cores=CORES, memory_bytes=2**31)


@pytest.mark.parametrize("folder", [".", "a", "a/b"])
def test_a_limit_counts_wherever_it_is_above_this_process(tmp_path: Path, folder: str) -> None:
    files = {"a/memory.max": "max\n", f"{folder}/memory.max": "1048576\n"}
    assert free(tmp_path, files) == 2**20


def test_the_tightest_limit_counts(tmp_path: Path) -> None:
    files = {"memory.max": "3000\n", "a/memory.max": "2000\n", "a/b/memory.max": "9000\n",
             "a/c/memory.max": "10\n"}  # fmt: skip
    assert free(tmp_path, files) == 2000


@pytest.mark.parametrize("text", ["max\n", "", "x", "-1"])
def test_a_group_without_a_limit_limits_nothing(tmp_path: Path, text: str) -> None:
    assert free(tmp_path, {"a/b/memory.max": text, "a/b/memory.current": "5\n"}) == AVAILABLE


def test_what_is_in_use_is_not_free_but_for_pages_of_files(tmp_path: Path) -> None:
    files = {"a/memory.max": "1000\n", "a/memory.current": "700\n",
             "a/memory.stat": "anon 300\ninactive_file 150\nactive_file 250\n"}  # fmt: skip
    assert free(tmp_path, files) == 1000 - (700 - 150)


def test_a_full_group_has_nothing_left(tmp_path: Path) -> None:
    assert free(tmp_path, {"a/memory.max": "1000\n", "a/memory.current": "1200\n"}) == 0


def test_memory_that_is_throttled_above_a_mark_counts_up_to_it(tmp_path: Path) -> None:
    assert free(tmp_path, {"a/memory.max": "1000\n", "a/memory.high": "600\n"}) == 600


@pytest.mark.parametrize(
    ("text", "cores"),
    [("100000 100000\n", 1), ("50000 100000\n", 1), ("150000 100000\n", 2), ("max 100000\n", None),
     ("99999999900000 100000\n", None), ("", None), ("x y", None), ("5", None), ("1 0", None)],
)  # fmt: skip
def test_a_quota_of_processor_time_is_so_many_cores(
    tmp_path: Path, text: str, cores: int | None
) -> None:
    assert machine(tmp_path, {"a/cpu.max": text}).cores == min(cores or CORES, CORES)


def test_a_container_sees_its_own_group_as_the_top(tmp_path: Path) -> None:
    """With a namespace of its own, the path leads nowhere else."""
    assert free(tmp_path, {"memory.max": "1000\n"}, own="0::/\n") == 1000


@pytest.mark.parametrize("own", ["0::/../..\n", "0::/docker/abc\n"])
def test_a_mount_may_begin_below_the_top(tmp_path: Path, own: str) -> None:
    assert free(tmp_path, {"memory.max": "1000\n"}, own=own, top="/docker/abc") == 1000


OWN_V1 = "9:memory:/docker/abc\n5:cpu,cpuacct:/docker/abc\n1:name=systemd:/x\n"


@pytest.mark.parametrize("top", ["/", "/docker/abc"])
def test_version_1_has_a_hierarchy_for_each_controller(tmp_path: Path, top: str) -> None:
    inner = "docker/abc/" if top == "/" else ""
    files = {
        f"memory/{inner}memory.limit_in_bytes": "1000\n",
        f"memory/{inner}memory.usage_in_bytes": "700\n",
        f"memory/{inner}memory.stat": "cache 9\ninactive_file 1\ntotal_inactive_file 200\n",
        f"cpu,cpuacct/{inner}cpu.cfs_quota_us": "100000\n",
        f"cpu,cpuacct/{inner}cpu.cfs_period_us": "100000\n",
    }
    assert machine(tmp_path, files, mounts=V1, top=top, own=OWN_V1) == Machine(
        cores=1, memory_bytes=500, total_bytes=TOTAL
    )


def test_no_limit_of_version_1_limits_nothing(tmp_path: Path) -> None:
    files = {
        "memory/memory.limit_in_bytes": "9223372036854771712\n",
        "cpu,cpuacct/cpu.cfs_quota_us": "-1\n",
        "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
    }
    found = machine(tmp_path, files, mounts=V1, own=OWN_V1)
    assert found == Machine(cores=CORES, memory_bytes=AVAILABLE, total_bytes=TOTAL)
