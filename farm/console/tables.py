"""Tables that all verbs share, so that what they print looks alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_UNLIMITED = 100_000


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str | Text]]) -> Table:
    """Return a table; a column whose name begins with ``>`` is aligned to the right.

    Cells are shown as they are: nothing in a ``str`` is taken for markup.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(
        title=Text(title, style="bold") if title else None,
        title_justify="left",
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


def print_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str | Text]],
    *,
    title: str = "",
    console: Console | None = None,
) -> None:
    """Print a table on stdout, or on ``console``.

    In a terminal it is folded to the window; in a pipe or file each row is one line,
    however long, so that other programs find what they look for.
    """
    if console is None:
        from rich.console import Console

        console = Console()
    made = table(title, columns, rows)
    if console.is_terminal:
        console.print(made)
        return
    options = console.options.update(width=_UNLIMITED)
    window, console.width = console.width, made.__rich_measure__(console, options).maximum
    try:
        with console.capture() as captured:
            console.print(made)
    finally:
        console.width = window
    lines = captured.get().splitlines()
    console.file.write("".join(line.rstrip() + "\n" for line in lines))
