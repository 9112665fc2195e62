"""Files: digests, writing whole or not at all, and what it means when the disk refuses."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT}
"""What the system says when the disk, or the user's share of it, is full."""
_REFUSED = (
    FULL_ERRNOS
    | {errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.ENOTDIR, errno.EISDIR}
    | {errno.EEXIST, errno.ELOOP, errno.ENAMETOOLONG}
)
_FULL_WORDS = ("no space left on device", "don't have enough free space", "disk quota exceeded")
_BLOCK_BYTES = 512
"""The unit of ``st_blocks`` (stat(2)), whatever the file system's own is."""
_LINK_REFUSED = {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.EACCES}
_FICLONE = 0x40049409  # linux/fs.h: share the blocks of another file


def sha256_of(path: Path) -> str:
    """sha256 of a file's content, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_whole(path: Path, content: bytes | str, *, mode: int = 0o644) -> None:
    """Write a small file in one piece: it is the old one or the new one at any time.

    Raises:
        StorageError: the disk is full, or the folder cannot be written.
    """
    data = content.encode() if isinstance(content, str) else content
    with storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "wb") as file:
                os.fchmod(fd, mode)
                file.write(data)
                file.flush()
                os.fsync(fd)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def sync_tree(folder: Path) -> None:
    """Make sure that everything below a folder is on the disk, before it is renamed into place."""
    for path in (*folder.rglob("*"), folder):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            continue
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def copy(source: Path, target: Path) -> None:
    """Copy a file's content; where the file system can, both share their blocks until one changes.

    Raises:
        OSError: it cannot be read or written.
    """
    with source.open("rb") as given, target.open("wb") as taken:
        with suppress(OSError):
            fcntl.ioctl(taken.fileno(), _FICLONE, given.fileno())
            return
        shutil.copyfileobj(given, taken, 1 << 20)


def link(source: Path, target: Path) -> None:
    """Make ``target`` the same file, or a copy with its mode and times on another file system.

    Raises:
        OSError: it cannot be read or written.
    """
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _LINK_REFUSED:
            raise
        shutil.copy2(source, target)


@contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn what the file system refuses while ``path`` is written into a StorageError."""
    try:
        yield
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        raise storage_error(error, path) from error


def storage_error(error: OSError, path: Path | str) -> StorageError:
    """What an `OSError` means for a path that is written: why, and what to do."""
    if error.errno in FULL_ERRNOS:
        return StorageError(
            f"no space left while writing {path}{room_text(Path(path))}",
            hint="make room ('farm clean' says what it can remove) and build again, or set "
            "FARM_CACHE_DIR or --output-dir to a folder on a larger disk",
        )
    return StorageError(
        f"cannot write {path}: {error.strerror or error}",
        hint="make the folder writable, or set FARM_CACHE_DIR or --output-dir to one that is",
    )


def says_full(text: str) -> bool:
    """Whether a program complains of a full disk."""
    return any(words in text.lower() for words in _FULL_WORDS)


def full_disk(path: Path) -> StorageError:
    """The error for a disk that became full where ``path`` is written."""
    return storage_error(OSError(errno.ENOSPC, ""), path)


def free_bytes(path: Path) -> int:
    """What is free on the disk where a path lies, or would lie."""
    return shutil.disk_usage(existing(path)).free


def existing(path: Path) -> Path:
    """The nearest folder upward that is there."""
    return next((each for each in (path, *path.parents) if each.exists()), Path("/"))


def room_text(path: Path) -> str:
    """How much is free on the disk of a path, in brackets; nothing where nobody says."""
    with suppress(OSError):
        usage = shutil.disk_usage(existing(path))
        return f" ({usage.free / 1e6:,.1f} of {usage.total / 1e6:,.1f} MB free there)"
    return ""


def freed_bytes(paths: Iterable[Path]) -> int:
    """Return what deleting these would free on disk.

    A file that has a further name elsewhere (a context is made of hard links
    into the store) frees nothing.  Links are not followed; what vanishes
    meanwhile counts nothing.
    """
    names: dict[tuple[int, int], int] = {}
    total = 0
    for facts in _files(paths):
        key = (facts.st_dev, facts.st_ino)
        names[key] = names.get(key, 0) + 1
        if names[key] == facts.st_nlink:
            total += facts.st_blocks * _BLOCK_BYTES
    return total


def _files(paths: Iterable[Path]) -> Iterator[os.stat_result]:
    for path in paths:
        if path.is_symlink() or not path.is_dir():
            with suppress(OSError):
                yield path.lstat()
            continue
        for folder, _, names in os.walk(path):
            for name in names:
                with suppress(OSError):
                    yield os.lstat(os.path.join(folder, name))  # noqa: PTH118 - 10⁵ files
