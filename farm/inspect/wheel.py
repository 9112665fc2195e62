"""Read a wheel: bytes in, facts out.

Each byte is read once for the file's digest and each member unpacked once for
its own, in chunks, both at the same time.  Shared objects go into temporary files
meanwhile, and are looked at while the next member is unpacked.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
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

__all__ = ["WheelFacts", "read_wheel"]

MAX_TEXT_BYTES: Final = 16 << 20
"""Largest METADATA, WHEEL or RECORD that is read."""
_SUFFIX: Final = ".dist-info"


def read_wheel(path: Path, *, code_limit_bytes: int = ALL_CODE_BYTES) -> WheelFacts:
    """Read what a wheel is and holds; whatever contradicts itself is in ``problems``.

    ``code_limit_bytes`` of each module's host code are disassembled.

    Raises:
        CheckError: The file name is no wheel's, or the file is no whole zip file.
        StorageError: There is no room to unpack its largest modules.
    """
    facts = _named(path)
    with archive.opened(path) as source, ThreadPoolExecutor(max_workers=1) as pool:
        digest = pool.submit(_sha256, path)
        infos = archive.files_of(source)
        facts = replace(
            facts,
            size_bytes=path.stat().st_size,
            file_count=len(infos),
            unpacked_bytes=sum(info.file_size for info in infos),
            problems=tuple(archive.check_members(source.infolist())),
        )
        bomb = archive.bomb(infos, size_bytes=facts.size_bytes)
        if bomb:
            facts = replace(facts, problems=(*facts.problems, bomb))
        else:
            facts = _with_content(facts, source, infos, code_limit_bytes)
        return replace(facts, sha256=digest.result())


def _named(path: Path) -> WheelFacts:
    """What the file name says; all else is still to be read."""
    from packaging.utils import InvalidWheelFilename, parse_wheel_filename

    try:
        name, version, build, tags = parse_wheel_filename(path.name)
    except InvalidWheelFilename as error:
        raise CheckError(
            f"{path.name!r} is no wheel's file name: {error}",
            hint="name-version(-build)-python-abi-platform.whl",
        ) from error
    return WheelFacts(
        path=path,
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


def _with_content(
    facts: WheelFacts, source: zipfile.ZipFile, infos: list[zipfile.ZipInfo], code_limit_bytes: int
) -> WheelFacts:
    """With all that needs the members' data."""
    from packaging.metadata import parse_email

    folder, problems = _dist_info([info.filename for info in infos], facts)
    texts = {p: archive.read_small(source, f"{folder}/{p}", MAX_TEXT_BYTES) for p in _PARTS}
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
    said, _ = parse_email(texts["METADATA"] or b"")
    return replace(
        facts,
        metadata_name=said.get("name", ""),
        metadata_version=said.get("version", ""),
        requires=tuple(said.get("requires_dist", ())),
        wheel_tags=_wheel_tags(texts["WHEEL"] or b""),
        shared_objects=tuple(sorted({member.path for member in members if member.is_elf})),
        problems=(*facts.problems, *problems),
        modules=modules,
        licences=tuple(sorted(m.path for m in members if is_licence(m.path, folder))),
        licences_said=tuple(said.get("license_files", ())),
    )


_PARTS: Final = ("METADATA", "WHEEL", "RECORD")


def _dist_info(names: list[str], facts: WheelFacts) -> tuple[str, list[WheelProblem]]:
    """The ``.dist-info`` folder; empty where there is none."""
    from packaging.utils import canonicalize_name

    tops = {path.split("/", 1)[0] for path in names if "/" in path}
    folders = sorted(top for top in tops if top.endswith(_SUFFIX))
    asked = f"{facts.name}-{facts.version}"
    fitting = [
        folder
        for folder in folders
        if canonicalize_name(folder.removesuffix(_SUFFIX)) == canonicalize_name(asked)
    ]
    if fitting == folders and len(folders) == 1:
        return folders[0], []
    problem = WheelProblem(
        code="dist-info",
        message=f"not the one {asked}{_SUFFIX} that the file name asks for",
        members=tuple(folders),
    )
    return next(iter(fitting or folders), ""), [problem]


def _damaged(members: list[archive.Member]) -> list[WheelProblem]:
    return [
        WheelProblem(code="damaged", message=member.fault, members=(member.path,))
        for member in members
        if member.fault
    ]


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
