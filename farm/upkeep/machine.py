"""The machine itself: Python, processor, memory, disks, clock."""

from __future__ import annotations

import importlib.util
import os
import platform
import re
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import ExitCode
from farm.host.machine import this_machine
from farm.load.limits import cache_limit
from farm.plan.jobs import GIB
from farm.upkeep.checks import ok, problem, size_text, warning
from farm.upkeep.oldest import kept

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.upkeep.checks import Check, Situation

SPACE_WANTED_BYTES = 5 * GIB
"""Tools, a base, its image in an engine and the build of a heavy package fit into this."""
SPACE_NEEDED_BYTES = GIB
OUT_WANTED_BYTES = GIB
OUT_NEEDED_BYTES = 100 * 2**20
_MEMORY_WANTED_BYTES = 2 * GIB
_MODULES = ("_bz2", "_lzma", "_ssl", "zlib")
_SLOW_FILE_SYSTEMS = ("9p", "cifs", "ecryptfs", "fuse", "nfs", "smb", "virtiofs", "vboxsf")


def checks(situation: Situation) -> Iterator[Check]:
    """Look at the machine."""
    yield python_check()
    yield _processor()
    yield _memory()
    yield _space("disk of the cache", situation.cache, SPACE_NEEDED_BYTES, SPACE_WANTED_BYTES)
    if situation.out is not None:
        yield _space("disk of out/", situation.out, OUT_NEEDED_BYTES, OUT_WANTED_BYTES)
    yield file_system_check(file_system_of(situation.cache), situation.cache)
    yield _cgroups()
    yield clock_check(time.time())
    yield limit_check(situation.cache)


def python_check() -> Check:
    """Whether this Python has all its parts; one built without OpenSSL's headers has not."""
    missing = [name for name in _MODULES if importlib.util.find_spec(name) is None]
    found = f"{platform.python_version()} at {sys.executable}"
    if missing:
        names = ", ".join(name.lstrip("_") for name in missing)
        return problem(
            "Python",
            f"{found}, which was built without {names}",
            "install farm with another Python, such as the distribution's own",
            ExitCode.FETCH,
        )
    return ok("Python", found)


def _processor() -> Check:
    system, machine = platform.system(), platform.machine()
    found = f"{system} {platform.release()} on {machine}"
    if system != "Linux":
        return problem(
            "system", found, "run farm on Linux (in a virtual machine, say)", ExitCode.ENGINE
        )
    if machine != "x86_64":
        return warning(
            "system", found, "build requirements are locked for x86_64: renew them (farm lock)"
        )
    return ok("system", found)


def _memory() -> Check:
    machine = this_machine()
    found = f"{size_text(machine.memory_bytes)} and {machine.cores} cores for builds"
    if machine.memory_bytes < _MEMORY_WANTED_BYTES:
        remedy = "end other programs, add swap, or build small packages only"
        return warning("memory", found, remedy)
    return ok("memory", found)


def _space(name: str, folder: Path, needed: int, wanted: int) -> Check:
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not os.access(existing, os.W_OK):
        return problem(
            name,
            f"{existing} cannot be written",
            "change its rights, or choose another folder (FARM_CACHE_DIR, --output-dir)",
            ExitCode.STORAGE,
        )
    usage = shutil.disk_usage(existing)
    inodes = os.statvfs(existing)
    if inodes.f_files and inodes.f_favail < 10_000:  # noqa: PLR2004 - a toolbox alone has 10,000 files
        return problem(
            name,
            f"{folder}: only {inodes.f_favail:,} more files fit",
            "remove small files there, or choose another folder",
            ExitCode.STORAGE,
        )
    return space_check(name, folder, usage.free, usage.total, needed=needed, wanted=wanted)


def space_check(  # noqa: PLR0913 - numbers, each with its name
    name: str, folder: Path, free: int, total: int, *, needed: int, wanted: int
) -> Check:
    """Whether so many free bytes are enough."""
    found = f"{size_text(free)} of {size_text(total)} free for {folder}"
    remedy = f"have {size_text(wanted)} free: 'farm clean' says what it can remove"
    if free < needed:
        return problem(name, found, remedy, ExitCode.STORAGE)
    if free < wanted:
        return warning(name, found, remedy)
    return ok(name, found)


def limit_check(cache: Path) -> Check:
    """Whether the cache folder is within its limit; each build that ends sees to that.

    Raises:
        UsageError: the limit is no size.
    """
    limit, taken = cache_limit(cache), sum(each.size_bytes for each in kept(cache))
    found = (
        f"{size_text(taken)} of {size_text(limit.files_bytes)} taken by sources, bases and "
        f"results; {size_text(limit.engine_bytes)} for the private engine's build cache"
    )
    if taken > limit.files_bytes:
        return warning(
            "limit of the cache", found, "farm clean --oldest, or raise FARM_CACHE_LIMIT"
        )
    return ok("limit of the cache", found)


def mounts(file: Path = Path("/proc/self/mountinfo")) -> dict[Path, str]:
    """The type of file system at each mount point that a process sees (proc_pid_mountinfo(5))."""
    found = {}
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        fields, _, rest = line.partition(" - ")
        point = re.sub(r"\\([0-7]{3})", lambda m: chr(int(m[1], 8)), fields.split()[4])
        found[Path(point)] = rest.split()[0]  # of several on one point the last is seen
    return found


def file_system_of(folder: Path) -> str:
    """The type of the file system that a folder is, or would be, on."""
    path = Path(os.path.realpath(folder))  # Path.resolve() raises where links go in a circle
    mounted = mounts()
    return next((mounted[each] for each in (path, *path.parents) if each in mounted), "unknown")


def file_system_check(file_system: str, folder: Path) -> Check:
    """Whether an engine can keep its layers there at full speed."""
    name = "file system of the cache"
    if file_system == "overlay":
        return warning(
            name,
            f"{folder} is on overlayfs (a container's own layer), which cannot be stacked",
            "mount a volume there, or set FARM_CACHE_DIR to one: the private engine is slow here",
        )
    if file_system.startswith(_SLOW_FILE_SYSTEMS):
        return warning(
            name,
            f"{folder} is on {file_system}, which holds neither layers nor locks well",
            "set FARM_CACHE_DIR to a folder on a local disk",
        )
    return ok(name, f"{file_system} at {folder}")


def _cgroups() -> Check:
    top = Path("/sys/fs/cgroup")
    if (top / "cgroup.controllers").exists():
        return ok("cgroups", "version 2")
    if (top / "memory").is_dir():
        hybrid = " (hybrid)" if (top / "unified").is_dir() else ""
        return ok("cgroups", f"version 1{hybrid}")
    return warning(
        "cgroups",
        "no memory controller is mounted at /sys/fs/cgroup",
        "mount it; without it nothing limits what a build takes",
    )


def clock_check(now_s: float) -> Check:
    """Whether the clock can be right: it cannot be before farm itself was installed."""
    made_s = Path(__file__).stat().st_mtime
    shown = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now_s))
    if now_s < made_s - 86_400:
        return problem(
            "clock",
            f"{shown}, before farm was installed",
            "set the clock: certificates and package indexes are refused with a wrong one",
            ExitCode.FETCH,
        )
    return ok("clock", shown)
