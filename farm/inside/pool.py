"""Say every few seconds how the compilers of all containers use their budget.

    python3 pool.py PARENT POOL CALLS MEMORY_BYTES

``POOL`` is the folder that their gates share (gate.c), ``CALLS`` the file to which those of
this container add a line for each call.  A line on stdout, whenever something has changed::

    farm: pool: running=3 bytes=4123456789 of=8589934592 calls=120 hits=37

It ends with the process ``PARENT``, which started it.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERY_S = 2.0
MOST_SLOTS = 4096
MOST_BYTES = 1 << 20
NEED = struct.Struct("=QQ")
"""What a running call's slot begins with (``struct need`` in gate.c): bytes predicted, and now."""
FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""A build can put anything there: nothing is followed, and nothing waited for."""


class Counter:
    """Counts the lines of a growing file, and those of hits."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read_to = 0
        self.calls = 0
        self.hits = 0

    def read(self) -> None:
        """Count what has come since."""
        descriptor = os.open(self.path, FLAGS)
        try:
            while data := os.pread(descriptor, MOST_BYTES, self.read_to):
                whole = data[: data.rfind(b"\n") + 1]
                if not whole:
                    return
                self.read_to += len(whole)
                self.calls += whole.count(b"\n")
                self.hits += whole.count(b'"cache":"hit"')
        finally:
            os.close(descriptor)


def look(pool: Path) -> tuple[int, int]:
    """Return how many calls run now, and the bytes that they take.

    Raises:
        BlockingIOError: a gate counts just now.
    """
    running = taken = 0
    scan = os.open(pool / "scan", FLAGS | os.O_CREAT, 0o644)
    try:  # no gate counts meanwhile: it would take a look of ours for a call that runs
        fcntl.flock(scan, fcntl.LOCK_EX | fcntl.LOCK_NB)
        for number in range(MOST_SLOTS):
            need = held(pool / "slots" / str(number))
            if need is None:
                break
            running += bool(need)
            taken += NEED.unpack(need)[1] if len(need) == NEED.size else 0
    finally:
        os.close(scan)
    return running, taken


def held(slot: Path) -> bytes | None:
    """Return what a call wrote into the slot that it holds; None if there is no such slot."""
    try:
        descriptor = os.open(slot, FLAGS)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, NEED.size, 0) or b"\0"  # it has just been taken
    else:
        return b""
    finally:
        os.close(descriptor)


def main(arguments: Sequence[str]) -> int:
    """Go on until nobody listens."""
    parent, pool, calls, memory = arguments
    counter, said = Counter(Path(calls)), ""
    while os.getppid() == int(parent):
        with suppress(OSError):  # at the next look
            counter.read()
        with suppress(OSError):
            running, taken = look(Path(pool))
            now = f"running={running} bytes={taken} of={int(memory)}"
            line = f"farm: pool: {now} calls={counter.calls} hits={counter.hits}\n"
            if line != said:
                os.write(sys.stdout.fileno(), line.encode())
                said = line
        time.sleep(EVERY_S)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
