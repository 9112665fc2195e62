"""One file of a wheel, looked at whole: ELF, host code, device code, strings."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from farm.inspect.binary import DamagedError
from farm.inspect.device_code import scan
from farm.inspect.elf import Section, read_elf
from farm.inspect.facts import Module
from farm.inspect.host_code import read_isa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.inspect.binary import Buffer

ELF_MAGIC: Final = b"\x7fELF"
BUILDER_FOLDERS: Final = (
    b"/build/",  # sources and the package itself
    b"/opt/build/",  # the build's own Python environment
    b"/farm/",  # programs and wheels that the build gets
    b"/tmp/pip-",
    b"/tmp/tmp",
    b"/root/",
)
"""Folders that exist while farm builds and nowhere else."""
MAX_PATHS: Final = 200
"""Builder's paths kept of one module."""
_MAX_HITS: Final = 20_000
_MAX_PATH_BYTES: Final = 512
_PATH: Final = re.compile(rb"[\x21\x23-\x26\x28-\x39\x3b\x3d\x3f-\x7e]+")


def read_module(path: str, buffer: Buffer, *, code_limit_bytes: int) -> Module:
    """What a file is and holds; what cannot be read is in ``problems``."""
    section, damage = ".nv_fatbin", []
    if buffer[: len(ELF_MAGIC)] == ELF_MAGIC:
        try:
            found, sections = read_elf(path, buffer)
        except DamagedError as error:
            section, damage = "", [str(error)]
        else:
            return _with_content(found, buffer, sections, code_limit_bytes)
    scanned = scan(buffer, [Section(name=section, start=0, end=len(buffer))])
    return Module(
        path=path,
        size_bytes=len(buffer),
        machine="",
        device_code=scanned.code,
        problems=(*damage, *scanned.problems),
    )


def _with_content(
    module: Module, buffer: Buffer, sections: tuple[Section, ...], code_limit_bytes: int
) -> Module:
    scanned = scan(buffer, _searched(module, sections))
    code = [(each.start, each.end) for each in sections if each.is_code]
    is_host = module.machine == "x86-64"
    uses, read_bytes = read_isa(buffer, code, code_limit_bytes) if is_host else ((), 0)
    return replace(
        module,
        builder_paths=tuple(sorted(_builder_paths(buffer, sections))),
        isa=uses,
        code_bytes=sum(end - start for start, end in code),
        code_read_bytes=read_bytes,
        device_code=scanned.code,
        problems=scanned.problems,
    )


def _searched(module: Module, sections: tuple[Section, ...]) -> Iterable[Section]:
    """Where device code may lie: the whole file if it is some, else all but host code."""
    if module.machine in {"cuda", "amdgpu"} or not sections:
        return [Section(name="", start=0, end=module.size_bytes)]
    return (each for each in _disjoint(sections) if not (each.is_code or each.is_debug))


def _disjoint(sections: tuple[Section, ...]) -> Iterator[Section]:
    """Sections in the order of the file, without those that lie in others."""
    last = 0
    for section in sorted(sections, key=lambda each: (each.start, -each.end)):
        if section.start >= last and section.end > section.start:
            last = section.end
            yield section


def _builder_paths(buffer: Buffer, sections: tuple[Section, ...]) -> set[str]:
    """Strings that lead into a builder's folders, but for debug information."""
    found: set[str] = set()
    for section in _disjoint(sections):
        if section.is_code or section.is_device or section.is_debug:
            continue
        for folder in BUILDER_FOLDERS:
            for start in islice(_places(buffer, folder, section), _MAX_HITS):
                match = _PATH.match(buffer[start : min(start + _MAX_PATH_BYTES, section.end)])
                if match and len(found) < MAX_PATHS:
                    found.add(match[0].decode("ascii"))
    return found


def _places(buffer: Buffer, text: bytes, section: Section) -> Iterator[int]:
    start = buffer.find(text, section.start, section.end)
    while start >= 0:
        # The folder itself, not the end of another path.
        if start == section.start or not _PATH.match(buffer[start - 1 : start]):
            yield start
        start = buffer.find(text, start + 1, section.end)
