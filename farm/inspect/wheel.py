"""Read a wheel: bytes in, facts out.

Each byte is read once for the file's digest and each member unpacked once for
its own, in chunks, both at the same time.  Shared objects go into temporary files
meanwhile, and are looked at while the next member is unpacked.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from farm.errors import CheckError
from farm.inspect import archive, recorded
from farm.inspect.facts import WheelFacts, WheelProblem
from farm.inspect.host_code import ALL_CODE_BYTES
from farm.inspect.members import is_licence, read_members

if TYPE_CHECKING:
    import zipfile
    from collections.abc import Iterable
    from pathlib import Path

    from packaging.tags import Tag

    from farm.inspect.facts import Module

__all__ = ["WheelFacts", "read_wheel"]

MAX_TEXT_BYTES: Final = 16 << 20
"""Largest METADATA, WHEEL or RECORD that is read."""
_SUFFIX: Final = ".dist-info"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Name:
    """The file name's parts."""

    name: str
    version: str
    build: str
    tags: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Content:
    """What stands inside."""

    metadata_name: str = ""
    metadata_version: str = ""
    requires: tuple[str, ...] = ()
    wheel_tags: tuple[str, ...] = ()
    shared_objects: tuple[str, ...] = ()
    problems: tuple[WheelProblem, ...] = ()
    modules: tuple[Module, ...] = ()
    licences: tuple[str, ...] = ()
    licences_said: tuple[str, ...] = ()


def read_wheel(path: Path, *, code_limit_bytes: int = ALL_CODE_BYTES) -> WheelFacts:
    """Read what a wheel is and holds; whatever contradicts itself is in ``problems``.

    ``code_limit_bytes`` of each module's host code are disassembled.

    Raises:
        CheckError: The file name is no wheel's, or the file is no whole zip file.
        StorageError: There is no room to unpack its largest modules.
    """
    parsed = _parse_name(path.name)
    with archive.opened(path) as source, ThreadPoolExecutor(max_workers=1) as pool:
        digest = pool.submit(_sha256, path)
        infos = archive.files_of(source)
        problems = archive.check_members(source.infolist())
        size_bytes = path.stat().st_size
        bomb = archive.bomb(infos, size_bytes=size_bytes)
        content = (
            _Content(problems=(bomb,))
            if bomb
            else _read_content(source, infos, parsed, code_limit_bytes)
        )
        return WheelFacts(
            path=path,
            sha256=digest.result(),
            size_bytes=size_bytes,
            name=parsed.name,
            version=parsed.version,
            build=parsed.build,
            tags=parsed.tags,
            metadata_name=content.metadata_name,
            metadata_version=content.metadata_version,
            requires=content.requires,
            wheel_tags=content.wheel_tags,
            file_count=len(infos),
            unpacked_bytes=sum(info.file_size for info in infos),
            shared_objects=content.shared_objects,
            problems=(*problems, *content.problems),
            modules=content.modules,
            licences=content.licences,
            licences_said=content.licences_said,
        )


def _parse_name(filename: str) -> _Name:
    from packaging.utils import (
        InvalidWheelFilename,
        parse_wheel_filename,
    )

    try:
        name, version, build, tags = parse_wheel_filename(filename)
    except InvalidWheelFilename as error:
        raise CheckError(
            f"{filename!r} is no wheel's file name: {error}",
            hint="name-version(-build)-python-abi-platform.whl",
        ) from error
    return _Name(
        name=name,
        version=str(version),
        build="".join(str(part) for part in build),
        tags=_texts(tags),
    )


def _texts(tags: Iterable[Tag]) -> tuple[str, ...]:
    return tuple(sorted({str(tag) for tag in tags}))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_content(
    source: zipfile.ZipFile, infos: list[zipfile.ZipInfo], name: _Name, code_limit_bytes: int
) -> _Content:
    """All that needs the members' data."""
    folder, problems = _dist_info([info.filename for info in infos], name)
    texts = {part: _text(source, infos, f"{folder}/{part}") for part in _PARTS}
    for part, data in texts.items():
        if folder and data is None:
            message = (
                f"no {folder}/{part}, or it is damaged or larger than {MAX_TEXT_BYTES:,} bytes"
            )
            problems.append(WheelProblem(code=f"no-{part.lower()}", message=message))
    rows, record_problems = recorded.parse(texts["RECORD"] or b"")
    members, modules = read_members(source, infos, rows, code_limit_bytes=code_limit_bytes)
    problems += [*record_problems, *_damaged(members)]
    if texts["RECORD"] is not None:
        problems += recorded.compare(rows, members, folder=folder)
    metadata_name, version, requires = _metadata(texts["METADATA"] or b"")
    return _Content(
        metadata_name=metadata_name,
        metadata_version=version,
        requires=requires,
        wheel_tags=_wheel_tags(texts["WHEEL"] or b""),
        shared_objects=tuple(sorted({member.path for member in members if member.is_elf})),
        problems=tuple(problems),
        modules=modules,
        licences=tuple(sorted(m.path for m in members if is_licence(m.path, folder))),
        licences_said=_licences_said(texts["METADATA"] or b""),
    )


_PARTS: Final = ("METADATA", "WHEEL", "RECORD")


def _dist_info(names: list[str], name: _Name) -> tuple[str, list[WheelProblem]]:
    """The ``.dist-info`` folder; empty where there is none."""
    from packaging.utils import canonicalize_name

    tops = {path.split("/", 1)[0] for path in names if "/" in path}
    folders = sorted(top for top in tops if top.endswith(_SUFFIX))
    fitting = [
        folder
        for folder in folders
        if canonicalize_name(folder.removesuffix(_SUFFIX))
        == canonicalize_name(f"{name.name}-{name.version}")
    ]
    if fitting == folders and len(folders) == 1:
        return folders[0], []
    problem = WheelProblem(
        code="dist-info",
        message=f"not the one {name.name}-{name.version}{_SUFFIX} that the file name asks for",
        members=tuple(folders),
    )
    return next(iter(fitting or folders), ""), [problem]


def _text(source: zipfile.ZipFile, infos: list[zipfile.ZipInfo], path: str) -> bytes | None:
    info = next((info for info in infos if info.filename == path), None)
    return None if info is None else archive.read_small(source, info, MAX_TEXT_BYTES)


def _damaged(members: list[archive.Member]) -> list[WheelProblem]:
    return [
        WheelProblem(code="damaged", message=member.fault, members=(member.path,))
        for member in members
        if member.fault
    ]


def _metadata(data: bytes) -> tuple[str, str, tuple[str, ...]]:
    """Name, version and requirements as METADATA has them."""
    from packaging.metadata import parse_email

    raw, _ = parse_email(data)
    return raw.get("name", ""), raw.get("version", ""), tuple(raw.get("requires_dist", ()))


def _licences_said(data: bytes) -> tuple[str, ...]:
    """The licence files that METADATA names (PEP 639)."""
    from packaging.metadata import parse_email

    raw, _ = parse_email(data)
    return tuple(raw.get("license_files", ()))


def _wheel_tags(data: bytes) -> tuple[str, ...]:
    """The tags of WHEEL, expanded like the file name's."""
    from email import message_from_bytes

    from packaging.tags import parse_tag

    found = []
    for text in message_from_bytes(data).get_all("Tag", []):
        try:
            found.append(_texts(parse_tag(str(text).strip())))
        except ValueError:
            found.append((str(text).strip(),))
    return tuple(sorted({tag for tags in found for tag in tags}))
