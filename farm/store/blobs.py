"""Content-addressed store: files named by their sha256, written whole or not at all.

Layout below the root::

    sha256/ab/abcdef…   the files, mode 0444, times fixed
    alias/…json         names for what has no hash beforehand (``git:<commit>``)
    partial/<sha256>    downloads that were interrupted; who fetches one holds a lock on it
    tmp/                files being written; their writers hold a lock on them

Any number of threads and processes may use one store at the same time.  It is a cache:
what is in it is held against its name again where it is used.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Self

from farm.errors import IntegrityError
from farm.host.files import link, sha256_of, storage_errors, write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import TracebackType

CHUNK_BYTES = 1 << 20
STORED_TIME_S = 315_532_800
"""Every stored file carries this time (1980-01-01, the earliest that zip knows).

Its microseconds are the file's size, modulo a million: contexts are equal on every
machine, and whoever writes into an entry, or cuts it, shows it.
"""
_STALE_S = {"tmp": 3600.0, "partial": 30 * 86400.0, "corrupt": 0.0}
"""What is swept once it was left alone so long; ``corrupt`` is of older farms."""
_USE_NOTED_S = 3600.0
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TAG = """Signature: 8a477f597d28d172789f06886806bc55
# This folder is a cache of farm (https://bford.info/cachedir/).
"""


def check_sha256(text: str) -> str:
    """The text itself, if it is 64 lower-case hex digits.

    Raises:
        ValueError: it is something else.
    """
    if not _SHA256.fullmatch(text):
        raise ValueError(f"not a sha256: {text[:80]!r}")
    return text


class Writer:
    """A file on its way into the store: write to it, then leave the ``with`` block.

    Left by an exception, nothing remains.  ``sha256`` and ``size`` are known
    afterwards.
    """

    def __init__(self, store: Store, expected: str | None) -> None:
        self._store = store
        self._expected = expected
        self._hash = hashlib.sha256()
        self.sha256 = ""
        self.size = 0

    def __enter__(self) -> Self:
        folder = self._store.folder("tmp")
        with storage_errors(folder):
            fd, name = tempfile.mkstemp(dir=folder)
        fcntl.flock(fd, fcntl.LOCK_EX)
        self._file = os.fdopen(fd, "wb", buffering=0)
        self._path = Path(name)
        return self

    def write(self, data: bytes | bytearray | memoryview) -> int:
        """Append; returns the number of bytes.

        Raises:
            StorageError: the disk is full.
        """
        view = memoryview(data)
        with storage_errors(self._path.parent):
            while view:
                view = view[self._file.write(view) :]
        self._hash.update(data)
        self.size += len(data)
        return len(data)

    def tell(self) -> int:
        """Bytes written so far; tarfile asks for it."""
        return self.size

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._commit()
        finally:
            self._file.close()
            self._path.unlink(missing_ok=True)

    def _commit(self) -> None:
        self.sha256 = self._hash.hexdigest()
        if self._expected is not None and self.sha256 != self._expected:
            raise IntegrityError(
                f"expected sha256 {self._expected}, got {self.sha256} ({self.size:,} bytes)"
            )
        self._store.adopt(self._path, self.sha256, fd=self._file.fileno())


class Store:
    """The store below ``root``; nothing is created before something is written."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str) -> Path:
        """One of the store's folders, created if need be.

        Raises:
            StorageError: it cannot be created.
        """
        folder = self.root / name
        if not folder.is_dir():
            with storage_errors(self.root):
                folder.mkdir(parents=True, exist_ok=True)
                _write_tag(self.root)
        return folder

    def path_of(self, sha256: str) -> Path:
        """Where a file of that content lies, or would lie."""
        return self.root / "sha256" / check_sha256(sha256)[:2] / sha256

    def get(self, sha256: str) -> Path | None:
        """The file of that content, or None.

        One whose time or size changed since it was stored is rehashed, and removed
        if it is no longer what its name says.

        Raises:
            StorageError: it cannot be removed.
        """
        path = self.path_of(sha256)
        try:
            if not _is_sealed(path):
                if sha256_of(path) != sha256:
                    with storage_errors(path):
                        path.unlink()
                    return None
                with contextlib.suppress(PermissionError):
                    _seal(path)
            _note_use(path)
        except FileNotFoundError:
            return None
        return path

    def writer(self, *, expected: str | None = None) -> Writer:
        """A `Writer`; with ``expected`` set, other content raises IntegrityError at the end."""
        return Writer(self, expected)

    def add_stream(
        self, stream: IO[bytes] | Iterable[bytes], *, expected: str | None = None
    ) -> str:
        """Store what a file object or an iterable of chunks yields; returns its sha256.

        Raises:
            IntegrityError: it is not ``expected``.
            StorageError: the disk is full.
        """
        chunks = _chunks(stream) if hasattr(stream, "read") else stream
        with self.writer(expected=expected) as writer:
            for chunk in chunks:
                writer.write(chunk)
        return writer.sha256

    def add_file(self, path: Path, *, expected: str | None = None) -> str:
        """Store a copy of a file; returns its sha256.  Raises like `add_stream`."""
        with path.open("rb") as file:
            return self.add_stream(file, expected=expected)

    def adopt(self, path: Path, sha256: str, *, fd: int | None = None) -> Path:
        """Move a file of the store's own file system in; its content was hashed by the caller.

        Raises:
            StorageError: the disk is full.
        """
        target = self.path_of(sha256)
        folder = self.folder(f"sha256/{sha256[:2]}")
        with storage_errors(folder):
            _sync(path, fd)
            _seal(path)
            path.rename(target)
            _sync(folder, None)
        return target

    def alias(self, key: str) -> str | None:
        """The sha256 stored for a key, if the file is still there."""
        try:
            record = json.loads(self._alias_path(key).read_bytes())
            sha256 = check_sha256(record["sha256"]) if record["key"] == key else None
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            return None
        return sha256 if sha256 and self.get(sha256) else None

    def set_alias(self, key: str, sha256: str) -> None:
        """Remember what a key stands for.

        Raises:
            StorageError: the disk is full.
        """
        record = json.dumps({"key": key, "sha256": check_sha256(sha256)}) + "\n"
        self.folder("alias")
        write_whole(self._alias_path(key), record.encode())

    def _alias_path(self, key: str) -> Path:
        return self.root / "alias" / f"{hashlib.sha256(key.encode()).hexdigest()}.json"

    def link_to(self, sha256: str, dest: Path) -> None:
        """Put the file at ``dest``: a hard link, or a copy on another file system.

        Raises:
            FileNotFoundError: the store does not have it.
            StorageError: the disk is full.
        """
        source = self.path_of(sha256)
        with storage_errors(dest.parent):
            dest.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".link-", dir=dest.parent) as folder:
                temporary = Path(folder) / "file"
                link(source, temporary)
                temporary.replace(dest)

    @contextlib.contextmanager
    def work_folder(self) -> Iterator[Path]:
        """An empty folder below ``tmp/`` that is gone afterwards."""
        parent = self.folder("tmp")
        with storage_errors(parent):
            folder = Path(tempfile.mkdtemp(dir=parent))
        fd = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(fd)

    def sweep(self) -> None:
        """Remove what killed farms left: an hour old, a month where it can be gone on from.

        What somebody holds a lock on stays.
        """
        for name, age_s in _STALE_S.items():
            for path in (self.root / name).glob("*"):
                with contextlib.suppress(OSError):
                    if time.time() - path.stat().st_mtime > age_s:
                        _remove_unlocked(path)


def _chunks(stream: object) -> Iterator[bytes]:
    read = stream.read  # type: ignore[attr-defined]
    while chunk := read(CHUNK_BYTES):
        yield chunk


def _write_tag(root: Path) -> None:
    tag = root / "CACHEDIR.TAG"
    if not tag.exists():
        write_whole(tag, _TAG.encode())


def _sync(path: Path, fd: int | None) -> None:
    own = os.open(path, os.O_RDONLY) if fd is None else fd
    try:
        os.fsync(own)
    finally:
        if fd is None:
            os.close(own)


def _seal(path: Path) -> None:
    path.chmod(0o444)
    time_us = STORED_TIME_S * 1_000_000 + path.stat().st_size % 1_000_000
    os.utime(path, ns=(time_us * 1000, time_us * 1000))


def _note_use(path: Path) -> None:
    """Let the access time say that it was used now, also where reading does not (noatime)."""
    status = path.stat()
    if time.time() - status.st_atime > _USE_NOTED_S:
        with contextlib.suppress(PermissionError):
            os.utime(path, ns=(time.time_ns(), status.st_mtime_ns))


def _is_sealed(path: Path) -> bool:
    status = path.stat()
    seconds, part_ns = divmod(status.st_mtime_ns, 1_000_000_000)
    # Of an older farm, or on a file system that keeps seconds only, the size is not there.
    return seconds == STORED_TIME_S and part_ns in {0, status.st_size % 1_000_000 * 1000}


def _remove_unlocked(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if not os.path.samestat(os.fstat(fd), path.stat()):
            return  # another has its name by now
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    finally:
        os.close(fd)
