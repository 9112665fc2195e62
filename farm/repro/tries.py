"""What a bisection tried, kept in a file, so that one that was ended goes on from there."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from farm.host.files import storage_errors

if TYPE_CHECKING:
    from pathlib import Path

NAME = "tries.jsonl"


class Verdict(StrEnum):
    """What a try showed."""

    GOOD = "good"
    BAD = "bad"
    UNTESTED = "cannot be tested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """A state that was built and judged: the good one with these changes, by name.

    ``exit_code`` is that of its build, ``message`` the last line of what judged it.
    ``only`` is the one object that was made, where the whole was not built, and ``broken``
    the one that could not be compiled.
    """

    changes: tuple[str, ...]
    verdict: Verdict
    exit_code: int
    message: str
    seconds: float
    only: str = ""
    broken: str = ""


class Tries:
    """All tries of one bisection, one JSON object in a line for each, the oldest first.

    Raises:
        StorageError: the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / NAME
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.all = self._read()

    def of(self, changes: frozenset[str], only: str = "") -> Try | None:
        """The try of just these changes, of the whole or ``only`` an object, if there was one."""
        found = (t for t in self.all if frozenset(t.changes) == changes and t.only == only)
        return next(found, None)

    def add(self, made: Try) -> None:
        """Keep a try.

        Raises:
            StorageError: the disk is full.
        """
        with storage_errors(self.file), self.file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(made), ensure_ascii=False) + "\n")
        self.all.append(made)

    def _read(self) -> list[Try]:
        found: list[Try] = []
        with suppress(FileNotFoundError), storage_errors(self.file):
            for line in self.file.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError, TypeError, KeyError):  # cut, when farm was killed
                    told = json.loads(line)
                    verdict = Verdict(told["verdict"])
                    told |= {"changes": tuple(told["changes"]), "verdict": verdict}
                    found.append(Try(**told))
        return found
