"""Processes that outlive the program that started them, told apart by more than their pid."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_FIELDS_BEFORE_START = 19
"""Between the state (field 3) and the start time (field 22) of proc_pid_stat(5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessId:
    """A pid that a later process with the same number is not mistaken for.

    ``start_ticks`` is when it began, in clock ticks since the boot ``boot_id``.
    """

    pid: int
    start_ticks: int
    boot_id: str

    def alive(self) -> bool:
        """Tell whether this very process runs (a zombie does not)."""
        return _boot_id() == self.boot_id and _started(self.pid) == self.start_ticks

    def send(self, number: signal.Signals) -> bool:
        """Send a signal; return whether the process was there to get it."""
        if not self.alive():
            return False
        try:
            os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        return True

    def children(self) -> tuple[ProcessId, ...]:
        """Return its direct children."""
        try:
            text = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
        except OSError:
            return ()
        found = (identify(int(pid)) for pid in text.split())
        return tuple(child for child in found if child)

    def wait_gone(self, timeout_s: float) -> bool:
        """Wait until it has ended; return False when it has not in time."""
        deadline = time.monotonic() + timeout_s
        while self.alive():
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
        return True

    def end(self, *, grace_s: float) -> None:
        """End it: politely, and after ``grace_s`` seconds by force."""
        if self.send(signal.SIGTERM) and not self.wait_gone(grace_s):
            self.send(signal.SIGKILL)
            self.wait_gone(10)


def identify(pid: int) -> ProcessId | None:
    """Return the identity of a running process, or None if there is none."""
    start_ticks = _started(pid)
    if start_ticks is None:
        return None
    return ProcessId(pid=pid, start_ticks=start_ticks, boot_id=_boot_id())


def read_identity(file: Path) -> ProcessId | None:
    """Return who wrote its boot id and ``/proc/self/stat`` into a file, if it still runs."""
    try:
        boot_id, _, stat = file.read_text(encoding="utf-8", errors="replace").partition("\n")
        pid = int(stat.split()[0])
        start_ticks = int(stat.rpartition(")")[2].split()[_FIELDS_BEFORE_START])
    except (OSError, ValueError, IndexError):
        return None
    found = ProcessId(pid=pid, start_ticks=start_ticks, boot_id=boot_id)
    return found if found.alive() else None


def _boot_id() -> str:
    return _BOOT_ID.read_text(encoding="ascii").strip()


def _started(pid: int) -> int | None:
    """When a process began, in clock ticks; None if there is none, or only a zombie."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The name in parentheses may itself hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[_FIELDS_BEFORE_START])
