"""Dynamic symbols of a shared object: what it offers to others, and what it wants of them.

Layout of ``.dynsym`` in 64-bit files: System V ABI, ``Elf64_Sym``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from farm.inspect.binary import DamagedError
from farm.inspect.elf import read_elf

if TYPE_CHECKING:
    from farm.inspect.binary import Buffer

MAX_SYMBOLS: Final = 1_000_000
"""libtorch_cpu of torch 2.11 has some 150,000."""
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_MAX_NAME_BYTES: Final = 1 << 16
_LOCAL: Final = 0
_HIDDEN: Final = frozenset({1, 2})  # STV_INTERNAL, STV_HIDDEN
_64_BIT_LITTLE_ENDIAN: Final = b"\x7fELF\x02\x01"


@dataclass(frozen=True, slots=True, kw_only=True)
class Symbols:
    """Names as they are in the file (C++ names mangled, without versions)."""

    exported: frozenset[str] = frozenset()
    needed: frozenset[str] = frozenset()


def read_symbols(buffer: Buffer) -> Symbols:
    """Read the dynamic symbols; none where the file has none, or is not 64-bit.

    Raises:
        DamagedError: it contradicts itself.
    """
    if buffer[: len(_64_BIT_LITTLE_ENDIAN)] != _64_BIT_LITTLE_ENDIAN:
        return Symbols()
    sections = {section.name: section for section in read_elf("", buffer)[1]}
    table, names = sections.get(".dynsym"), sections.get(".dynstr")
    if table is None or names is None:
        return Symbols()
    count = (table.end - table.start) // _SYMBOL.size
    if count > MAX_SYMBOLS:
        raise DamagedError(f"it claims {count:,} dynamic symbols")
    data = buffer[table.start : table.start + count * _SYMBOL.size]
    texts = buffer[names.start : names.end]
    exported: set[str] = set()
    needed: set[str] = set()
    for name, info, other, section, _, _ in _SYMBOL.iter_unpack(data):
        end = texts.find(b"\0", name, name + _MAX_NAME_BYTES)
        if end <= name or info >> 4 == _LOCAL or other & 3 in _HIDDEN:
            continue
        (exported if section else needed).add(texts[name:end].decode("utf-8", "replace"))
    return Symbols(exported=frozenset(exported), needed=frozenset(needed))
