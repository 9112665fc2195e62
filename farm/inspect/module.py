"""One file of a wheel, looked at whole: ELF, host code, device code, strings."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Final

from farm.inspect.binary import DamagedError
from farm.inspect.device_code import Region, scan
from farm.inspect.elf import read_elf
from farm.inspect.facts import Module
from farm.inspect.host_code import read_isa

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.inspect.binary import Buffer
    from farm.inspect.elf import Elf, Section

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
_DEBUG: Final = (".debug_", ".zdebug_", ".gnu_debug")


def read_module(path: str, buffer: Buffer, *, code_limit_bytes: int) -> Module:
    """What a file is and holds; what cannot be read is in ``problems``."""
    section, damage = ".nv_fatbin", []
    if buffer[: len(ELF_MAGIC)] == ELF_MAGIC:
        try:
            elf = read_elf(buffer)
        except DamagedError as error:
            section, damage = "", [str(error)]
        else:
            return _module(path, buffer, elf, code_limit_bytes)
    found = scan(buffer, [Region(name=section, start=0, end=len(buffer))])
    return Module(
        path=path,
        size_bytes=len(buffer),
        machine="",
        device_code=found.code,
        problems=(*damage, *found.problems),
    )


def _module(path: str, buffer: Buffer, elf: Elf, code_limit_bytes: int) -> Module:
    scanned = scan(buffer, _regions(buffer, elf))
    code = [(each.start, each.end) for each in elf.sections if each.is_code]
    is_host = elf.machine == "x86-64"
    uses, read_bytes = read_isa(buffer, code, code_limit_bytes) if is_host else ((), 0)
    return Module(
        path=path,
        size_bytes=len(buffer),
        machine=elf.machine,
        soname=elf.soname,
        needed=elf.needed,
        rpath=elf.rpath,
        symbol_versions=elf.symbol_versions,
        compilers=elf.compilers,
        builder_paths=tuple(sorted(_builder_paths(buffer, elf.sections))),
        isa=uses,
        code_bytes=sum(end - start for start, end in code),
        code_read_bytes=read_bytes,
        device_code=scanned.code,
        problems=scanned.problems,
    )


def _regions(buffer: Buffer, elf: Elf) -> Iterator[Region]:
    """Where device code may lie: the whole file if it is some, else all but host code."""
    if elf.machine in {"cuda", "amdgpu"} or not elf.sections:
        yield Region(name="", start=0, end=len(buffer))
        return
    for section in _disjoint(elf.sections):
        if not section.is_code and not section.name.startswith(_DEBUG):
            yield Region(name=section.name, start=section.start, end=section.end)


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
        region = Region(name=section.name, start=section.start, end=section.end)
        if section.is_code or region.is_device_section or section.name.startswith(_DEBUG):
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
