"""Two wheels that should be the same: which file differs, and why."""

from __future__ import annotations

import io
import mmap
import tempfile
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Final, TypeAlias

from farm.errors import StorageError
from farm.inspect import archive, recorded
from farm.inspect.binary import DamagedError
from farm.inspect.causes import REMEDIES, Cause, Reason, reasons, shown
from farm.inspect.symbols import Symbols, read_symbols

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from farm.inspect.binary import Buffer

    Infos: TypeAlias = Mapping[str, zipfile.ZipInfo]

_IN_MEMORY_BYTES: Final = 16 << 20
_NAMED: Final = 3
"""How many members a message names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One way in which two wheels differ.

    ``path`` is the member's, empty where it is the archive itself; ``message`` says
    what was seen of both, the first one first; ``remedy`` what mends it, if that is known.
    """

    path: str
    cause: Cause
    message: str
    remedy: str = ""


def explain(wheel_a: Path, wheel_b: Path) -> tuple[Difference, ...]:
    """Every way in which two wheels differ, with its cause; nothing exactly if no byte does.

    Names of the files do not count.

    Raises:
        CheckError: one of them is no whole zip file.
        StorageError: there is no room to unpack a large member.
    """
    if _same_bytes(wheel_a, wheel_b):
        return ()
    with archive.opened(wheel_a) as a, archive.opened(wheel_b) as b:
        left = {info.filename: info for info in a.infolist()}
        right = {info.filename: info for info in b.infolist()}
        found = [*_lacking(left, right), *_headers(left, right)]
        bombs = [
            archive.bomb(source.infolist(), size_bytes=path.stat().st_size)
            for source, path in ((a, wheel_a), (b, wheel_b))
        ]
        if any(bombs):
            found += [_difference("", Cause.UNREADABLE, bomb.message) for bomb in bombs if bomb]
        else:
            found += _contents(a, left, b, right)
    if not found:
        text = "no member differs; headers, padding or data that was packed otherwise does"
        found = [_difference("", Cause.ARCHIVE, text)]
    return tuple(found)


def changed_symbols(wheel_a: Path, wheel_b: Path) -> Iterator[tuple[str, Symbols, Symbols]]:
    """Each module of both wheels whose dynamic symbols differ: its path, and what only one has.

    Raises:
        CheckError: one of them is no whole zip file.
        StorageError: there is no room to unpack a large module.
    """
    with archive.opened(wheel_a) as a, archive.opened(wheel_b) as b:
        left, right = ({info.filename: info for info in each.infolist()} for each in (a, b))
        for name in sorted(left.keys() & right.keys()):
            one, other = left[name], right[name]
            if (one.CRC, one.file_size) == (other.CRC, other.file_size):
                continue
            was, becomes = _symbols(a, one), _symbols(b, other)
            if was != becomes:
                yield _printable(name), _without(was, becomes), _without(becomes, was)


def _symbols(source: zipfile.ZipFile, info: zipfile.ZipInfo) -> Symbols:
    with _content(source, info) as buffer:
        try:
            return read_symbols(buffer)
        except DamagedError:
            return Symbols()


def _without(these: Symbols, those: Symbols) -> Symbols:
    return Symbols(exported=these.exported - those.exported, needed=these.needed - those.needed)


def _difference(path: str, cause: Cause, message: str) -> Difference:
    return Difference(path=path, cause=cause, message=message, remedy=REMEDIES.get(cause, ""))


def _same_bytes(a: Path, b: Path) -> bool:
    # What cannot be read is explained by who opens it as an archive.
    try:
        if a.stat().st_size != b.stat().st_size:
            return False
        with a.open("rb") as one, b.open("rb") as other:
            while chunk := one.read(archive.CHUNK_BYTES):
                if chunk != other.read(archive.CHUNK_BYTES):
                    return False
    except OSError:
        return False
    return True


def _lacking(left: Infos, right: Infos) -> Iterator[Difference]:
    for names, which in (
        (left.keys() - right.keys(), "first"),
        (right.keys() - left.keys(), "second"),
    ):
        for name in sorted(names):
            yield _difference(_printable(name), Cause.MEMBERS, f"only in the {which}")


def _headers(left: Infos, right: Infos) -> Iterator[Difference]:
    """What the directories say otherwise of the same members."""
    both = [name for name in left if name in right]
    there = [name for name in right if name in left]
    if both != there:
        at = next(n for n, (x, y) in enumerate(zip(both, there, strict=True)) if x != y)
        text = f"member {at + 1} is {shown(both[at])} → {shown(there[at])}"
        yield _difference("", Cause.ORDER, text)
    kinds: tuple[tuple[Cause, Callable[[zipfile.ZipInfo], str]], ...] = (
        (Cause.TIME, _time_of),
        (Cause.PERMISSIONS, lambda info: f"{info.external_attr >> 16:06o}"),
        (
            Cause.COMPRESSION,
            lambda info: {0: "stored", 8: "deflated"}.get(info.compress_type, "?"),
        ),
        (Cause.ARCHIVE, lambda info: f"made by system {info.create_system}, extra {info.extra!r}"),
    )
    for cause, say in kinds:
        odd = [name for name in both if say(left[name]) != say(right[name])]
        if odd:
            first = f"{say(left[odd[0]])} → {say(right[odd[0]])}"
            many = "" if len(odd) == 1 else f" and {len(odd) - 1:,} more"
            yield _difference("", cause, f"of {shown(odd[0])}{many}: {first}"[:400])


def _time_of(info: zipfile.ZipInfo) -> str:
    year, month, day, hour, minute, second = info.date_time
    return f"{year}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"


def _contents(
    a: zipfile.ZipFile, left: Infos, b: zipfile.ZipFile, right: Infos
) -> Iterator[Difference]:
    """Members of another content; RECORD last, since it says again what the others are."""
    both = sorted(name for name in left if name in right and not name.endswith("/"))
    changed: set[str] = set()
    packed: list[str] = []
    records = [name for name in both if name.endswith(".dist-info/RECORD")]
    for name in [*(name for name in both if name not in records), *records]:
        one, other = _member(a, left[name]), _member(b, right[name])
        if one.fault or other.fault:
            yield _difference(_printable(name), Cause.UNREADABLE, one.fault or other.fault)
        elif one.digest != other.digest:
            changed.add(name)
            with _content(a, left[name]) as was, _content(b, right[name]) as is_now:
                found = (
                    [_of_record(was[:], is_now[:], changed)]
                    if name in records
                    else reasons(name, was, is_now)
                )
            for reason in found:
                yield _difference(_printable(name), reason.cause, reason.message)
        elif left[name].compress_size != right[name].compress_size:
            packed.append(name)
    same_way = [n for n in packed if left[n].compress_type == right[n].compress_type]
    if same_way:
        sizes = f"{left[same_way[0]].compress_size:,} → {right[same_way[0]].compress_size:,} bytes"
        text = f"{shown(same_way[0])}, the same content, packed into {sizes}"
        yield _difference("", Cause.COMPRESSION, text)


def _of_record(a: bytes, b: bytes, changed: set[str]) -> Reason:
    """RECORD holds a digest of each member, so it differs where one does."""
    left, right = (recorded.parse(data)[0] for data in (a, b))
    names = left.keys() | right.keys()
    odd = sorted(name for name in names if left.get(name) != right.get(name))
    if not odd:
        if Counter(a.splitlines()) == Counter(b.splitlines()):
            return Reason(cause=Cause.ORDER, message="the same lines in another order")
        return Reason(cause=Cause.CONTENT, message="the same rows, written otherwise")
    unlike = [n for n in odd if n not in changed and n in left and n in right]
    if unlike:
        text = f"it says something else of {shown(unlike[0])}, which is the same"
        return Reason(cause=Cause.CONTENT, message=text)
    more = f" and {len(odd) - _NAMED:,} more" if len(odd) > _NAMED else ""
    named = ", ".join(shown(name) for name in odd[:_NAMED])
    return Reason(cause=Cause.RECORD, message=f"it follows from {named}{more}")


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)[1:-1]


def _member(
    source: zipfile.ZipFile, info: zipfile.ZipInfo, copy: IO[bytes] | None = None
) -> archive.Member:
    """Read a member once; ``copy`` takes its bytes."""
    return archive.read_member(source, info, "sha256", copy_for=lambda _: copy)


@contextmanager
def _content(source: zipfile.ZipFile, info: zipfile.ZipInfo) -> Iterator[Buffer]:
    """A member's bytes: in memory, or where there are many, in a temporary file.

    Raises:
        StorageError: that cannot be written.
    """
    with _room(info) as file:
        try:
            _member(source, info, file)
            file.flush()
        except OSError as error:
            raise _no_room(info, error) from error
        if isinstance(file, io.BytesIO) or not file.tell():
            yield file.getvalue() if isinstance(file, io.BytesIO) else b""
            return
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
            yield mapped


def _room(info: zipfile.ZipInfo) -> IO[bytes]:
    if info.file_size <= _IN_MEMORY_BYTES:
        return io.BytesIO()
    try:
        return tempfile.TemporaryFile(prefix="farm-")
    except OSError as error:
        raise _no_room(info, error) from error


def _no_room(info: zipfile.ZipInfo, error: OSError) -> StorageError:
    return StorageError(
        f"cannot unpack {_printable(info.filename)} into a temporary file: {error.strerror}",
        hint="make room there, or set TMPDIR to a folder with more",
    )
