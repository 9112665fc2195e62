"""Find the first real error in a build log, past all that only follows from it.

A failed build ends with pages that say that something failed: pip says it of the
build backend, that of ninja, ninja of the compiler.  The first line of the lowest
rank (`farm.run.error_lines`) wins.  Where CMake quotes a tool, as its tests of
compilers do, the tool's own line is the error.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass, field
from itertools import takewhile
from typing import TYPE_CHECKING

from farm.run.error_lines import (
    LINE_CHARACTERS,
    RUST_NOTE,
    clean,
    is_boundary,
    is_heading,
    is_noise,
    rank,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BEFORE = 3
_AFTER = 6
_MESSAGE = 20
_QUOTED = 400  # lines of a message of CMake that are searched for what a tool said
_WRAPPED = 4  # lines of a paragraph in which the beginning of an error may stand
_JOINED_CHARACTERS = 160
_FOREIGN_LINES = 50  # lines of others that may stand within a traceback

_FOLLOWS = re.compile(  # exceptions that only say that a child failed
    r"(?:subprocess\.CalledProcessError|(?:distutils|setuptools)\.\S*(?:Compile|Link|Exec)Error"
    r"|\S*(?:BackendFailed|BuildBackendException|FailedProcessError)"
    r"|RuntimeError: Error compiling objects)"
)
_TRACEBACK = re.compile(r"(?P<indent>\s*)Traceback \(most recent call last\):$")
_EXCEPTION = re.compile(
    r"(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*: .*"
    r"|(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception|Exit|Interrupt|Iteration|Warning):?"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstError:
    """The error of a build.

    ``line`` is the log's line ``number`` (from 1) without indentation, escape
    sequences and time stamps; where a tool puts its message on the lines below, that is
    joined to it.  ``context`` holds the lines around, and the line itself.
    """

    line: str
    number: int
    context: tuple[str, ...]


@dataclass(slots=True, kw_only=True)
class _Found:
    number: int
    line: str
    before: tuple[str, ...]
    heading: bool = False
    wrapped: bool = False
    after: list[str] = field(default_factory=list)
    open: bool = True
    taken: int = 0

    @property
    def of_cmake(self) -> bool:
        return self.heading and "panicked" not in self.line

    def take(self, line: str) -> None:
        """Take a line that follows, until the message is over."""
        if self.of_cmake:
            over = bool(line.strip()) and _indent(line) <= _indent(self.line)
        else:
            text = line.strip()
            over = is_boundary(text) or is_noise(text) or rank(text) == 1
        if over:
            self.open = False
            return
        kept = _MESSAGE if self.heading else _AFTER
        if len(self.after) < kept:
            self.after.append(line)
        self.taken += 1
        self.open = self.taken < (_QUOTED if self.of_cmake else kept)

    def result(self) -> FirstError:
        after = list(self.after)
        while after and not after[-1].strip():
            after.pop()
        own = self.line.strip().removeprefix(RUST_NOTE)
        text = _join(own, after) if self.heading else own
        if self.wrapped:
            alike = takewhile(lambda each: _indent(each) == _indent(self.line), after)
            text = " ".join([own, *takewhile(bool, map(str.strip, alike))])
        lines = (*self.before, self.line, *after)
        margin = min(_indent(line) for line in lines if line.strip())
        context = tuple(_shorten(line[margin:]) for line in lines)
        return FirstError(line=text, number=self.number, context=context)


class _Quote:
    """Looks for what a tool said within a message of CMake.

    It prints indented lines as they are, and wraps others like a paragraph.
    """

    def __init__(self, heading: _Found) -> None:
        self.heading = heading
        self._margin = _indent(heading.line) + 2
        self._parts: list[str] = []
        self._number = 0

    def take(self, number: int, line: str, lead: tuple[str, ...]) -> _Found | None:
        """Take the next line of the message; return the tool's error if one begins here."""
        text, wraps = line.strip(), _indent(line) <= self._margin
        if not wraps or not text or _is_error(text):
            self._parts = []
        if not self._parts:
            self._number = number
        if text:
            self._parts.append(text)
        own = " ".join(self._parts[:_WRAPPED])
        if not wraps:
            self._parts = []
        if not _is_error(own):
            return None
        heading = is_heading(own)
        return _Found(
            number=self._number,
            line=line[: _indent(line)] + own,
            before=() if wraps else lead,
            heading=heading,
            wrapped=wraps and not heading,
        )


def _is_error(text: str) -> bool:
    return rank(text.removeprefix(RUST_NOTE)) == 1


class _Traceback:
    """Follows one traceback to the line that names the exception."""

    def __init__(self) -> None:
        self._indent: str | None = None
        self._foreign = 0

    def take(self, line: str, previous: str) -> bool:
        """Take the next line; tell whether it names the exception of an open traceback."""
        head = _TRACEBACK.match(line)
        if head:
            ignored = previous.lstrip().startswith("Exception ignored in")
            self._indent, self._foreign = None if ignored else head["indent"], 0
            return False
        if self._indent is None or not line.strip():
            return False
        if line.startswith(self._indent):
            rest = line[len(self._indent) :]
            if rest[0] in " \t":
                return False
            if _EXCEPTION.fullmatch(rest):
                self._indent = None
                return True
        self._foreign += 1
        if self._foreign > _FOREIGN_LINES:
            self._indent = None
        return False


class _Search:
    """Reads a log line by line and keeps the first line of each rank."""

    def __init__(self) -> None:
        self._before: deque[str] = deque(maxlen=_BEFORE)
        self._found: dict[int, _Found] = {}
        self._traceback = _Traceback()
        self._quote: _Quote | None = None
        self._said_after: int | None = None

    def take(self, number: int, line: str) -> bool:
        """Take a cleaned line; tell whether the search is over."""
        for found in self._found.values():
            if found.open:
                found.take(line)
        self._look_into_message(number, line)
        previous = self._before[-1] if self._before else ""
        self._promote(line)
        level = self._level(line, previous)
        if level and level not in self._found:
            self._found[level] = _Found(
                number=number,
                line=line,
                before=self._lead(),
                heading=is_heading(line.strip()),
            )
        self._before.append(line)
        return 1 in self._found and not self._found[1].open

    def result(self) -> FirstError | None:
        """Return the best of what was found."""
        return self._found[min(self._found)].result() if self._found else None

    def _look_into_message(self, number: int, line: str) -> None:
        """Put what a tool said, quoted by CMake, in the place of CMake's own words."""
        heading = self._found.get(1)
        if heading is None or not (heading.open and heading.of_cmake):
            return
        if self._quote is None or self._quote.heading is not heading:
            self._quote = _Quote(heading)
        quoted = self._quote.take(number, line, self._lead())
        if quoted:
            self._found[1] = quoted

    def _level(self, line: str, previous: str) -> int:
        if self._traceback.take(line, previous):
            return 2 if _FOLLOWS.match(line.strip()) else 1
        level = rank(line.strip().removeprefix(RUST_NOTE))
        return level or self._from_ninja(line)

    def _from_ninja(self, line: str) -> int:
        """Return 3 for the first thing that a failed command said: FAILED, command, output."""
        if line.lstrip().startswith("FAILED: "):
            self._said_after = 0
        elif self._said_after is not None:
            self._said_after += 1
            if self._said_after > 1:
                self._said_after = None
                return 0 if is_boundary(line.strip()) or not line.strip() else 3
        return 0

    def _promote(self, line: str) -> None:
        """Raise rustc's ``error: …``, known by the place on the next line, to the first rank."""
        second = self._found.get(2)
        direct = second is not None and len(second.after) == 1 and second.after[0] is line
        if second and direct and line.lstrip().startswith("--> ") and 1 not in self._found:
            self._found[1] = self._found.pop(2)

    def _lead(self) -> tuple[str, ...]:
        """Return the lines before that belong to what comes."""
        lead: list[str] = []
        for line in self._before:
            over = is_boundary(line.strip()) or not line.strip()
            lead = [] if over else [*lead, line]
        return tuple(lead)


def first_error(lines: Iterable[str]) -> FirstError | None:
    """Return the first real error of a build log, or None if none is to be seen.

    Lines may end in newlines, and may bear the time stamps and step names of the
    farm's own logs.  Reading stops at the first error that a tool located.
    """
    search = _Search()
    for number, line in _numbered(lines):
        if search.take(number, line):
            break
    return search.result()


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(lines, start=1):
        yield number, clean(line)[:LINE_CHARACTERS]


def _join(line: str, after: list[str]) -> str:
    """Return a heading with the first paragraph or so of its message."""
    text = line
    for following in after:
        part = following.strip()
        if part.startswith("Call Stack (most recent call first)"):
            break
        if not part and text.endswith((".", "!", "?")):
            break
        if part:
            text = f"{text} {part}"
        if "panicked" in line or len(text) > len(line) + _JOINED_CHARACTERS:
            break
    return text


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _shorten(line: str, width: int = 240) -> str:
    return line if len(line) <= width else line[: width - 2] + " …"
