"""What CI services read in a job's log: groups and annotations, from us and from nobody else.

A log repeats what compilers, packages and patches say, which may look like a command of the
service.  On GitHub all but our own commands stands where commands are off; GitLab's sections
begin with control characters, of which views leave none.

Formats: https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands and
https://docs.gitlab.com/ci/jobs/job_logs/#custom-collapsible-sections
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

_OFF = {"", "0", "false", "no"}


class Service(Protocol):
    """A CI service; each method returns lines for the log, empty where it knows no such thing."""

    def begin(self) -> str:
        """From here on nothing is a command but what this object returns."""

    def end(self) -> str:
        """Where that ends."""

    def group(self, title: str) -> str:
        """A part of the log begins that can be folded; groups are not within each other."""

    def group_end(self) -> str:
        """And ends."""

    def error(self, message: str, *, title: str, file: str = "", line: int | None = None) -> str:
        """Say an error, at a file of the checkout if it is one."""


@dataclass(slots=True, kw_only=True)
class GitHub:
    """Workflow commands of GitHub Actions."""

    workspace: str
    token: str = field(default_factory=lambda: os.urandom(16).hex())

    def begin(self) -> str:
        """Switch commands off, until the token comes."""
        return f"::stop-commands::{self.token}\n"

    def end(self) -> str:
        """Switch them on."""
        return f"::{self.token}::\n"

    def group(self, title: str) -> str:
        """A fold."""
        return self._command(f"::group::{_escape(title)}")

    def group_end(self) -> str:
        """Its end."""
        return self._command("::endgroup::")

    def error(self, message: str, *, title: str, file: str = "", line: int | None = None) -> str:
        """An annotation of the job, in the file's text where that is in the workspace."""
        inside = self._inside(file)
        told = {"file": inside, "line": str(line) if inside and line else "", "title": title}
        properties = ",".join(f"{key}={_escape(text, ':,')}" for key, text in told.items() if text)
        return self._command(f"::error {properties}::{_escape(message)}")

    def _inside(self, file: str) -> str:
        if not (file and self.workspace):
            return ""
        try:
            return str(Path(file).resolve().relative_to(Path(self.workspace).resolve()))
        except (ValueError, OSError):
            return ""

    def _command(self, line: str) -> str:
        return f"{self.end()}{line}\n{self.begin()}"


@dataclass(slots=True)
class GitLab:
    """Folding sections of GitLab's job logs; it has no annotations."""

    count: int = 0

    def begin(self) -> str:
        """Nothing: a section needs control characters."""
        return ""

    def end(self) -> str:
        """Nothing, likewise."""
        return ""

    def group(self, title: str) -> str:
        """A section, folded."""
        self.count += 1
        safe = "".join(character for character in title if character.isprintable())
        name = f"section_start:{int(time.time())}:farm_{self.count}[collapsed=true]"
        return f"\x1b[0K{name}\r\x1b[0K{safe}\n"

    def group_end(self) -> str:
        """Its end."""
        return f"\x1b[0Ksection_end:{int(time.time())}:farm_{self.count}\r\x1b[0K\n"

    def error(self, message: str, *, title: str, file: str = "", line: int | None = None) -> str:
        """Nothing."""
        del message, title, file, line
        return ""


def service_of(env: Mapping[str, str]) -> Service | None:
    """The service in whose job this runs, by the variables that it sets."""
    if is_on(env, "GITHUB_ACTIONS"):
        return GitHub(workspace=env.get("GITHUB_WORKSPACE", ""))
    return GitLab() if is_on(env, "GITLAB_CI") else None


def is_on(env: Mapping[str, str], name: str) -> bool:
    """Whether a variable is set to something that means yes."""
    return env.get(name, "").lower() not in _OFF


def _escape(text: str, more: str = "") -> str:
    """Text as a workflow command takes it (``more``: what its properties cannot hold)."""
    for character in "%\r\n" + more:  # per cent first: the others become it
        text = text.replace(character, f"%{ord(character):02X}")
    return text
