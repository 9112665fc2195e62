"""AMD's offload bundles, plain and compressed.

Layouts: clang's "Clang Offload Bundler" (Bundled Binary File Layout), and LLVM's
``OffloadBundle.cpp`` for the compressed ones (CCOB, versions 1 to 3).  Compared
with llvm-objdump and clang-offload-bundler 21, version 1 with clang-offload-bundler 18.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from farm.inspect.binary import DamagedError, cut, unpack
from farm.inspect.code_objects import AMD, CodeObject, Kind, kernels_of
from farm.inspect.fatbin import unzstd

if TYPE_CHECKING:
    from farm.inspect.binary import Budget, Buffer

MAGIC: Final = b"__CLANG_OFFLOAD_BUNDLE__"
COMPRESSED_MAGIC: Final = b"CCOB"
_COUNT: Final = struct.Struct("<Q")
_ENTRY: Final = struct.Struct("<QQQ")
_MAX_ENTRIES: Final = 1024
_MAX_ID_BYTES: Final = 1024
_PREFIX: Final = struct.Struct("<4sHH")
# Magic, version, method, size of all (not in version 1), size unpacked, hash.
_HEADERS: Final = {
    1: struct.Struct("<4sHHIQ"),
    2: struct.Struct("<4sHHIIQ"),
    3: struct.Struct("<4sHHQQQ"),
}
_ZLIB, _ZSTD = 0, 1
_REPEATED_BYTE: Final = 1
# The processor with its features ends an id: hipv4-amdgcn-amd-amdhsa--gfx942:xnack+
_TARGET: Final = re.compile(r"(gfx[0-9a-f]+(?:-[0-9]+)*(?:-generic)?(?::[a-z]+[+-])*)$")
_BITCODE: Final = b"BC\xc0\xde"


def read_bundle(
    buffer: Buffer, start: int, end: int, budget: Budget
) -> tuple[tuple[CodeObject, ...], int]:
    """The code objects of a bundle at ``start``, and where the last of them ends.

    Raises:
        DamagedError: It is none, or reaches beyond ``end``.
    """
    if buffer[start : start + len(MAGIC)] != MAGIC:
        raise DamagedError(f"no bundle at {start:,}")
    position = start + len(MAGIC)
    (count,) = unpack(_COUNT, buffer, position, end)
    if not 0 < count <= _MAX_ENTRIES:
        raise DamagedError(f"a bundle at {start:,} claims {count:,} entries")
    position += _COUNT.size
    found, last = [], position
    for _ in range(count):
        offset, size, id_bytes = unpack(_ENTRY, buffer, position, end)
        if id_bytes > _MAX_ID_BYTES:
            raise DamagedError(f"a bundle at {start:,} has an id of {id_bytes:,} bytes")
        name = cut(buffer, position + _ENTRY.size, id_bytes, end).decode("ascii", "replace")
        position += _ENTRY.size + id_bytes
        if start + offset + size > end:
            raise DamagedError(f"the code for {name!r} of a bundle reaches beyond its end")
        last = max(last, position, start + offset + size)
        if not name.startswith("host-"):
            budget.take(size)  # entries may share bytes: each counts
            found.append(_code_object(name, cut(buffer, start + offset, size, end)))
    return tuple(found), last


def read_compressed(
    buffer: Buffer, start: int, end: int, budget: Budget
) -> tuple[tuple[CodeObject, ...], int]:
    """The code objects of a compressed bundle at ``start``, and where it ends.

    Raises:
        DamagedError: It is none, or of a version or method that is not known.
    """
    magic, version, method = unpack(_PREFIX, buffer, start, end)
    if magic != COMPRESSED_MAGIC or version not in _HEADERS:
        raise DamagedError(f"a compressed bundle at {start:,} has version {version}")
    layout = _HEADERS[version]
    *totals, raw, _ = unpack(layout, buffer, start, end)[3:]
    for total in totals:
        if total < layout.size or start + total > end:
            raise DamagedError(f"a compressed bundle at {start:,} of {total:,} bytes does not fit")
    if method not in {_ZLIB, _ZSTD}:
        raise DamagedError(f"a compressed bundle at {start:,} uses the unknown method {method}")
    budget.take(raw)
    first = start + layout.size
    # Where the size of all is not said, what cannot be compressed takes little more than itself.
    most = totals[0] - layout.size if totals else min(raw + raw // 16 + 1024, end - first)
    packed = cut(buffer, first, most, end)
    if method == _ZSTD:
        used = most if totals else _frame_bytes(packed, raw)
        data = unzstd(packed[:used], raw)
    else:
        data, used = _unzlib(packed, raw)
    objects, _ = read_bundle(data, 0, len(data), budget)
    label = "zstd" if method == _ZSTD else "zlib"
    last = start + totals[0] if totals else first + used
    return tuple(replace(each, compressed=label) for each in objects), last


def _frame_bytes(packed: bytes, raw_bytes: int) -> int:
    """How long the zstd frame is with which the data begins: its blocks are walked.

    RFC 8878, 3.1.1: a block's header of 24 bits holds whether it is the last one,
    its type and its size.
    """
    import zstandard

    try:
        at = zstandard.frame_header_size(packed)
        checksum = zstandard.get_frame_parameters(packed).has_checksum
    except zstandard.ZstdError as error:
        raise DamagedError(f"zstd data is damaged: {error}") from error
    # Blocks are of 128 KiB; some are split, but none of them so small on the whole.
    for _ in range(raw_bytes // 256 + 16):
        header = int.from_bytes(cut(packed, at, 3, len(packed)), "little")
        at += 3 + (1 if header >> 1 & 3 == _REPEATED_BYTE else header >> 3)
        if header & 1:
            return at + (4 if checksum else 0)
    raise DamagedError("zstd data has more blocks than it can need")


def _code_object(name: str, data: bytes) -> CodeObject:
    match = _TARGET.search(name)
    arch = match[1] if match else name.rpartition("-")[2] or name
    if not data:
        kind, kernels = Kind.MACHINE, 0
    elif data.startswith(_BITCODE):
        kind, kernels = Kind.LTO, None
    else:
        kind, kernels = Kind.MACHINE, kernels_of(data)
    return CodeObject(
        vendor=AMD, arch=arch, kind=kind, compressed="", kernels=kernels, size_bytes=len(data)
    )


def _unzlib(packed: bytes, raw_bytes: int) -> tuple[bytes, int]:
    """What is packed, and how many bytes that took."""
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(packed, raw_bytes + 1)
    except zlib.error as error:
        raise DamagedError(f"zlib data is damaged: {error}") from error
    if len(data) != raw_bytes:
        raise DamagedError(f"zlib data holds {len(data):,} of {raw_bytes:,} bytes")
    if not unpacker.eof:
        raise DamagedError("zlib data is cut short")
    return data, len(packed) - len(unpacker.unused_data)
