"""What one look at the machine found, as a value."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from farm.errors import ExitCode
from farm.plan.jobs import GIB

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from farm.errors import FarmError
    from farm.load.project import Project


class State(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    """Builds work, but not as well as they could, or not all of them."""
    PROBLEM = "problem"
    """A build would fail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at: what was found, and what to do about it.

    ``code`` is what a build would end with; it is OK unless this is a problem.
    """

    name: str
    state: State
    found: str
    remedy: str = ""
    code: ExitCode = ExitCode.OK


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """What is looked at.  ``project`` is None outside of one, ``out`` likewise."""

    cache: Path
    environ: Mapping[str, str]
    project: Project | None = None
    out: Path | None = None
    offline: bool = False


def ok(name: str, found: str) -> Check:
    """A check without complaint."""
    return Check(name=name, state=State.OK, found=found)


def warning(name: str, found: str, remedy: str) -> Check:
    """A check that does not keep anybody from building."""
    return Check(name=name, state=State.WARNING, found=found, remedy=remedy)


def problem(name: str, found: str, remedy: str, code: ExitCode) -> Check:
    """A check that says why a build would fail."""
    return Check(name=name, state=State.PROBLEM, found=found, remedy=remedy, code=code)


def refused(name: str, error: FarmError) -> Check:
    """A check that says why a build would fail, in the build's own words."""
    return problem(name, error.message, error.hint, error.code)


def exit_code(checks: Iterable[Check]) -> ExitCode:
    """The code of the first problem, or OK."""
    return next((c.code for c in checks if c.state is State.PROBLEM), ExitCode.OK)


def size_text(size_bytes: int) -> str:
    """Bytes as a person reads them (``1.5 GiB``)."""
    return f"{size_bytes / GIB:.1f} GiB"
