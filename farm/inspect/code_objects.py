"""Code objects as values, and what their own ELF says: architecture and kernels.

Layouts: e_flags and OSABI values from LLVM's ``BinaryFormat/ELF.h`` and the
"User Guide for AMDGPU Backend" (code objects V4 and V5); NVIDIA's are not
published, and were found by comparing objects of nvcc 11.8 to 13.2 with
cuobjdump; where the suffix of an architecture stands, by comparing those of
ptxas 12.0, 12.4, 12.8, 12.9, 13.0 and 13.2 for the same PTX with and without it.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from farm.inspect.amd_processors import PROCESSORS
from farm.inspect.binary import DamagedError, cut, unpack

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.inspect.binary import Budget, Buffer

NVIDIA: Final = "nvidia"
AMD: Final = "amd"
EM_CUDA: Final = 190
EM_AMDGPU: Final = 224
HEADER_BYTES: Final = 64
_ELF64: Final = struct.Struct("<4s5B7xHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_NAME_ONLY: Final = struct.Struct("<I60x")
_SHT_DYNSYM: Final = 11
_SHT_NOBITS: Final = 8
_EXTENDED: Final = 0xFFFF
# EF_CUDA_ACCELERATORS_V1 and EF_CUDA_ACCELERATORS of LLVM: the bit for the suffix "a".
_ACCELERATED: Final = {False: 0x800, True: 0x8}
_COMPAT_ACCELERATED: Final = 9
_COMPAT_SIZED: Final = 4
_MAX_NOTE_BYTES: Final = 1 << 16


class Kind(StrEnum):
    """What a code object is made of."""

    MACHINE = "machine code"
    PTX = "ptx"
    LTO = "lto"  # intermediate code that a linker still has to compile
    RELOCATABLE = "relocatable"  # what the linker of devices took its parts from: it is not run
    OTHER = "other"


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeObject:
    """One code object as it lies in a file.

    ``arch`` is named as its compiler does: ``sm_90a``, ``compute_86``,
    ``gfx942:xnack+``.  ``size_bytes`` are those that it takes in the file.
    ``kernels`` is None where they cannot be counted.
    """

    vendor: str
    arch: str
    kind: Kind
    compressed: str
    kernels: int | None
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceElf:
    """The header of a device's ELF file; ``end`` is where its sections' table ends."""

    machine: int
    abi: int
    flags: int
    table: int
    count: int
    names: int
    end: int


def read_header(buffer: Buffer, start: int, end: int) -> DeviceElf:
    """The header of an ELF file at ``start``.

    Raises:
        DamagedError: It is none of 64 bits, or its table of sections does not fit.
    """
    found = unpack(_ELF64, buffer, start, end)
    magic, size_class, order, _, _, abi, _, machine, _, _, _, table, flags = found[:13]
    entry_bytes, count, names = found[16:19]
    if magic != b"\x7fELF" or size_class != 2 or order != 1:  # noqa: PLR2004 - 64 bits
        raise DamagedError("a code object is no ELF file of 64 bits")
    if table == 0:
        return DeviceElf(
            machine=machine, abi=abi, flags=flags, table=0, count=0, names=0, end=HEADER_BYTES
        )
    if entry_bytes != _SECTION.size:
        raise DamagedError(f"a code object has section headers of {entry_bytes} bytes")
    first = unpack(_SECTION, buffer, start + table, end)
    count = count or first[5]
    names = first[6] if names == _EXTENDED else names
    last = table + count * _SECTION.size
    if start + last > end or names >= max(count, 1):
        raise DamagedError("a code object's table of sections reaches beyond its end")
    return DeviceElf(
        machine=machine, abi=abi, flags=flags, table=table, count=count, names=names, end=last
    )


def kernels_of(data: bytes) -> int:
    """How many kernels a code object holds.

    For NVIDIA the sections called ``.text.<kernel>``: an empty cubin has none.
    For AMD the descriptors ``<kernel>.kd`` in the table of dynamic symbols.

    Raises:
        DamagedError: It is no code object, or cut short.
    """
    header = read_header(data, 0, len(data))
    if header.machine == EM_CUDA:
        return _text_sections(data, header)
    if header.machine == EM_AMDGPU:
        return _descriptors(data, header)
    raise DamagedError(f"a code object is for the machine {header.machine}")


def _text_sections(data: bytes, header: DeviceElf) -> int:
    if not header.count:
        return 0
    names = _content(data, _section(data, header, header.names))
    table = data[header.table : header.end]
    return sum(names.startswith(b".text.", at) for (at,) in _NAME_ONLY.iter_unpack(table))


def _descriptors(data: bytes, header: DeviceElf) -> int:
    for number in range(header.count):
        section = _section(data, header, number)
        if section[1] == _SHT_DYNSYM:
            if section[6] >= header.count:
                raise DamagedError("a table of symbols has no names")
            return _content(data, _section(data, header, section[6])).count(b".kd\0")
    return 0


def _section(data: bytes, header: DeviceElf, number: int) -> tuple[int, ...]:
    return unpack(_SECTION, data, header.table + number * _SECTION.size, header.end)


def _content(data: bytes, section: tuple[int, ...]) -> bytes:
    if section[1] == _SHT_NOBITS:
        return b""
    return cut(data, section[4], section[5], len(data))


def read_bare(
    buffer: Buffer, start: int, end: int, budget: Budget
) -> tuple[tuple[CodeObject, ...], int]:
    """A code object that lies there by itself, and where it ends.

    Raises:
        DamagedError: There is none.
    """
    header = read_header(buffer, start, end)
    budget.take(header.end)
    data = cut(buffer, start, header.end, end)
    size = max([header.end, *(section[4] + section[5] for section in _sections(data, header))])
    budget.take(size)
    data = cut(buffer, start, size, end)
    nvidia = header.machine == EM_CUDA
    arch = _nvidia_arch(data, header) if nvidia else _amd_arch(header)
    made = CodeObject(
        vendor=NVIDIA if nvidia else AMD,
        arch=arch,
        kind=Kind.MACHINE,
        compressed="",
        kernels=kernels_of(data),
        size_bytes=size,
    )
    return (made,), start + size


def _sections(data: bytes, header: DeviceElf) -> Iterator[tuple[int, ...]]:
    table = data[header.table : header.end] if header.count else b""
    return (each for each in _SECTION.iter_unpack(table) if each[1] != _SHT_NOBITS)


def _nvidia_arch(data: bytes, header: DeviceElf) -> str:
    """The architecture with its suffix: ``sm_90a``.

    An ``a`` is a bit of e_flags up to CUDA 12.9, and an attribute in ``.nv.compat``
    since 13.0.  Code for an ``f`` differs from that without one in nothing but the
    command line that ptxas notes down.
    """
    is_new = header.abi >= 8  # noqa: PLR2004 - with sm_100 of CUDA 12.8; for all since CUDA 13
    name = f"sm_{header.flags >> (8 if is_new else 0) & 0xFF}"
    if header.flags & _ACCELERATED[is_new] or _is_accelerated(data, header):
        return f"{name}a"
    noted = _named(data, header, b".note.nv.tkinfo")
    family = re.search(rb"-arch[ =]%b(f?)\b" % name.encode(), noted)
    return name + (family[1].decode() if family else "")


def _is_accelerated(data: bytes, header: DeviceElf) -> bool:
    """What the attributes of ``.nv.compat`` say: format, number, and a value of 16 bits each."""
    table, at = _named(data, header, b".nv.compat"), 0
    while at + 4 <= len(table):
        layout, number, value = struct.unpack_from("<BBH", table, at)
        if number == _COMPAT_ACCELERATED:
            return bool(value & 0xFF)
        at += 4 + (value if layout == _COMPAT_SIZED else 0)
    return False


def _named(data: bytes, header: DeviceElf, name: bytes) -> bytes:
    """The beginning of the section of that name; empty where there is none."""
    if not header.count:
        return b""
    names = _content(data, _section(data, header, header.names))
    for section in _sections(data, header):
        if names.startswith(name + b"\0", section[0]):
            return _content(data, section)[:_MAX_NOTE_BYTES]
    return b""


def _amd_arch(header: DeviceElf) -> str:
    name = PROCESSORS.get(header.flags & 0xFF, f"gfx-unknown-{header.flags & 0xFF:#x}")
    xnack = {2: ":xnack-", 3: ":xnack+"}.get(header.flags >> 8 & 3, "")
    sramecc = {2: ":sramecc-", 3: ":sramecc+"}.get(header.flags >> 10 & 3, "")
    return f"{name}{sramecc}{xnack}"
