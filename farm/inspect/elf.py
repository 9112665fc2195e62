"""Read what a shared object says of itself: libraries, paths, symbol versions, compilers.

pyelftools parses; since files come from anywhere, it gets a stream that gives
out after a number of reads, so that no file makes it run on.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from itertools import islice
from typing import IO, TYPE_CHECKING, Any, Final, cast

from farm.inspect.binary import DamagedError, unpack
from farm.inspect.facts import Module

if TYPE_CHECKING:
    from collections.abc import Iterator

    from elftools.elf.elffile import ELFFile

    from farm.inspect.binary import Buffer

MAX_READS: Final = 300_000
"""Reads for one file; libtorch_cpu of torch 2.11 takes 42,274."""
MAX_READ_BYTES: Final = 1 << 20
MAX_SECTIONS: Final = 20_000
_MAX_TAGS: Final = 20_000
_MAX_VERSIONS: Final = 10_000
_MAX_NAME_BYTES: Final = 1 << 16  # the RUNPATH of jax-rocm7-plugin 0.12.0 takes more than 4 KiB
_MAX_TEXTS: Final = 1000
_MAX_COMMENT_BYTES: Final = 1 << 16
_VERNEED: Final = struct.Struct("<HHIII")
_VERNAUX: Final = struct.Struct("<IHHII")
_SHF_EXECINSTR: Final = 4
# What pyelftools stumbles over when tables are of the wrong kind.
_STUMBLES: Final = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError),
    *(RecursionError, StopIteration, struct.error),
)
_NAMES: Final = {
    "EM_X86_64": "x86-64",
    "EM_AARCH64": "aarch64",
    "EM_386": "i386",
    "EM_CUDA": "cuda",
    "EM_AMDGPU": "amdgpu",
}


_DEVICE: Final = (".nv_fatbin", "__nv_relfatbin", ".hip_fatbin")
_DEBUG: Final = (".debug_", ".zdebug_", ".gnu_debug")


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A section with bytes in the file: ``start`` to ``end``."""

    name: str
    start: int
    end: int
    is_code: bool = False

    @property
    def is_device(self) -> bool:
        """Whether it holds nothing but records of device code: what cannot be read is damage."""
        return self.name.startswith(_DEVICE)

    @property
    def is_debug(self) -> bool:
        """Whether only debuggers read it."""
        return self.name.startswith(_DEBUG)


class _Stream:
    """A file for pyelftools that refuses to be read for ever."""

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._position = 0
        self._reads = 0

    def read(self, size: int = -1) -> bytes:
        self._reads += 1
        if self._reads > MAX_READS:
            raise DamagedError("its tables are too long, or lead in circles")
        if not 0 <= size <= MAX_READ_BYTES:
            raise DamagedError(f"one of its tables claims {size:,} bytes")
        data = self._buffer[self._position : self._position + size]
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        base = {0: 0, 1: self._position, 2: len(self._buffer)}[whence]
        if not 0 <= base + offset <= len(self._buffer):
            raise DamagedError(f"it leads to offset {base + offset:,}, beyond its end")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        """The buffer belongs to somebody else."""


def read_elf(path: str, buffer: Buffer) -> tuple[Module, tuple[Section, ...]]:
    """What an ELF file says of itself, and its sections.

    Raises:
        DamagedError: It contradicts itself, or would take too long.
    """
    from elftools.common.exceptions import ELFError
    from elftools.construct.core import ConstructError
    from elftools.elf.elffile import ELFFile

    try:
        return _read(path, buffer, ELFFile(cast("IO[bytes]", _Stream(buffer))))
    except (ELFError, ConstructError) as error:
        raise DamagedError(f"it is no sound ELF file: {error}"[:200]) from error
    except _STUMBLES as error:
        raise DamagedError(f"it is no sound ELF file ({type(error).__name__})") from error


def _read(path: str, buffer: Buffer, elf: ELFFile) -> tuple[Module, tuple[Section, ...]]:
    if elf.num_sections() > MAX_SECTIONS:
        raise DamagedError(f"it claims {elf.num_sections():,} sections")
    sections = tuple(_sections(buffer, elf))
    tags, versions = _dynamic(buffer, elf)
    paths = [text for name, text in tags if name in {"DT_RPATH", "DT_RUNPATH"}]
    module = Module(
        path=path,
        size_bytes=len(buffer),
        machine=_NAMES.get(elf["e_machine"], str(elf["e_machine"])),
        soname=next((text for name, text in tags if name == "DT_SONAME"), ""),
        needed=tuple(text for name, text in tags if name == "DT_NEEDED"),
        rpath=tuple(part for path in paths for part in path.split(":") if part),
        symbol_versions=tuple(sorted(versions)),
        compilers=_compilers(buffer, sections),
    )
    return module, sections


def _sections(buffer: Buffer, elf: ELFFile) -> Iterator[Section]:
    for section in elf.iter_sections():
        start, size = section["sh_offset"], section["sh_size"]
        if section["sh_type"] in {"SHT_NOBITS", "SHT_NULL"}:
            continue
        if start + size > len(buffer):
            raise DamagedError(f"its section {section.name[:80]!r} reaches beyond its end")
        executable = bool(section["sh_flags"] & _SHF_EXECINSTR)
        yield Section(name=section.name[:200], start=start, end=start + size, is_code=executable)


_TEXT_TAGS: Final = frozenset({"DT_NEEDED", "DT_SONAME", "DT_RPATH", "DT_RUNPATH"})


def _dynamic(buffer: Buffer, elf: ELFFile) -> tuple[list[tuple[str, str]], set[str]]:
    """Tags of the dynamic segment that are texts, and the symbol versions that it needs."""
    from elftools.elf.dynamic import DynamicSegment

    for segment in elf.iter_segments("PT_DYNAMIC"):
        if not isinstance(segment, DynamicSegment) or not segment["p_filesz"]:
            continue
        entries = [tag.entry for tag in islice(segment.iter_tags(), _MAX_TAGS)]
        names = _address(elf, entries, "DT_STRTAB")
        if names is None:
            raise DamagedError("its dynamic segment has no names")
        tags = [
            (str(entry.d_tag), _text(buffer, names + entry.d_val))
            for entry in islice((e for e in entries if e.d_tag in _TEXT_TAGS), _MAX_TEXTS)
        ]
        needs = _address(elf, entries, "DT_VERNEED")
        return tags, set() if needs is None else set(_versions(buffer, needs, names))
    return [], set()


def _address(elf: ELFFile, entries: list[Any], tag: str) -> int | None:
    """Where in the file that lies which a tag points at; None without such a tag."""
    value = next((entry.d_val for entry in entries if entry.d_tag == tag), None)
    return None if value is None else next(iter(elf.address_offsets(value)))


def _text(buffer: Buffer, start: int) -> str:
    end = buffer.find(b"\0", start, start + _MAX_NAME_BYTES)
    if end < 0:
        raise DamagedError("one of its names has no end")
    return buffer[start:end].decode("utf-8", "replace")


def _versions(buffer: Buffer, position: int, names: int) -> Iterator[str]:
    """Symbol versions needed of other libraries (System V ABI, GNU's ``.gnu.version_r``)."""
    for _ in range(_MAX_VERSIONS):
        _, count, _, first, following = unpack(_VERNEED, buffer, position, len(buffer))
        at = position + first
        for _ in range(min(count, _MAX_VERSIONS)):
            _, _, _, name, step = unpack(_VERNAUX, buffer, at, len(buffer))
            yield _text(buffer, names + name)
            at += step
        if following == 0:
            return
        position += following
    raise DamagedError("its symbol versions lead in circles")


def _compilers(buffer: Buffer, sections: tuple[Section, ...]) -> tuple[str, ...]:
    """What ``.comment`` says, each text once."""
    for section in sections:
        if section.name == ".comment":
            data = buffer[section.start : min(section.end, section.start + _MAX_COMMENT_BYTES)]
            texts = (part.decode("utf-8", "replace") for part in re.split(rb"\0+", data))
            return tuple(sorted({text.strip()[:200] for text in texts if text.strip()}))
    return ()
