"""The members of a zip file, read in chunks and within bounds, whoever made the file.

Only what cannot be read at all is an error; what is odd about members is
reported.  A member's data never exceeds the size that the directory declares
for it (zipfile stops there), so bounding the declared sizes bounds the work.
"""

from __future__ import annotations

import hashlib
import io
import re
import stat
import struct
import zipfile
import zlib
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from farm.errors import CheckError
from farm.inspect.facts import WheelProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

CHUNK_BYTES: Final = 1 << 20
HEAD_BYTES: Final = 64
"""What tells the kind of a file."""
MAX_DIRECTORY_BYTES: Final = 16 << 20
"""Largest central directory; 20,000 files with long names take 3 MB."""
MAX_MEMBERS: Final = 100_000
MAX_UNPACKED_BYTES: Final = 64 << 30
BOMB_BYTES: Final = 1 << 30
"""From this unpacked size on, an extreme compression ratio is suspicious."""
BOMB_RATIO: Final = 200
"""Deflate reaches 1032; shared objects with device code stay below 30."""

_READABLE: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
_ENCRYPTED: Final = 0x1  # general purpose bit 0 of APPNOTE.TXT, 4.4.4
_ELF_MAGIC: Final = b"\x7fELF"
# What zipfile raises for damaged files, besides its own error.
_DAMAGE: Final = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError,
    OverflowError, RuntimeError, ValueError,
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file, read: ``digest`` is of the algorithm asked for; ``fault`` says why it is not."""

    path: str
    size_bytes: int
    digest: bytes = b""
    is_elf: bool = False
    fault: str = ""


class Writer(Protocol):
    """Takes the bytes of a member."""

    def write(self, chunk: bytes, /) -> object:
        """Take some."""


class _BoundedFile(io.BufferedReader):
    """Refuses the one read that a file can make arbitrarily large: that of its directory."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"its directory would take {size:,} bytes")
        return super().read(size)


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file for reading.

    Raises:
        CheckError: It cannot be read, or it is no whole zip file.
    """
    try:
        with _BoundedFile(io.FileIO(path)) as file:
            try:
                archive = zipfile.ZipFile(file)
            except _DAMAGE as error:
                raise CheckError(
                    f"{path.name} is no whole zip file: {error}",
                    hint="it was cut short or damaged after it was written; build it again",
                ) from error
            with archive:
                yield archive
    except OSError as error:
        raise CheckError(f"{path.name} cannot be read: {error}") from error


def files_of(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The members that are not folders, in the order of the directory."""
    # Not is_dir(), which fails on an empty name in some Pythons.
    return [info for info in archive.infolist() if not info.filename.endswith("/")]


def bomb(infos: Sequence[zipfile.ZipInfo], *, size_bytes: int) -> WheelProblem | None:
    """Why the data should not be read at all, if so; ``size_bytes`` is the whole file's.

    Packed sizes are no measure, since members may share the same packed data.
    """
    unpacked = sum(info.file_size for info in infos)
    if len(infos) > MAX_MEMBERS:
        what = f"it has {len(infos):,} members"
    elif unpacked > MAX_UNPACKED_BYTES:
        what = f"it would unpack to {unpacked:,} bytes"
    elif unpacked > BOMB_BYTES and unpacked > BOMB_RATIO * size_bytes:
        what = f"{size_bytes:,} bytes would unpack to {unpacked:,}"
    else:
        return None
    return WheelProblem(code="bomb", message=f"{what}, so its content was not read")


def check_members(infos: Sequence[zipfile.ZipInfo]) -> list[WheelProblem]:
    """What is odd about members before their data is looked at."""
    counts = Counter(info.filename for info in infos)
    rules: tuple[tuple[str, str, Callable[[zipfile.ZipInfo], bool]], ...] = (
        ("duplicate", "there more than once", lambda info: counts[info.filename] > 1),
        ("unsafe-name", "named so that unpacking could leave the folder", _is_unsafe),
        ("special-file", "neither a file nor a folder (a symbolic link, say)", _is_special),
        ("encoding", "encrypted or packed otherwise than with deflate", _is_unreadable),
    )
    found = []
    for code, text, applies in rules:
        names = tuple(sorted({info.filename for info in infos if applies(info)}))
        if names:
            found.append(WheelProblem(code=code, message=text, members=names))
    return found


def read_member(
    archive: zipfile.ZipFile,
    info: zipfile.ZipInfo,
    algorithm: str,
    *,
    copy_for: Callable[[bytes], Writer | None],
) -> Member:
    """Read a member once: its digest, its true size, and whether it is ELF.

    ``copy_for`` sees its first bytes, and may return what takes all of them.
    """
    if _is_unreadable(info):
        return Member(path=info.filename, size_bytes=0, fault="cannot be unpacked here")
    digest, size, head, copy = hashlib.new(algorithm), 0, b"", None
    try:
        with archive.open(info) as data:
            while chunk := data.read(CHUNK_BYTES):
                if not head:
                    head = chunk[:HEAD_BYTES]
                    copy = copy_for(head)
                digest.update(chunk)
                size += len(chunk)
                if copy:
                    copy.write(chunk)
    except _DAMAGE as error:
        return Member(path=info.filename, size_bytes=size, fault=str(error) or "is damaged")
    fault = "" if size == info.file_size else f"holds {size:,} of {info.file_size:,} bytes"
    return Member(
        path=info.filename,
        size_bytes=size,
        digest=digest.digest(),
        is_elf=head.startswith(_ELF_MAGIC),
        fault=fault,
    )


def read_small(archive: zipfile.ZipFile, path: str, limit_bytes: int) -> bytes | None:
    """The data of a member, or None where it is not there, damaged or beyond the limit."""
    try:
        info = archive.getinfo(path)
        if _is_unreadable(info) or info.file_size > limit_bytes:
            return None
        return archive.read(info)
    except (KeyError, *_DAMAGE):
        return None


def _is_unsafe(info: zipfile.ZipInfo) -> bool:
    name = info.orig_filename  # zipfile cuts `filename` at a NUL
    parts = name.removesuffix("/").split("/")
    return bool(
        re.search(r"[\x00-\x1f\x7f\\]", name)
        or re.match(r"[A-Za-z]:", name)
        or {"", ".", ".."} & set(parts)
    )


def _is_special(info: zipfile.ZipInfo) -> bool:
    kind = stat.S_IFMT(info.external_attr >> 16)
    return kind not in {0, stat.S_IFREG, stat.S_IFDIR}


def _is_unreadable(info: zipfile.ZipInfo) -> bool:
    # Other methods unpack without a bound on memory, and installers don't agree on them.
    return info.compress_type not in _READABLE or bool(info.flag_bits & _ENCRYPTED)
