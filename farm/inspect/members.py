"""Read a wheel's members once, looking at modules while the next one is unpacked."""

from __future__ import annotations

import io
import mmap
import re
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from operator import attrgetter
from typing import IO, TYPE_CHECKING, Final

from farm.errors import StorageError
from farm.inspect import archive, recorded
from farm.inspect.device_code import HEADS
from farm.inspect.module import ELF_MAGIC, read_module

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterator, Mapping, Sequence

    from farm.inspect.facts import Module

SMALL_BYTES: Final = 16 << 20
"""Modules up to this size are looked at in memory, larger ones in a temporary file."""
_AT_ONCE: Final = 2
"""Modules that wait or are looked at: what they take on disk is bounded by it."""
_LICENCE: Final = re.compile(
    r"(?:[^/]*[-_.])?(?:licen[cs]es?|copying|copyright|notice)(?:[-_.][^/]*)?", re.IGNORECASE
)


def is_licence(path: str, dist_info: str) -> bool:
    """Whether a member is a licence file: where PEP 639 puts them, or named like one."""
    name = path.removeprefix(f"{dist_info}/")
    if name == path:
        return False
    return name.startswith(("licenses/", "license_files/")) or bool(_LICENCE.fullmatch(name))


@dataclass(slots=True)
class _Copy:
    """Where the member that is being unpacked is written, if it is a module."""

    name: str
    size_bytes: int
    file: IO[bytes] | None = None

    def __call__(self, head: bytes) -> _Copy | None:
        """Begin, if the first bytes are a module's."""
        if not head.startswith((ELF_MAGIC, *HEADS)):
            return None
        with self._room():
            is_small = self.size_bytes <= SMALL_BYTES
            # Whoever looks at the module closes it.
            self.file = io.BytesIO() if is_small else tempfile.TemporaryFile(prefix="farm-")  # noqa: SIM115
        return self

    def write(self, chunk: bytes) -> None:
        """Add to it."""
        if self.file:
            with self._room():
                self.file.write(chunk)

    @contextmanager
    def _room(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"cannot unpack {self.name} into a temporary file: {error.strerror}",
                hint="make room there, or set TMPDIR to a folder with more",
            ) from error


def read_members(
    source: zipfile.ZipFile,
    infos: Sequence[zipfile.ZipInfo],
    rows: Mapping[str, recorded.Row],
    *,
    code_limit_bytes: int,
) -> tuple[list[archive.Member], tuple[Module, ...]]:
    """Every member, and what is in those that are modules; sorted by their paths.

    Raises:
        StorageError: A temporary file cannot be written.
    """
    members: list[archive.Member] = []
    looked_at: list[Future[Module]] = []
    with ThreadPoolExecutor(max_workers=1) as pool:
        for info in infos:
            copy = _Copy(name=info.filename, size_bytes=info.file_size)
            algorithm = recorded.algorithm_of(rows, info.filename)
            member = archive.read_member(source, info, algorithm, copy_for=copy)
            members.append(member)
            if copy.file is None:
                continue
            if member.fault:
                copy.file.close()
                continue
            looked_at.append(pool.submit(_look, info.filename, copy.file, code_limit_bytes))
            if len(looked_at) >= _AT_ONCE:
                looked_at[-_AT_ONCE].result()
    modules = sorted((each.result() for each in looked_at), key=attrgetter("path"))
    return members, tuple(modules)


def _look(path: str, file: IO[bytes], code_limit_bytes: int) -> Module:
    with file:
        if isinstance(file, io.BytesIO):
            return read_module(path, file.getvalue(), code_limit_bytes=code_limit_bytes)
        file.flush()
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            return read_module(path, mapped, code_limit_bytes=code_limit_bytes)
