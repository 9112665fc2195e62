"""Results by identity, and the views of them below ``out/``; each is whole or not there.

The store keeps what every identity gave, for all projects of a machine::

    kept/<package>-<version>/<variant>/<identity>/   wheels, record.json, manifest.json, …

``out/<package>-<version>/<variant>/`` shows one of them: a copy, which shares its
blocks with the kept one where the file system can, so that what is done to one never
harms the other.  A file is believed by its sha256 alone.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.host.files import copy, sha256_of, storage_errors, sync_tree
from farm.host.locks import holding, take_alone
from farm.store.record import read_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.model.unit import UnitKey
    from farm.store.record import Record

STATE = ".farm"
KEPT = 5
"""Results of one unit that are kept; of more, those that were used longest ago go."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What an identity gave: the record, and the folder in which the wheels lie."""

    record: Record
    folder: Path

    @property
    def identity(self) -> str:
        """The identity of the unit that was built."""
        return self.record.identity


def result_folder(out: Path, key: UnitKey) -> Path:
    """``out/<package>-<version>/<variant>``."""
    return out / key.folder


def find_result(out: Path, key: UnitKey, identity: str) -> Result | None:
    """The result that ``out/`` shows for a unit, if it is whole and of this identity.

    Every wheel is hashed again: a file that was cut, swapped or removed makes
    the result as good as absent.
    """
    return result_at(result_folder(out, key), key, identity)


class ResultStore:
    """What is kept below ``root``; any number of farms may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, key: UnitKey, identity: str) -> Path:
        """Where a result lies, or would lie."""
        return self.root / key.folder / identity

    def lock(self, key: UnitKey, identity: str) -> Path:
        """The lock file of a result; who builds it holds it."""
        return self.root / key.folder / f".{identity}.lock"

    def find(self, key: UnitKey, identity: str) -> Result | None:
        """The result of an identity if it is kept and whole."""
        found = result_at(self.folder(key, identity), key, identity)
        if found:
            with suppress(OSError):
                os.utime(found.folder)  # used now: others go before it
        return found

    def keep(self, made: Path, key: UnitKey, identity: str) -> Result:
        """Move a finished folder of `scratch` into its place, and let the oldest go.

        Killed at any point, the result is there whole or not at all.

        Raises:
            StorageError: the disk is full.
        """
        target = self.folder(key, identity)
        with storage_errors(target):
            sync_tree(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            _swap(made, target)
        self._prune(target.parent, spared=target)
        record = read_record(target)
        if record is None:
            raise ValueError(f"{target} was kept without a record")
        return Result(record=record, folder=target)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A new folder on the store's file system; gone afterwards, unless it was kept."""
        with storage_errors(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            folder = Path(tempfile.mkdtemp(prefix=".new-", dir=self.root))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def show(self, result: Result, out: Path, key: UnitKey) -> Result:
        """Make ``out/`` show a result; what was shown before and is not kept is kept first.

        Raises:
            StorageError: the disk is full, or the folder cannot be written.
        """
        target = result_folder(out, key)
        if result.folder == target:
            return result
        state = out / STATE
        with storage_errors(target):
            state.mkdir(parents=True, exist_ok=True)
            target.parent.mkdir(parents=True, exist_ok=True)
            with holding(state / "locks" / f"{key.folder.replace('/', '@')}.lock"):
                self._keep_shown(target, key)
                made = Path(tempfile.mkdtemp(prefix="view-", dir=state))
                try:
                    made.chmod(0o755)
                    _copy_tree(result.folder, made)
                    sync_tree(made)
                    _swap(made, target)
                finally:
                    shutil.rmtree(made, ignore_errors=True)
        return Result(record=result.record, folder=target)

    def _keep_shown(self, shown: Path, key: UnitKey) -> None:
        """What the next view replaces may be all that there is of a result."""
        record = read_record(shown)
        if record is None or self.find(key, record.identity):
            return
        if result_at(shown, key, record.identity):
            with self.scratch() as made:
                _copy_tree(shown, made)
                self.keep(made, key, record.identity)

    def _prune(self, folder: Path, *, spared: Path) -> None:
        kept = [path for path in folder.iterdir() if path.is_dir() and path != spared]
        kept.sort(key=lambda path: path.stat().st_mtime, reverse=True)
        for path in kept[KEPT - 1 :]:
            with take_alone(path.with_name(f".{path.name}.lock")) as free:
                if free:
                    shutil.rmtree(path, ignore_errors=True)


def result_at(folder: Path, key: UnitKey, identity: str) -> Result | None:
    """The result in a folder, if it is whole, of this unit and of this identity."""
    record = read_record(folder)
    if record is None or record.identity != identity or record.outcome != "built":
        return None
    if record.unit != key.label or not record.wheels:
        return None
    intact = all(_matches(folder / w.filename, w.sha256, w.size_bytes) for w in record.wheels)
    intact = intact and all(_attested(folder / a.name, a.digest) for a in record.attestations)
    return Result(record=record, folder=folder) if intact else None


def _attested(path: Path, digest: str) -> bool:
    try:
        return not path.is_symlink() and f"sha256:{sha256_of(path)}" == digest
    except OSError:
        return False


def _matches(path: Path, sha256: str, size_bytes: int) -> bool:
    try:
        if path.is_symlink() or path.stat().st_size != size_bytes:
            return False
        return sha256_of(path) == sha256
    except OSError:
        return False


def _copy_tree(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        elif path.is_file():
            copy(path, place)


def _swap(made: Path, target: Path) -> None:
    """Put a folder in another's place; where it fails, the old one stays."""
    old = made.with_name(f"{made.name}.old")
    if target.exists():
        target.rename(old)
    try:
        made.rename(target)
    except OSError:
        if old.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
