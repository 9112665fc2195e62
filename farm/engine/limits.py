"""What all builds of the private engine may take together, held by the kernel (cgroups(7)).

The gate (`farm/inside/gate.c`) keeps compilers within their budget.  This is for all the rest: a
linker, a code generator, a smoke test that runs away ends, and the machine does not.
"""

from __future__ import annotations

import mmap
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from farm.host.machine import installed_memory

if TYPE_CHECKING:
    from farm.engine.place import Place

_TOP = Path("/sys/fs/cgroup")
_V1 = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
"""Memory, then memory and swap space together (cgroup-v1/memory.rst)."""
_V2 = ("memory.max", "memory.swap.max")
"""Memory, then swap space (cgroup-v2.rst)."""
_LEAST_KEPT_BYTES, _MOST_KEPT_BYTES = 2**28, 2**31
_SHARE_KEPT = 16


def most_for_builds(installed: int) -> int:
    """Bytes of this memory that builds may have, in whole pages.

    The machine keeps a sixteenth, but at least 256 MiB and at most 2 GiB.
    """
    kept = min(max(installed // _SHARE_KEPT, _LEAST_KEPT_BYTES), _MOST_KEPT_BYTES)
    return (installed - kept) // mmap.PAGESIZE * mmap.PAGESIZE


def limit_builds(place: Place, *, top: Path = _TOP) -> None:
    """Give the cgroup of all builds less memory than there is, and none of the swap space.

    A lower limit that somebody set stays.  Where none can be given (no memory controller, no
    right to), the gate alone holds: `limit_of` tells.
    """
    limit, is_now = most_for_builds(installed_memory()), limit_of(place, top=top)
    if is_now is not None and is_now <= limit:
        return
    group = top / place.cgroup.lstrip("/")
    if (top / "cgroup.controllers").exists():
        _write(top / "cgroup.subtree_control", "+memory")
        values = dict(zip(_V2, (limit, 0), strict=True))
    elif (top / "memory").is_dir():
        group = top / "memory" / group.name
        values = dict.fromkeys(_V1, limit)
    else:
        return
    with suppress(OSError):
        group.mkdir(exist_ok=True)
    for name, value in values.items():
        _write(group / name, str(value))


def limit_of(place: Place, *, top: Path = _TOP) -> int | None:
    """What the kernel holds builds to, in bytes; None if to nothing."""
    name = place.cgroup.lstrip("/")
    for file in (top / name / _V2[0], top / "memory" / name / _V1[0]):
        with suppress(OSError):
            text = file.read_text(encoding="ascii").strip()
            if text.isdecimal() and int(text) < installed_memory():
                return int(text)
    return None


def _write(file: Path, text: str) -> None:
    """Write what is there already and may be written; nothing is made anew in a cgroup."""
    with suppress(OSError), file.open("r+", encoding="ascii") as opened:
        opened.write(text)
