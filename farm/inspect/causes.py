"""Why two contents that should be the same are not, as far as their bytes tell."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from farm.inspect.binary import DamagedError
from farm.inspect.device_code import scan
from farm.inspect.elf import read_elf
from farm.inspect.module import ELF_MAGIC

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.inspect.binary import Buffer
    from farm.inspect.elf import Section


class Cause(StrEnum):
    """Why wheels differ; the words are stable."""

    MEMBERS = "members"
    TIME = "time stamps"
    PATH = "paths"
    NAME = "random names"
    ORDER = "order"
    PERMISSIONS = "permissions"
    COMPRESSION = "compression"
    ARCHIVE = "archive"
    COMPILER = "compiler"
    DEVICE_CODE = "device code"
    CODE = "code"
    DEBUG = "debug information"
    CONTENT = "content"
    BUILD_ID = "build id"
    RECORD = "record"
    UNREADABLE = "unreadable"


REMEDIES: Final = {
    Cause.TIME: "what writes it must take SOURCE_DATE_EPOCH (-Wdate-time finds __DATE__)",
    Cause.PATH: "compile with -ffile-prefix-map=OLD=NEW, or always in the same folder",
    Cause.NAME: "a temporary name got in: give it a fixed one (nvcc: --objdir-as-tempdir)",
    Cause.ORDER: "sort what a folder, a set or parallel jobs gave in any order; PYTHONHASHSEED=0",
    Cause.COMPILER: "another compiler, or another version of it",
}
"""What mends a cause, where that is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One cause, with what was seen of it."""

    cause: Cause
    message: str


WHOLE_BYTES: Final = 16 << 20
"""What is compared word by word; of more, a window around the first difference."""
_WINDOW_BYTES: Final = 1 << 20
_SHOWN: Final = 100
_MONTH: Final = "(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*"
_PATTERNS: Final = (
    (
        Cause.TIME,
        re.compile(
            r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? +)?"
            rf"(?:\d{{4}}-\d\d-\d\d|{_MONTH} +\d{{1,2}},? +\d{{4}}|\d{{1,2}} {_MONTH} \d{{4}})"
            r"(?:[T ]\d\d:\d\d(?::\d\d)?(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)?)?"
            r"|\b\d\d:\d\d:\d\d\b|\b1\d{9}(?:\.\d+)?\b"
        ),
    ),
    (Cause.NAME, re.compile(r"tmp[A-Za-z0-9_]{6,}|(?<![0-9a-f])[0-9a-f]{8,}(?![0-9a-f])")),
    (Cause.PATH, re.compile(r"(?:/[A-Za-z0-9_.+@%~-]+){2,}/?")),
)
"""What differs from build to build, most telling first: a path may hold a random name."""
_TEXT: Final = re.compile(rb"[\x20-\x7e\t]{4,}")


def reasons(path: str, a: Buffer, b: Buffer) -> list[Reason]:
    """Why a member's two contents differ, which they do."""
    if path.endswith(".pyc"):
        return [_of_bytecode(a[:], b[:])]
    if a[:4] == b[:4] == ELF_MAGIC:
        try:
            return _of_elf(a, b)
        except DamagedError:
            pass
    return [_of_content(a, b)]


def _of_content(a: Buffer, b: Buffer) -> Reason:
    if max(len(a), len(b)) <= WHOLE_BYTES:
        return why(a[:], b[:])
    start = max(0, _first_difference(a, b) - 4096)
    return why(a[start : start + _WINDOW_BYTES], b[start : start + _WINDOW_BYTES])


def _first_difference(a: Buffer, b: Buffer) -> int:
    step = 1 << 20
    for start in range(0, min(len(a), len(b)), step):
        one, other = a[start : start + step], b[start : start + step]
        if one != other:
            pairs = enumerate(zip(one, other, strict=False))
            return start + next((at for at, (x, y) in pairs if x != y), 0)
    return min(len(a), len(b))


def why(a: bytes, b: bytes) -> Reason:
    """Why two texts, or the texts in two binaries, differ."""
    left, right = _pieces(a), _pieces(b)
    more, less = Counter(left) - Counter(right), Counter(right) - Counter(left)
    shown = _pair(next(iter(more), ""), next(iter(less), ""))
    if not more and not less:
        if Counter(a) == Counter(b):
            return Reason(cause=Cause.ORDER, message="the same in another order")
        return Reason(cause=Cause.CONTENT, message=f"{len(a):,} and {len(b):,} bytes")
    blank_more, blank_less = list(more.elements()), list(less.elements())
    found: list[Cause] = []
    for cause, pattern in _PATTERNS:
        if sorted(_blank(pattern, more.elements())) == sorted(_blank(pattern, less.elements())):
            return Reason(cause=cause, message=shown)
        before = blank_more + blank_less
        blank_more = list(_blank(pattern, blank_more))
        blank_less = list(_blank(pattern, blank_less))
        found += [cause] if before != blank_more + blank_less else []
    if found and sorted(blank_more) == sorted(blank_less):
        return Reason(cause=found[0], message=f"{shown} ({' and '.join(found)})")
    if _scrambled(more.elements()) == _scrambled(less.elements()):
        return Reason(cause=Cause.ORDER, message=shown)
    return Reason(cause=Cause.CONTENT, message=shown)


def _pieces(data: bytes) -> list[str]:
    """Lines of a text; of anything else the texts in it."""
    if b"\0" not in data[:4096]:
        try:
            return data.decode().splitlines()
        except UnicodeDecodeError:
            pass
    return [found.decode("ascii") for found in _TEXT.findall(data)]


def _blank(pattern: re.Pattern[str], pieces: Iterable[str]) -> Iterator[str]:
    return (pattern.sub("\0", piece) for piece in pieces)


def _scrambled(pieces: Iterable[str]) -> list[list[str]]:
    """The words of each piece, sorted: a set that was printed has them in any order."""
    return sorted(sorted(re.findall(r"\w+|[^\w\s,]", piece)) for piece in pieces)


def _pair(one: str, other: str) -> str:
    """Two texts beside each other, from a little before where they begin to differ."""
    same = next((n for n, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), 0)
    start = max(0, same - _SHOWN // 3)
    return " → ".join(shown(text[start:]) for text in (one, other))


def shown(text: str) -> str:
    """Text of anybody's, as one may print it."""
    cut = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return f"'{cut}'" if cut.isprintable() else ascii(cut)


def _of_bytecode(a: bytes, b: bytes) -> Reason:
    """Python's .pyc (PEP 552): magic, flags, then time and size of the source, or its hash."""
    if a[:4] != b[:4]:
        return Reason(cause=Cause.COMPILER, message="compiled by another version of Python")
    if a[16:] == b[16:]:
        return Reason(cause=Cause.TIME, message="the time of its source stands in it")
    if Counter(a[16:]) == Counter(b[16:]):
        return Reason(cause=Cause.ORDER, message="the same constants in another order: hash seed")
    return why(a[16:], b[16:])


_FOLLOWS: Final = (
    *(
        ".eh_frame",
        ".rela",
        ".rel.",
        ".dynsym",
        ".dynamic",
        ".hash",
        ".gnu.hash",
        ".gnu.version",
        ".got",
        ".plt",
    ),
    *(".init", ".fini", ".shstrtab", ".symtab", ".note", ".gcc_except_table"),
)
"""Sections that hold addresses, or say again what others hold."""
_ROOTS: Final = frozenset({Cause.TIME, Cause.PATH, Cause.NAME, Cause.ORDER})


def _of_elf(a: Buffer, b: Buffer) -> list[Reason]:
    """By section: what is the cause first, then the build id, which only follows.

    Raises:
        DamagedError: one of them is no sound ELF file.
    """
    left, right = (_sections(read_elf("", each)[1]) for each in (a, b))
    lacking = sorted(left.keys() ^ right.keys())
    differing = [n for n in left if n in right and not _alike(a, left[n], b, right[n])]
    found: dict[Cause, list[str]] = {}
    messages: dict[Cause, str] = {}
    for name in differing:
        reason = _of_section(name, a, left[name], b, right[name])
        found.setdefault(reason.cause, []).append(name)
        messages.setdefault(reason.cause, reason.message)
    if lacking:
        found.setdefault(Cause.CONTENT, []).extend(lacking)
        messages[Cause.CONTENT] = f"only one has {', '.join(lacking)}"
    return _ranked(found, messages)


def _ranked(found: dict[Cause, list[str]], messages: dict[Cause, str]) -> list[Reason]:
    """What explains the rest, where something does."""
    follows = found.pop(Cause.RECORD, [])
    if _ROOTS & found.keys():
        # Another length of a text moves all that comes after it.
        for cause in (Cause.CODE, Cause.DEBUG, Cause.CONTENT):
            follows += found.pop(cause, [])
    if Cause.CODE in found:
        follows += found.pop(Cause.DEBUG, [])
    if not found:
        where = ", ".join(sorted(follows)) or "its headers"
        return [Reason(cause=Cause.CONTENT, message=f"{where}: laid out otherwise")]
    rest = f"; with it {', '.join(sorted(follows))}" if follows else ""
    order = sorted(found, key=list(Cause).index)
    return [
        Reason(
            cause=cause,
            message=f"in {', '.join(found[cause])}: {messages[cause]}{rest if not n else ''}",
        )
        for n, cause in enumerate(order)
    ]


def _of_section(name: str, a: Buffer, one: Section, b: Buffer, other: Section) -> Reason:
    """Why a section differs; `Cause.RECORD` where it only follows from others."""
    if name == ".note.gnu.build-id":
        return Reason(cause=Cause.BUILD_ID, message="it is a digest of the rest")
    if name.startswith(_FOLLOWS):
        return Reason(cause=Cause.RECORD, message="")
    if one.is_device:
        return Reason(cause=Cause.DEVICE_CODE, message=_devices(a, one, b, other))
    if one.is_code:
        return Reason(cause=Cause.CODE, message="other machine code")
    reason = why(_start(a, one), _start(b, other))
    if name == ".comment" or (one.is_debug and reason.cause is Cause.CONTENT):
        cause = Cause.COMPILER if name == ".comment" else Cause.DEBUG
        return Reason(cause=cause, message=reason.message)
    return reason


def _start(buffer: Buffer, section: Section) -> bytes:
    """A section's bytes, of a large one those at its start."""
    size = section.end - section.start
    return buffer[section.start : section.start + (size if size <= WHOLE_BYTES else _WINDOW_BYTES)]


def _devices(a: Buffer, one: Section, b: Buffer, other: Section) -> str:
    """Of which architectures the code objects differ, as far as sizes and kernels tell."""
    left, right = set(scan(a, [one]).code), set(scan(b, [other]).code)
    archs = sorted({f"{code.arch} ({code.kind})" for code in left ^ right})
    if archs:
        return f"of {', '.join(archs)}"
    reason = why(_start(a, one), _start(b, other))
    return f"as many objects and kernels, of the same sizes; {reason.cause}: {reason.message}"


def _sections(sections: Iterable[Section]) -> dict[str, Section]:
    """By name; of those with one name, the later ones by their number too."""
    found: dict[str, Section] = {}
    for section in sections:
        name, number = section.name, 2
        while name in found:
            name, number = f"{section.name}#{number}", number + 1
        found[name] = section
    return found


def _alike(a: Buffer, one: Section, b: Buffer, other: Section) -> bool:
    if one.end - one.start != other.end - other.start:
        return False
    step = 1 << 20
    return all(
        a[one.start + at : min(one.start + at + step, one.end)]
        == b[other.start + at : min(other.start + at + step, other.end)]
        for at in range(0, one.end - one.start, step)
    )
