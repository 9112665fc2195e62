"""Runs: one folder for each invocation that builds, with a log for each unit."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from farm.host.files import storage_error
from farm.store.record import typed
from farm.store.results import STATE

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.unit import UnitKey

KEPT_RUNS = 50
"""How many runs are kept; older ones go when a new one begins."""


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


def new_run(out: Path) -> Run:
    """Make the folder of a new run, named by time, and let the oldest go.

    Raises:
        StorageError: the folder cannot be written.
    """
    name = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}-{secrets.token_hex(2)}"
    folder = runs_folder(out) / name
    try:
        folder.mkdir(parents=True)
        _point_latest(folder)
        ignore = out / STATE / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", encoding="utf-8")
    except OSError as error:
        raise storage_error(error, folder) from error
    for old in list_runs(out)[KEPT_RUNS:]:
        shutil.rmtree(old.folder, ignore_errors=True)
    return Run(name=name, folder=folder)


def _point_latest(folder: Path) -> None:
    link = folder.parent / f".latest-{os.getpid()}"
    link.unlink(missing_ok=True)
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
    """Write ``run.json`` in one piece; a run without it was killed."""
    temporary = run.folder / ".run.json.tmp"
    text = json.dumps(asdict(summary), indent=2, sort_keys=True)
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(run.folder / "run.json")
    except OSError as error:
        raise storage_error(error, run.folder) from error


def read_summary(run: Run) -> RunSummary | None:
    """What a run came to; None if it still goes on or was killed."""
    try:
        data = json.loads((run.folder / "run.json").read_text(encoding="utf-8"))
        return typed(RunSummary(**data | {"command": tuple(data["command"])}))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
