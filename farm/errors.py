"""The one error tree: what went wrong, where, why, and what to do.

Library code raises these; only ``farm.cli`` turns them into text and an exit
code.  Every cause has a code of its own, documented in
``docs/reference/exit-codes.md`` and pinned by a test.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Sequence


class ExitCode(IntEnum):
    """What the process ends with, one number for each cause."""

    OK = 0
    INTERNAL = 1
    USAGE = 2
    RECIPE = 3
    PLAN = 4
    FETCH = 5
    INTEGRITY = 6
    ENGINE = 7
    BASE = 8
    BUILD = 9
    CHECK = 10
    STORAGE = 11
    PATCH = 12
    OUT_OF_MEMORY = 13
    LOCK = 14
    NEEDED_UNIT = 15
    SMOKE_TEST = 16
    OTHERWISE = 17
    CANCELLED = 130


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A position in a file that the user wrote; line and column count from 1."""

    file: str
    line: int | None = None
    column: int | None = None

    def __str__(self) -> str:
        parts = [self.file, self.line, self.column]
        return ":".join(str(part) for part in parts if part is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One thing wrong in the user's input, printed as ``place: where: what; hint``."""

    what: str
    place: Place | None = None
    where: str = ""
    hint: str = ""

    def __str__(self) -> str:
        head = ": ".join(part for part in (str(self.place or ""), self.where) if part)
        text = f"{head}: {self.what}" if head else self.what
        return f"{text}; {self.hint}" if self.hint else text


class FarmError(Exception):
    """Base of every failure that the farm explains.

    ``message`` says what failed and why, ``hint`` what to do about it,
    ``details`` holds further lines (a command's last words, say), and ``step``
    names the step of a build in which it happened, if it was one.
    """

    code: ClassVar[ExitCode] = ExitCode.INTERNAL

    def __init__(
        self, message: str, *, hint: str = "", details: Sequence[str] = (), step: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = tuple(details)
        self.step = step


class InternalError(FarmError):
    """Something that nobody foresaw: a bug in farm, which ends the one unit that it befell."""

    code = ExitCode.INTERNAL


class UsageError(FarmError):
    """The command line names something that does not exist or cannot be combined."""

    code = ExitCode.USAGE


class ProblemsError(FarmError):
    """Base of the errors that collect every problem before anything runs.

    ``root`` is the folder from which the files of their places are named, if it is not the
    current one.
    """

    title: ClassVar[str] = "problems"
    root: str = ""

    def __init__(self, problems: Sequence[Problem], *, hint: str = "") -> None:
        self.problems = tuple(problems)
        count = len(self.problems)
        noun = self.title if count != 1 else self.title.replace("problems", "problem", 1)
        super().__init__(f"{count} {noun}", hint=hint, details=[str(p) for p in self.problems])


class RecipeError(ProblemsError):
    """Recipes, toolchains or bases are not what their schema says."""

    code = ExitCode.RECIPE
    title = "problems in what the recipes say"


class PlanError(ProblemsError):
    """Each file is valid, but together they ask for something impossible."""

    code = ExitCode.PLAN
    title = "problems in the plan"


class FetchError(FarmError):
    """A source could not be brought here; what was fetched so far is kept."""

    code = ExitCode.FETCH


class IntegrityError(FarmError):
    """Something arrived, but it is not what its hash says."""

    code = ExitCode.INTEGRITY


class EngineError(FarmError):
    """No usable engine, or it went away."""

    code = ExitCode.ENGINE


class BaseError(FarmError):
    """A base could not be bootstrapped or loaded."""

    code = ExitCode.BASE


class BuildError(FarmError):
    """A step in the container failed; the message holds the first real error line."""

    code = ExitCode.BUILD


class CheckError(FarmError):
    """A wheel was built but is not what the recipe promises."""

    code = ExitCode.CHECK


class SmokeTestError(FarmError):
    """A wheel cannot be installed, imported or run in a clean container."""

    code = ExitCode.SMOKE_TEST


class StorageError(FarmError):
    """The disk is full, or a folder cannot be written."""

    code = ExitCode.STORAGE


class PatchError(FarmError):
    """A patch or an edit does not fit the source."""

    code = ExitCode.PATCH


OUT_OF_MEMORY_HINT = (
    "build with fewer jobs (MAX_JOBS=1) or fewer units at once (-j 1), have more memory, or raise "
    "memory_per_job in the recipe"
)


class OutOfMemoryError(FarmError):
    """Memory ran out in a step: the kernel ended a process, or an allocation failed."""

    code = ExitCode.OUT_OF_MEMORY


class LockError(FarmError):
    """Build requirements or crates could not be resolved, or are not locked."""

    code = ExitCode.LOCK


class OtherwiseError(FarmError):
    """What was built before was built again, and came out otherwise."""

    code = ExitCode.OTHERWISE


class NeededUnitError(FarmError):
    """A unit was not tried because one that it needs failed."""

    code = ExitCode.NEEDED_UNIT


class CancelledError(FarmError):
    """The user ended the run, or ``--fail-fast`` did."""

    code = ExitCode.CANCELLED
