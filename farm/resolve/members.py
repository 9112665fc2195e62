"""Files of a source archive, read without unpacking it or executing anything of it."""

from __future__ import annotations

import tarfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import IntegrityError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# No source comes near these; they bound the time that a hostile one takes.
_MAX_MEMBERS = 500_000
_MAX_UNPACKED_BYTES = 32 << 30
# TypeError: what tarfile makes of a gzip header that ends early (it takes the ord of nothing).
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, EOFError, OSError, ValueError, TypeError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One entry; ``inner`` is its name without the archive's top folder.

    ``read`` returns at most so many bytes, and only while it is this entry's turn.
    """

    inner: str
    plain: bool
    size_bytes: int
    read: Callable[[int], bytes]


def members(source: Path) -> Iterator[Member]:
    """The entries of a tar or zip archive with one top folder, in its order.

    Raises:
        IntegrityError: not an archive, or one whose members leave its folder.
    """
    with _whole(source):
        yield from _of_zip(source) if zipfile.is_zipfile(source) else _of_tar(source)


@contextmanager
def _whole(source: Path) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        raise IntegrityError(f"{source.name} is no whole archive: {error}") from error


def _of_tar(source: Path) -> Iterator[Member]:
    with tarfile.open(source, "r|*") as tar:
        for count, member in enumerate(tar):
            name = _safe(source, member.name)
            if count > _MAX_MEMBERS or member.offset > _MAX_UNPACKED_BYTES:
                raise IntegrityError(f"{source.name} unpacks to far more than any source should")

            def read(limit: int, member: tarfile.TarInfo = member) -> bytes:
                with _whole(source):
                    content = tar.extractfile(member)
                    return content.read(limit) if content else b""

            inner = name.partition("/")[2]
            yield Member(inner=inner, plain=member.isreg(), size_bytes=member.size, read=read)


def _of_zip(source: Path) -> Iterator[Member]:
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():

            def read(limit: int, member: zipfile.ZipInfo = member) -> bytes:
                with _whole(source), archive.open(member) as content:
                    return content.read(limit)

            yield Member(
                inner=_safe(source, member.filename).partition("/")[2],
                plain=not member.is_dir(),
                size_bytes=member.file_size,
                read=read,
            )


def _safe(source: Path, name: str) -> str:
    name = name.removeprefix("./")
    if name.startswith("/") or ".." in name.split("/"):
        raise IntegrityError(
            f"{source.name} holds {name[:200]!r}, which would be written outside of its folder",
            hint="do not build from this archive",
        )
    return name
