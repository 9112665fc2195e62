"""Reading numbers out of bytes that anybody may have written, within bounds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    import mmap
    import struct

Buffer: TypeAlias = "bytes | mmap.mmap"

MAX_UNPACKED_BYTES: Final = 16 << 30
"""What is decompressed of one module, at most; libtorch_cuda of torch 2.11 takes 4.7 GB."""
MAX_OBJECT_BYTES: Final = 1 << 30
"""Largest single code object."""
MAX_OBJECTS: Final = 1_000_000
"""Code objects of one module; libcublasLt 13.1 has 6,120."""


class DamagedError(Exception):
    """Bytes are not what their own lengths say; the message says how.  Never leaves the room."""


@dataclass(slots=True)
class Budget:
    """How much may still be looked at: records may claim to be huge, or overlap each other."""

    left_bytes: int = MAX_UNPACKED_BYTES
    left_objects: int = MAX_OBJECTS

    @property
    def is_spent(self) -> bool:
        """Whether nothing more may be looked at."""
        return self.left_bytes < 0 or self.left_objects < 0

    def take(self, size_bytes: int) -> None:
        """Use the part of it that one code object takes, decompressed.

        Raises:
            DamagedError: One object or all together claim too much.
        """
        if size_bytes > MAX_OBJECT_BYTES:
            raise DamagedError(f"a code object claims to unpack to {size_bytes:,} bytes")
        self.left_bytes -= size_bytes
        self.left_objects -= 1
        if self.is_spent:
            raise DamagedError("its code objects claim to hold too much")


def unpack(layout: struct.Struct, buffer: Buffer, start: int, end: int) -> tuple[Any, ...]:
    """The numbers of a record at ``start``, all of it before ``end``.

    Raises:
        DamagedError: It does not fit.
    """
    if start < 0 or start + layout.size > min(end, len(buffer)):
        raise DamagedError(f"a record at {start:,} reaches beyond its end")
    return layout.unpack_from(buffer, start)


def cut(buffer: Buffer, start: int, size: int, end: int) -> bytes:
    """``size`` bytes from ``start``, all of them before ``end``.

    Raises:
        DamagedError: They do not fit.
    """
    if start < 0 or size < 0 or start + size > min(end, len(buffer)):
        raise DamagedError(f"{size:,} bytes at {start:,} reach beyond their end")
    return buffer[start : start + size]
