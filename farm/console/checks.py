"""What ``farm doctor`` prints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from farm.upkeep.checks import State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.upkeep.checks import Check

_STYLES = {State.OK: "green", State.WARNING: "yellow", State.PROBLEM: "bold red"}


def print_checks(checks: Sequence[Check], console: Console | None = None) -> None:
    """Print what was found, remedies below what they are for, and a last line that sums up.

    In a terminal that is a table folded to the window; elsewhere each finding is one line.
    """
    console = console or Console(highlight=False)
    if console.is_terminal:
        console.print(_table(checks))
    else:
        _print_lines(checks, console)
    console.print(Text("\n").append_text(_summary(checks)))


def _table(checks: Sequence[Check]) -> Table:
    table = Table.grid(padding=(0, 2, 0, 0))
    for check in checks:
        told = Text(check.found)
        if check.remedy:
            told.append(f"\n→ {check.remedy}", style="bold")
        table.add_row(Text(check.state, style=_STYLES[check.state]), Text(check.name), told)
    return table


def _print_lines(checks: Sequence[Check], console: Console) -> None:
    state_width = max(map(len, State))
    name_width = max((len(check.name) for check in checks), default=0)
    for check in checks:
        head = f"{check.state:<{state_width}}  {check.name:<{name_width}}  "
        console.print(Text(head + check.found), soft_wrap=True)
        if check.remedy:
            console.print(Text(f"{'':<{len(head)}}→ {check.remedy}"), soft_wrap=True)


def _summary(checks: Sequence[Check]) -> Text:
    counts = {state: sum(check.state is state for check in checks) for state in State}
    if counts[State.PROBLEM]:
        noun = "problem keeps" if counts[State.PROBLEM] == 1 else "problems keep"
        text = f"{counts[State.PROBLEM]} {noun} builds from working"
        return Text(text, style=_STYLES[State.PROBLEM])
    warnings = counts[State.WARNING]
    rest = f", {warnings} {'warning' if warnings == 1 else 'warnings'}" if warnings else ""
    return Text(f"nothing keeps farm from building here{rest}", style=_STYLES[State.OK])
