"""Find every code object in a file, whatever compiler and linker put there.

Records follow each other with padding between them, in sections of their own or
among other data, so the whole is searched for their first bytes.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from farm.inspect import fatbin, offload_bundle
from farm.inspect.binary import Budget, DamagedError
from farm.inspect.code_objects import CodeObject, Kind, read_bare
from farm.inspect.facts import DeviceCode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from farm.inspect.binary import Buffer
    from farm.inspect.elf import Section

    Reader = Callable[[Buffer, int, int, Budget], tuple[tuple[CodeObject, ...], int]]

RELOCATABLE_SECTION: Final = "__nv_relfatbin"


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What was found, and what was wrong with it."""

    code: tuple[DeviceCode, ...]
    problems: tuple[str, ...]


_READERS: Final[dict[bytes, Reader]] = {
    fatbin.MAGIC: fatbin.read_fatbin,
    offload_bundle.MAGIC: offload_bundle.read_bundle,
    offload_bundle.COMPRESSED_MAGIC: offload_bundle.read_compressed,
    # ELF files whose OSABI is a device's: 0x33 and 0x41 NVIDIA's, 0x40 AMD's for HSA.
    b"\x7fELF\x02\x01\x01\x33": read_bare,
    b"\x7fELF\x02\x01\x01\x41": read_bare,
    b"\x7fELF\x02\x01\x01\x40": read_bare,
}
HEADS: Final = tuple(_READERS)
"""What a file that is device code and nothing else begins with."""


def scan(buffer: Buffer, sections: Iterable[Section]) -> Scan:
    """Every code object in the sections, those of one kind taken together."""
    budget = Budget()
    objects: list[CodeObject] = []
    problems: list[str] = []
    for section in sections:
        position = section.start
        for start, reader in _candidates(buffer, section):
            if start < position:
                continue  # inside of a record that was read
            if budget.is_spent:
                problems = ["not all of its device code was looked at: there is too much"]
                return Scan(code=_together(objects), problems=tuple(problems))
            try:
                found, position = reader(buffer, start, section.end, budget)
            except DamagedError as error:
                budget.left_objects -= 1
                position = start + 1
                if section.is_device:
                    problems.append(f"{section.name}: {error}")
            else:
                objects += _as_lying_in(section, found)
    return Scan(code=_together(objects), problems=_first(problems))


def _as_lying_in(section: Section, found: tuple[CodeObject, ...]) -> tuple[CodeObject, ...]:
    """What lies in the section for ``nvcc -rdc`` was linked to be run elsewhere, if at all."""
    if section.name != RELOCATABLE_SECTION:
        return found
    return tuple(
        replace(each, kind=Kind.RELOCATABLE) if each.kind in {Kind.MACHINE, Kind.PTX} else each
        for each in found
    )


def _candidates(buffer: Buffer, section: Section) -> Iterator[tuple[int, Reader]]:
    """Where a record may begin, in order.

    Each kind of first bytes is looked for once, and again only behind where it stood.
    """
    waiting = {magic: buffer.find(magic, section.start, section.end) for magic in _READERS}
    waiting = {magic: start for magic, start in waiting.items() if start >= 0}
    while waiting:
        magic = min(waiting, key=lambda each: waiting[each])
        start = waiting[magic]
        yield start, _READERS[magic]
        found = buffer.find(magic, start + 1, section.end)
        if found < 0:
            del waiting[magic]
        else:
            waiting[magic] = found


def _together(objects: Sequence[CodeObject]) -> tuple[DeviceCode, ...]:
    groups: dict[tuple[str, str, Kind, str], list[CodeObject]] = defaultdict(list)
    for each in objects:
        groups[each.vendor, each.arch, each.kind, each.compressed].append(each)
    return tuple(
        DeviceCode(
            vendor=vendor,
            arch=arch,
            kind=str(kind),
            compressed=compressed,
            objects=len(group),
            kernels=sum(each.kernels or 0 for each in group),
            counted=all(each.kernels is not None for each in group),
            size_bytes=sum(each.size_bytes for each in group),
        )
        for (vendor, arch, kind, compressed), group in sorted(groups.items())
    )


_SHOWN_PROBLEMS: Final = 5


def _first(problems: list[str]) -> tuple[str, ...]:
    rest = len(problems) - _SHOWN_PROBLEMS
    more = [f"and {rest:,} more such records"] if rest > 0 else []
    return (*problems[:_SHOWN_PROBLEMS], *more)
