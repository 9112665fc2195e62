"""What this machine has to offer to compilers: cores and memory, as its cgroup allows."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_MEMORY_LIMITS = ("memory.max", "memory/memory.limit_in_bytes")
_UNLIMITED = 1 << 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the machine that compiles has to offer.

    ``memory_bytes`` is what may be used, after everything that already runs there.
    """

    cores: int
    memory_bytes: int


def this_machine(memory_bytes: int | None = None) -> Machine:
    """Cores that this process may use, and memory that is free for a build.

    Memory is the kernel's MemAvailable (proc_meminfo(5)), or the cgroup's
    limit where that is less; ``memory_bytes`` is the user's own budget.
    """
    return Machine(
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=memory_bytes or min(_available(), _limit()),
    )


def _available() -> int:
    for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
        name, _, rest = line.partition(":")
        if name == "MemAvailable":
            return int(rest.split()[0]) * 1024
    return 2**31


def _limit() -> int:
    for name in _MEMORY_LIMITS:
        try:
            text = (_CGROUP / name).read_text(encoding="ascii").strip()
        except OSError:
            continue
        return int(text) if text.isdecimal() else _UNLIMITED
    return _UNLIMITED
