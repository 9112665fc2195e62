"""A bundle: all that a unit was made of and how that ended, in one file that can be sent.

It is a plain tar of regular files, the same bytes for the same content::

    bundle.json         what it is, and every other file with its sha256 and size (`Contents`)
    manifest.json       the unit's manifest, whose sha256 is its identity
    unit.json           the unit (`farm.model.unit.Unit`)
    record.json         the record, where there is one
    logs/…              build.log, compile.log, calls.jsonl, smoke-test.log
    blobs/<sha256>      files of the context that nobody else may have
    debs/<sha256>       packages of the bases, where they were asked for

A bundle may come from anybody.  What is read is compared byte by byte with what
`write_bundle` would have written, so there is no link, device, ``..``, long name or
compression to be careful with.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import tarfile
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO, Any

from farm.errors import IntegrityError, UsageError
from farm.host.files import sha256_of, storage_errors
from farm.host.urls import redact, without_credentials
from farm.model.codec import from_json, to_json

FORMAT = 1
"""Changes when an older farm would take one for what it is not."""
NAME = "bundle.tar"
CONTENTS = "bundle.json"
MANIFEST, UNIT, RECORD = "manifest.json", "unit.json", "record.json"
LOGS = ("build.log", "compile.log", "calls.jsonl", "smoke-test.log")
_NAME = re.compile(
    r"manifest\.json|unit\.json|record\.json|logs/(?:(?:build|compile|smoke-test)\.log|calls\.jsonl)"
    r"|(?:blobs|debs)/([0-9a-f]{64})"
)
_MOST_MEMBERS = 20_000
_MOST_TEXT_BYTES = 64 << 20
"""Of each file that is read into memory."""
_MOST_BYTES = 8 << 30
"""Of each file: a header of tar has eleven octal digits for it (POSIX.1-1988, ustar)."""
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One file of a bundle."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How the build ended: `farm.events.Outcome`, and of a failure where and with what error.

    ``attempt`` is its number: an engine that knows it may answer from its cache.
    """

    outcome: str
    exit_code: int = 0
    step: str = ""
    message: str = ""
    attempt: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What is of the machine, and should change nothing."""

    farm: str
    engine: str
    kernel: str
    cores: int
    memory_bytes: int
    max_jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """A file of the context: its digest there (such as ``tree:…``), and its own sha256."""

    digest: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Needed:
    """A wheel of a unit that this one needs."""

    filename: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """``bundle.json``.

    ``needed`` are wheels of the units that this one needs; ``digest`` is the sha256 of the file
    with nothing in the place of it.
    """

    format: int
    unit: str
    identity: str
    ended: Ended
    surroundings: Surroundings
    blobs: tuple[Blob, ...]
    needed: tuple[Needed, ...] = ()
    members: tuple[Member, ...] = ()
    digest: str = ""

    def has(self, name: str) -> bool:
        """Whether there is such a file."""
        return any(member.name == name for member in self.members)


Parts = dict[str, bytes | Path]
"""Files of a bundle by name: what is in them, or where that lies."""


def write_bundle(path: Path, contents: Contents, parts: Parts) -> Contents:
    """Write a bundle in one piece; returns its contents with all members.

    Raises:
        StorageError: the disk is full, or a file vanished.
    """
    with storage_errors(path):
        members = tuple(_member(name, parts[name]) for name in sorted(parts))
        large = next((each for each in members if each.size_bytes >= _MOST_BYTES), None)
        if large is not None:
            raise UsageError(f"{large.name} has {large.size_bytes:,} bytes: no bundle takes that")
        whole = _sealed(replace(contents, members=members))
        fd, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(fd, "wb") as file:
                os.fchmod(fd, 0o644)
                _write(file, whole, parts)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    return whole


def _sealed(contents: Contents) -> Contents:
    text = to_json(replace(contents, digest=""))
    return replace(contents, digest=hashlib.sha256(text).hexdigest())


def _write(file: IO[bytes], contents: Contents, parts: Parts) -> None:
    about = to_json(contents)
    named: Parts = {CONTENTS: about}
    named |= {each.name: parts[each.name] for each in contents.members}
    sizes = {CONTENTS: len(about)} | {each.name: each.size_bytes for each in contents.members}
    for name, source in named.items():
        file.write(_header(name, sizes[name]))
        with _opened(source) as stream:
            while chunk := stream.read(_CHUNK_BYTES):
                file.write(chunk)
        file.write(b"\0" * _padding(sizes[name]))
    file.write(b"\0" * (2 * tarfile.BLOCKSIZE))
    file.flush()
    os.fsync(file.fileno())


def redacted_log(source: Path, target: Path) -> Path:
    """Copy a log without the users and passwords of URLs in it.

    Raises:
        OSError: it cannot be read or written.
    """
    with (
        source.open(encoding="utf-8", errors="surrogateescape", newline="") as lines,
        target.open("w", encoding="utf-8", errors="surrogateescape", newline="") as written,
    ):
        written.writelines(map(without_credentials, lines))
    return target


def plain(text: str) -> str:
    """A message in one line for anybody's terminal, without the secrets of URLs."""
    return "".join(each if each.isprintable() else " " for each in redact(text))


def redacted(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """JSON without the users and passwords of the URLs in it."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, list):
        return [redacted(each) for each in value]
    if isinstance(value, dict):
        return {name: redacted(each) for name, each in value.items()}
    return value


def unpack_bundle(path: Path, folder: Path) -> Contents:
    """Unpack a bundle below an empty folder; every file there is what ``bundle.json`` says.

    It takes no more room than the bundle itself.

    Raises:
        UsageError: it is no bundle, or one of another format.
        IntegrityError: it was cut or changed.
        StorageError: the disk is full.
    """
    with storage_errors(path), path.open("rb") as file:
        contents = _contents(path, file)
        for member in contents.members:
            _unpack(file, member, folder / member.name)
        if file.read(2 * tarfile.BLOCKSIZE + 1) != b"\0" * (2 * tarfile.BLOCKSIZE):
            raise _changed(path, "it does not end after its last file")
    return contents


def read_contents(path: Path) -> Contents:
    """What a bundle says of itself, which nobody has held against its files; raises likewise."""
    with storage_errors(path), path.open("rb") as file:
        return _contents(path, file)


def _contents(path: Path, file: IO[bytes]) -> Contents:
    no_bundle = UsageError(
        f"{path} is no bundle of farm", hint="a bundle is a file such as 'farm bundle' writes"
    )
    block = file.read(tarfile.BLOCKSIZE)
    try:
        size = tarfile.TarInfo.frombuf(block, "ascii", "strict").size
    except (tarfile.HeaderError, UnicodeError):
        raise no_bundle from None
    if not 0 <= size <= _MOST_TEXT_BYTES or block != _header(CONTENTS, size):
        raise no_bundle
    text = file.read(size)
    if not _is_padded(file, size):
        raise _changed(path, f"it was cut within {CONTENTS}")
    try:
        told = json.loads(text)
        number, farm = told["format"], str(told["surroundings"]["farm"])
    except (ValueError, LookupError, TypeError, RecursionError):
        raise _changed(path, f"its {CONTENTS} cannot be read") from None
    if number != FORMAT:
        raise UsageError(
            f"{path} is a bundle of format {str(number)[:20]}, made by farm {farm[:40]!r}: this "
            f"farm reads format {FORMAT}",
            hint="take the farm that made it",
        )
    try:
        contents = from_json(Contents, text)
    except ValueError as error:
        raise _changed(path, f"its {CONTENTS} is wrong: {error}") from None
    if _sealed(contents) != contents:
        raise _changed(path, f"{CONTENTS} is not what its digest says")
    _check_words(path, contents)
    _check_members(path, contents)
    return contents


def _check_words(path: Path, contents: Contents) -> None:
    """What it says of itself is printed: it must not steer a terminal."""
    values = asdict(contents.ended) | asdict(contents.surroundings) | {"unit": contents.unit}
    for name, value in values.items():
        if not str(value).isprintable():
            raise _changed(path, f"its {name} is {str(value)[:80]!r}")


def _check_members(path: Path, contents: Contents) -> None:
    names = [member.name for member in contents.members]
    if len(names) > _MOST_MEMBERS or names != sorted(set(names)):
        raise _changed(path, "it lists a file twice, in disorder, or too many")
    for member in contents.members:
        known = _NAME.fullmatch(member.name)
        if known is None:
            raise _changed(path, f"it lists {member.name[:80]!r}, which belongs in no bundle")
        if known[1] not in {None, member.sha256}:
            raise _changed(path, f"{member.name} is not called as its content")
        if not 0 <= member.size_bytes < _MOST_BYTES:
            raise _changed(path, f"{member.name} is too large, or less than nothing")
        if member.name.endswith(".json") and member.size_bytes > _MOST_TEXT_BYTES:
            raise _changed(path, f"{member.name} is too large")
    for name in (MANIFEST, UNIT):
        if name not in names:
            raise _changed(path, f"it lacks {name}")


def _unpack(file: IO[bytes], member: Member, target: Path) -> None:
    block = file.read(tarfile.BLOCKSIZE)
    if block != _header(member.name, member.size_bytes):
        raise _changed(Path(file.name), f"instead of {member.name} there is {_said(block)}")
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, left = hashlib.sha256(), member.size_bytes
    with target.open("xb") as written:
        while left and (chunk := file.read(min(left, _CHUNK_BYTES))):
            digest.update(chunk)
            written.write(chunk)
            left -= len(chunk)
    if left or not _is_padded(file, member.size_bytes):
        raise _changed(Path(file.name), f"it was cut within {member.name}")
    if digest.hexdigest() != member.sha256:
        raise _changed(Path(file.name), f"{member.name} is not what its sha256 says")


def _said(block: bytes) -> str:
    """What a block of a tar that is not what it should be may be, in words."""
    with suppress(tarfile.HeaderError, UnicodeError):
        found = tarfile.TarInfo.frombuf(block, "ascii", "backslashreplace")
        kind = "a file" if found.isreg() else "a link" if found.issym() or found.islnk() else ""
        return f"{kind or 'something else'} {found.name[:80]!r} of {found.size:,} bytes"
    return "the end of the file" if len(block) < tarfile.BLOCKSIZE else "something else"


def _changed(path: Path, what: str) -> IntegrityError:
    return IntegrityError(f"{path} was cut or changed: {what}", hint="ask for the bundle again")


def _member(name: str, source: bytes | Path) -> Member:
    if isinstance(source, Path):
        return Member(name=name, sha256=sha256_of(source), size_bytes=source.stat().st_size)
    digest = hashlib.sha256(source).hexdigest()
    return Member(name=name, sha256=digest, size_bytes=len(source))


def _opened(source: bytes | Path) -> IO[bytes]:
    return source.open("rb") if isinstance(source, Path) else io.BytesIO(source)


def _header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, 0o644
    return info.tobuf(tarfile.USTAR_FORMAT)


def _is_padded(file: IO[bytes], size: int) -> bool:
    """Whether nothing but zeros follows a file up to the end of its last block."""
    return file.read(_padding(size)) == b"\0" * _padding(size)


def _padding(size: int) -> int:
    return -size % tarfile.BLOCKSIZE
