"""What this machine has to offer to compilers: cores and memory, as its cgroups allow."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROC = Path("/proc")
_UNKNOWN_BYTES = 2**31
"""Memory of a kernel that does not say what is available (before 3.14)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the machine that compiles has to offer.

    ``memory_bytes`` is what may be used, after everything that already runs there;
    ``total_bytes`` is all that it has, None where nobody says.
    """

    cores: int
    memory_bytes: int
    total_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Files:
    """What the files of one version of cgroups are called (cgroups(7), cgroup-v2.rst)."""

    limits: tuple[str, ...]
    usage: str
    reclaimable: str
    quota: tuple[str, ...]


_V2 = _Files(
    limits=("memory.max", "memory.high"),
    usage="memory.current",
    reclaimable="inactive_file",
    quota=("cpu.max",),
)
_V1 = _Files(
    limits=("memory.limit_in_bytes",),
    usage="memory.usage_in_bytes",
    reclaimable="total_inactive_file",
    quota=("cpu.cfs_quota_us", "cpu.cfs_period_us"),
)


def this_machine(*, proc: Path = _PROC) -> Machine:
    """Cores that this process may use, and memory that is free for a build.

    Of all cgroups that this process is in, up to the outermost that can be seen, the
    tightest counts: its quota of processor time, rounded up to whole cores, and what its
    memory limit has left, counting as free the pages of files that nobody used lately.
    Of the machine itself, the kernel's MemAvailable (proc_meminfo(5)).  ``total_bytes`` is
    its MemTotal: an engine need not be in these cgroups.
    """
    groups = tuple(_groups(proc))
    cores = [len(os.sched_getaffinity(0)), *(c for g in groups if (c := _cores(*g)))]
    available = _told(proc, "MemAvailable")
    free = [_UNKNOWN_BYTES if available is None else available]
    free += [m for g in groups if (m := _memory(*g)) is not None]
    return Machine(cores=min(cores), memory_bytes=min(free), total_bytes=_told(proc, "MemTotal"))


def installed_memory(*, proc: Path = _PROC) -> int:
    """Bytes of memory that there are: the machine's, or the least limit of a cgroup around."""
    total = _told(proc, "MemTotal") or _UNKNOWN_BYTES
    limits = (m for g in _groups(proc) if (m := _limit(*g)) is not None)
    return min([total, *limits])


def _told(proc: Path, name: str) -> int | None:
    """A size that the kernel tells, in bytes."""
    found = re.search(rf"^{name}:\s*(\d+) kB", _text(proc / "meminfo"), re.MULTILINE)
    return int(found[1]) * 1024 if found else None


def _groups(proc: Path) -> Iterator[tuple[Path, _Files]]:
    """Folders of this process's cgroups and of all above them that are mounted here."""
    own = dict(_own_groups(_text(proc / "self/cgroup")))
    for root, point, controllers in _mounts(_text(proc / "self/mountinfo")):
        for controller in controllers & own.keys():
            # A mount may begin below the top, as those of containers do.
            inner = own[controller].removeprefix("" if root == "/" else root).strip("/")
            folder = point if ".." in inner.split("/") else point / inner
            files = _V1 if controller else _V2
            yield from ((each, files) for each in (folder, *folder.parents)
                        if each.is_relative_to(point))  # fmt: skip


def _own_groups(text: str) -> Iterator[tuple[str, str]]:
    """The path of this process's cgroup for each controller; version 2 has no name."""
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        yield from (
            (name, path) for name in controllers.split(",") if name in {"", "cpu", "memory"}
        )


def _mounts(text: str) -> Iterator[tuple[str, Path, set[str]]]:
    """Root, point and controllers of each mounted hierarchy (proc_pid_mountinfo(5))."""
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, (kind, *_, options) = before.split(), after.split() or [""] * 2
        if kind in {"cgroup", "cgroup2"}:
            controllers = set(options.split(",")) if kind == "cgroup" else {""}
            root, point = (re.sub(r"\\([0-7]{3})", _character, each) for each in fields[3:5])
            yield root, Path(point), controllers


def _character(escape: re.Match[str]) -> str:
    return chr(int(escape[1], 8))


def _cores(folder: Path, files: _Files) -> int | None:
    """Whole cores of a group's quota of processor time, at least one; None if it has none."""
    words = " ".join(_text(folder / name) for name in files.quota).split()
    if len(words) != 2 or not all(word.isdecimal() and int(word) for word in words):  # noqa: PLR2004 - quota, period
        return None
    return -(-int(words[0]) // int(words[1]))


def _limit(folder: Path, files: _Files) -> int | None:
    """The memory limit of a group in bytes; None if it has none."""
    texts = [_text(folder / name).strip() for name in files.limits]
    return min((int(text) for text in texts if text.isdecimal()), default=None)


def _memory(folder: Path, files: _Files) -> int | None:
    """What a group's limit has left; None if it has none."""
    limit = _limit(folder, files)
    if limit is None:
        return None
    usage = _text(folder / files.usage).strip()
    stat = _text(folder / "memory.stat")
    reclaimable = re.search(rf"^{files.reclaimable} (\d+)$", stat, re.MULTILINE)
    used = int(usage) if usage.isdecimal() else 0
    return max(0, limit - max(0, used - (int(reclaimable[1]) if reclaimable else 0)))


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
