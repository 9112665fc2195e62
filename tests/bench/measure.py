"""Two commands in turn, on one machine, and what their medians say."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command to time, and what to call it.  What it prints goes nowhere."""

    label: str
    argv: tuple[str, ...]
    cwd: Path | None = None
    env: Mapping[str, str] | None = None

    def seconds(self) -> float:
        """Run it once; wall-clock seconds from start to exit.

        Raises:
            RuntimeError: it failed, with what it said.
        """
        started = time.perf_counter()
        ended = subprocess.run(
            self.argv, cwd=self.cwd, env=self.env, capture_output=True, text=True, check=False
        )
        passed = time.perf_counter() - started
        if ended.returncode:
            said = (ended.stderr or ended.stdout)[-2000:]
            raise RuntimeError(f"{self.label} ended with status {ended.returncode}:\n{said}")
        return passed


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """How one command compares with another; times in seconds, in the order of the runs."""

    name: str
    ours: str
    theirs: str
    goal: float
    ours_s: tuple[float, ...]
    theirs_s: tuple[float, ...]

    @property
    def ratio(self) -> float:
        return median(self.ours_s) / median(self.theirs_s)

    @property
    def met(self) -> bool:
        return self.ratio < self.goal

    def as_json(self) -> dict[str, Any]:
        medians = {"ours_median_s": median(self.ours_s), "theirs_median_s": median(self.theirs_s)}
        return {**asdict(self), **medians, "ratio": self.ratio, "met": self.met}


def compare(name: str, ours: Command, theirs: Command, *, goal: float, pairs: int) -> Comparison:
    """Time both in turn (A B A B …), so that what else the machine does meets both alike.

    A pair before the first fills caches and is not counted.
    """
    ours.seconds()
    theirs.seconds()
    times = [(ours.seconds(), theirs.seconds()) for _ in range(pairs)]
    return Comparison(
        name=name,
        ours=ours.label,
        theirs=theirs.label,
        goal=goal,
        ours_s=tuple(first for first, _ in times),
        theirs_s=tuple(second for _, second in times),
    )


def machine() -> dict[str, str]:
    """What the figures were measured on, and how busy that was."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0))),
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
    }


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.machine()
