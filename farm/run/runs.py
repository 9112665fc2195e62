"""Runs: one folder for each invocation that builds, with a log for each unit."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import shutil
import time
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from farm.host.files import storage_errors
from farm.host.locks import holding
from farm.store.record import typed
from farm.store.results import STATE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.model.unit import UnitKey

KEPT_RUNS = 50
"""How many runs are kept; older ones that are over go when a new one begins."""
_LOCK = ".lock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A run's name and folder."""

    name: str
    folder: Path

    def unit_folder(self, key: UnitKey) -> Path:
        """Where one unit's Dockerfile, logs and record of this run lie."""
        return self.folder / key.folder


@dataclass(frozen=True, slots=True, kw_only=True)
class RunSummary:
    """What ``run.json`` holds once the run is over."""

    name: str
    command: tuple[str, ...]
    started_s: float
    seconds: float
    exit_code: int
    units: dict[str, str]


def runs_folder(out: Path) -> Path:
    """Where runs are kept."""
    return out / STATE / "runs"


@contextmanager
def new_run(out: Path) -> Iterator[Run]:
    """A new run, named by time, with a folder of its own; the oldest are let go.

    It counts as running (`is_running`) until the context ends, or the process however it ends.

    Raises:
        StorageError: the folder cannot be written.
    """
    run = _with_folder(out)
    with holding(run.folder / _LOCK):
        with storage_errors(run.folder):
            _point_latest(run.folder)
            ignore = out / STATE / ".gitignore"
            if not ignore.exists():
                ignore.write_text("*\n", encoding="utf-8")
        for old in list_runs(out)[KEPT_RUNS:]:
            if not is_running(old):
                shutil.rmtree(old.folder, ignore_errors=True)
        yield run


def _with_folder(out: Path) -> Run:
    while True:
        now = time.time()  # runs sort by name, also those that begin within one second
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
        name = f"{stamp}-{int(now % 1 * 1e6):06d}-{secrets.token_hex(2)}"
        folder = runs_folder(out) / name
        with storage_errors(folder):
            folder.parent.mkdir(parents=True, exist_ok=True)
            with suppress(FileExistsError):  # another run has the name: take the next
                folder.mkdir()
                return Run(name=name, folder=folder)


def is_running(run: Run) -> bool:
    """Whether the process of a run lives: the kernel ends its lock with it."""
    try:
        descriptor = os.open(run.folder / _LOCK, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _point_latest(folder: Path) -> None:
    link = folder.parent / f".latest-{folder.name}"
    link.symlink_to(folder.name)
    link.replace(folder.parent / "latest")


def list_runs(out: Path) -> list[Run]:
    """Runs that are kept, newest first."""
    try:
        folders = [p for p in runs_folder(out).iterdir() if p.is_dir() and not p.is_symlink()]
    except OSError:
        return []
    ordered = sorted(folders, key=lambda path: path.name, reverse=True)
    return [Run(name=path.name, folder=path) for path in ordered]


def write_summary(run: Run, summary: RunSummary) -> None:
    """Write ``run.json`` in one piece; a run that is over without it was killed."""
    temporary = run.folder / ".run.json.tmp"
    text = json.dumps(asdict(summary), indent=2, sort_keys=True)
    with storage_errors(run.folder):
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(run.folder / "run.json")


def read_summary(run: Run) -> RunSummary | None:
    """What a run came to; None if it still goes on or was killed."""
    try:
        data = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
        return typed(RunSummary(**data | {"command": tuple(data["command"])}))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
