"""Results below ``out/``: found again by identity, checked by hash, put there in one piece."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from farm.host.files import sha256_of, storage_error
from farm.store.record import read_record

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.unit import UnitKey
    from farm.store.record import Record

STATE = ".farm"


def result_folder(out: Path, key: UnitKey) -> Path:
    """``out/<package>-<version>/<variant>``."""
    return out / key.folder


def find_result(out: Path, key: UnitKey, identity: str) -> Record | None:
    """The record of a whole, intact result of this identity, or None.

    Every wheel is hashed again: a file that was cut, swapped or removed makes
    the result as good as absent.
    """
    folder = result_folder(out, key)
    record = read_record(folder)
    if record is None or record.identity != identity or record.outcome != "built":
        return None
    if record.unit != key.label or not record.wheels:
        return None
    intact = all(_matches(folder / w.filename, w.sha256, w.size_bytes) for w in record.wheels)
    return record if intact else None


def _matches(path: Path, sha256: str, size_bytes: int) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size != size_bytes:
            return False
        return sha256_of(path) == sha256
    except OSError:
        return False


def publish(staging: Path, out: Path, key: UnitKey) -> Path:
    """Put a finished folder where results are; the one that was there goes away.

    ``staging`` must be on the same file system.  Killed at any point, either
    result or none is there, never a mixture; where it fails, the old one stays.

    Raises:
        StorageError: the disk is full or the folder cannot be written.
    """
    target = result_folder(out, key)
    old = staging.parent / f"{staging.name}.old"
    try:
        _sync(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            target.rename(old)
        _replace(staging, target, old)
    except OSError as error:
        raise storage_error(error, target) from error
    shutil.rmtree(old, ignore_errors=True)
    return target


def _replace(staging: Path, target: Path, old: Path) -> None:
    try:
        staging.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as stream:
                os.fsync(stream.fileno())
