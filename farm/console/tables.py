"""Tables that all verbs share, so that what they print looks alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_UNLIMITED = 100_000


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    console: Console | None = None,
) -> None:
    """Print a table on stdout, or on ``console``.

    A column whose name begins with ``>`` is aligned to the right.  Cells are shown as
    they are: nothing in a ``str`` is taken for markup.  In a terminal the table is folded
    to the window; in a pipe or file each row is one line, however long, so that other
    programs find what they look for.
    """
    from rich.console import Console

    console = console or Console()
    table = _table(columns, rows)
    if console.is_terminal:
        console.print(table)
        return
    wide = Console(file=console.file, width=_UNLIMITED)
    with wide.capture() as captured:
        wide.print(table)
    lines = captured.get().splitlines()
    console.file.write("".join(line.rstrip() + "\n" for line in lines))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=(0, 1, 0, 0),
        header_style="bold",
        border_style="dim",
    )
    for name in columns:
        right = name.startswith(">")
        header = Text(name.removeprefix(">"))
        made.add_column(header, justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell) if isinstance(cell, str) else cell for cell in row))
    return made
