"""What ``farm doctor`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.text import Text

from farm.console.tables import print_table
from farm.upkeep.checks import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.upkeep.checks import Check

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red"}


def print_checks(checks: Sequence[Check]) -> None:
    """Print what was found, remedies below what they are for, and a last line that sums up."""
    rows: list[tuple[str | Text, ...]] = []
    for check in checks:
        rows.append((Text(check.state, style=_STYLES[check.state]), check.name, check.found))
        if check.remedy:
            rows.append(("", "", Text(f"→ {check.remedy}", style="bold")))
    print_table(("", "check", "found"), rows)
    Console(highlight=False).print(Text("\n").append_text(_summary(checks)))


def _summary(checks: Sequence[Check]) -> Text:
    problems = sum(check.state is State.PROBLEM for check in checks)
    if problems:
        noun = "problem keeps" if problems == 1 else "problems keep"
        return Text(f"{problems} {noun} builds from working", style=_STYLES[State.PROBLEM])
    warnings = sum(check.state is State.WARNING for check in checks)
    rest = f", {warnings} {'warning' if warnings == 1 else 'warnings'}" if warnings else ""
    return Text(f"nothing keeps farm from building here{rest}", style=_STYLES[State.OK])
