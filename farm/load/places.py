"""Where things stand in a file, and how messages name them."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from farm.errors import Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable

Path: TypeAlias = "tuple[str | int, ...]"

MAX_PROBLEMS: Final = 200
"""How many problems of one file are told; more helps nobody."""
_BARE: Final = re.compile(r"[\w.+-]{1,80}")


class _Mark(Protocol):
    """Where PyYAML or libyaml has something: both count from 0."""

    line: int
    column: int


class Lines:
    """Positions in one text, kept inside of it whatever a parser says."""

    def __init__(self, file: str, text: str) -> None:
        self.file = file
        self._text = text

    @cached_property
    def _lengths(self) -> list[int]:
        lines = self._text.removesuffix("\n").split("\n")
        return [len(line.removesuffix("\r")) for line in lines]

    def place(self, line: int, column: int) -> Place:
        """Turn a line and column that count from 0 into a place."""
        if line >= len(self._lengths):  # the end of the file, after the last line feed
            line, column = len(self._lengths) - 1, self._lengths[-1]
        column = min(column, self._lengths[line])
        return Place(file=self.file, line=line + 1, column=column + 1)

    def marked(self, mark: _Mark | None) -> Place:
        """Turn a mark of the parser into a place; of what stands nowhere, the file alone."""
        return self.place(mark.line, mark.column) if mark else Place(file=self.file)

    def character(self, line: int, column: int) -> str:
        """The character at a line and column that count from 0; empty behind a line's end."""
        lines = self._text.split("\n", line + 1)
        return lines[line][column : column + 1] if line < len(lines) else ""

    def at(self, offset: int) -> Place:
        """Turn an offset in characters into a place."""
        start = self._text.rfind("\n", 0, offset) + 1
        return self.place(self._text.count("\n", 0, offset), offset - start)


def dotted(path: Path) -> str:
    """Write a path as ``variants.cuda.archs[0]``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = part if _BARE.fullmatch(part) else shown(part)
            text += f".{name}" if text else name
    return text


def shown(value: object) -> str:
    """Quote a value for a message, cut to a length that fits."""
    text = repr(value)
    limit = 60
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """Each problem once, as they stand in the files; those that stand nowhere come last."""

    def where(problem: Problem) -> tuple[bool, str, int, int]:
        place = problem.place or Place(file="")
        return not place.file, place.file, place.line or 0, place.column or 0

    return sorted(dict.fromkeys(problems), key=where)


def limited(problems: list[Problem]) -> list[Problem]:
    """Keep the first problems, and say how many were left out."""
    more = len(problems) - MAX_PROBLEMS
    if more <= 0:
        return problems
    last = problems[MAX_PROBLEMS - 1]
    file = Place(file=last.place.file) if last.place else None
    return [*problems[:MAX_PROBLEMS], Problem(what=f"and {more} more problems", place=file)]
