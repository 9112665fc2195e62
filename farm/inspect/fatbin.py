"""NVIDIA's fatbins: a header, and entries of machine code, PTX and code for link-time LTO.

NVIDIA publishes no layout.  What stands here was compared with cuobjdump 13.2 and
13.5, on objects of many kinds and on libcublasLt 13.1 with its 6,120 entries.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from farm.inspect.binary import DamagedError, cut, unpack
from farm.inspect.code_objects import NVIDIA, CodeObject, Kind, kernels_of

if TYPE_CHECKING:
    from farm.inspect.binary import Budget, Buffer

MAGIC: Final = b"\x50\xed\x55\xba"
_HEADER: Final = struct.Struct("<IHHQ")
_VERSION: Final = 1
_ENTRY: Final = struct.Struct("<HHIQIIHHIIIQQQ")
_MAX_ENTRY_HEADER_BYTES: Final = 1 << 16
_KINDS: Final = {1: Kind.PTX, 2: Kind.MACHINE, 8: Kind.LTO}
_NAMES: Final = {Kind.PTX: "compute_", Kind.LTO: "lto_"}
_LZ4: Final = 0x2000
_ZSTD: Final = 0x8000
_SUFFIXES: Final = {0x100000: "a", 0x200000: "f"}
_ENTRY_POINT: Final = b".entry "  # a directive of PTX: one for each kernel
# What each method can reach at the very most: more is a false size.
_LZ4_RATIO: Final = 255


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """An entry's header; ``payload`` is where what it holds begins."""

    kind: Kind
    arch: str
    flags: int
    payload: int
    padded_bytes: int
    packed_bytes: int
    raw_bytes: int


def read_fatbin(
    buffer: Buffer, start: int, end: int, budget: Budget
) -> tuple[tuple[CodeObject, ...], int]:
    """The code objects of a fatbin at ``start``, and where it ends.

    Raises:
        DamagedError: It is none, or reaches beyond ``end``.
    """
    magic, version, header_bytes, size = unpack(_HEADER, buffer, start, end)
    if magic != int.from_bytes(MAGIC, "little") or version != _VERSION:
        raise DamagedError(f"a fatbin at {start:,} has version {version}")
    if header_bytes != _HEADER.size:
        raise DamagedError(f"a fatbin at {start:,} has a header of {header_bytes} bytes")
    position, last = start + header_bytes, start + header_bytes + size
    if last > end:
        raise DamagedError(f"a fatbin at {start:,} of {size:,} bytes reaches beyond its end")
    found = []
    while position < last:
        entry = _entry(buffer, position, last)
        found.append(_code_object(buffer, entry, last, budget))
        position = entry.payload + entry.padded_bytes
    return tuple(found), last


def _entry(buffer: Buffer, position: int, last: int) -> _Entry:
    (kind, _, header_bytes, padded, packed, _, _, _, arch, _, _, flags, _, raw) = unpack(
        _ENTRY, buffer, position, last
    )
    if not _ENTRY.size <= header_bytes <= _MAX_ENTRY_HEADER_BYTES:
        raise DamagedError(f"an entry at {position:,} has a header of {header_bytes:,} bytes")
    if position + header_bytes + padded > last:
        raise DamagedError(f"an entry at {position:,} reaches beyond the end of its fatbin")
    what = _KINDS.get(kind, Kind.OTHER)
    suffix = "".join(letter for bit, letter in _SUFFIXES.items() if flags & bit)
    return _Entry(
        kind=what,
        arch=f"{_NAMES.get(what, 'sm_')}{arch}{suffix}",
        flags=flags,
        payload=position + header_bytes,
        padded_bytes=padded,
        packed_bytes=packed,
        raw_bytes=raw,
    )


def _code_object(buffer: Buffer, entry: _Entry, last: int, budget: Budget) -> CodeObject:
    method = "lz4" if entry.flags & _LZ4 else "zstd" if entry.flags & _ZSTD else ""
    counted = entry.kind in {Kind.MACHINE, Kind.PTX}
    if not counted:
        budget.take(0)
    return CodeObject(
        vendor=NVIDIA,
        arch=entry.arch,
        kind=entry.kind,
        compressed=method,
        kernels=_kernels(buffer, entry, last, budget) if counted else None,
        size_bytes=entry.padded_bytes,
    )


def _kernels(buffer: Buffer, entry: _Entry, last: int, budget: Budget) -> int:
    data = _payload(buffer, entry, last, budget)
    if entry.kind is Kind.PTX:
        return data.count(_ENTRY_POINT)
    return kernels_of(data)


def _payload(buffer: Buffer, entry: _Entry, last: int, budget: Budget) -> bytes:
    if not entry.flags & (_LZ4 | _ZSTD):
        budget.take(entry.padded_bytes)
        return cut(buffer, entry.payload, entry.padded_bytes, last)
    if entry.packed_bytes > entry.padded_bytes:
        raise DamagedError(f"an entry at {entry.payload:,} is smaller than its compressed data")
    packed = cut(buffer, entry.payload, entry.packed_bytes, last)
    budget.take(entry.raw_bytes)
    if entry.flags & _ZSTD:
        return unzstd(packed, entry.raw_bytes)
    return _unlz4(packed, entry.raw_bytes)


def _unlz4(packed: bytes, raw_bytes: int) -> bytes:
    from lz4.block import LZ4BlockError, decompress

    if raw_bytes > len(packed) * _LZ4_RATIO:
        raise DamagedError(f"{len(packed):,} bytes of LZ4 claim to hold {raw_bytes:,}")
    try:
        data: bytes = decompress(packed, uncompressed_size=raw_bytes)
    except (LZ4BlockError, ValueError, MemoryError, OverflowError) as error:
        raise DamagedError(f"LZ4 data is damaged: {error}") from error
    return data


def unzstd(packed: bytes, raw_bytes: int) -> bytes:
    """Decompress zstd to exactly ``raw_bytes``.

    Raises:
        DamagedError: The data is damaged, or of another size.
    """
    import zstandard

    try:
        # The call below believes the frame, which may claim any size or none.
        said = zstandard.frame_content_size(packed)
        if said not in {raw_bytes, -1}:
            raise DamagedError(f"zstd data claims {said:,} of {raw_bytes:,} bytes")
        unpacker = zstandard.ZstdDecompressor(max_window_size=_MAX_WINDOW_BYTES)
        data = unpacker.decompress(packed, max_output_size=raw_bytes)
    except (zstandard.ZstdError, ValueError, MemoryError, OverflowError) as error:
        raise DamagedError(f"zstd data is damaged: {error}") from error
    if len(data) != raw_bytes:
        raise DamagedError(f"zstd data holds {len(data):,} of {raw_bytes:,} bytes")
    return data


_MAX_WINDOW_BYTES: Final = 1 << 27
"""zstd's own limit for decoders that are not told otherwise is 2**27."""
