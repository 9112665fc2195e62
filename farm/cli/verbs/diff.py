"""``farm diff``: why it worked yesterday."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli import common

_HELP = "A wheel, a record.json or its folder, a bundle, a run, a unit, or an identity."


def diff(
    context: typer.Context,
    a: Annotated[str, typer.Argument(metavar="A", help=_HELP)],
    b: Annotated[str, typer.Argument(metavar="B", help="What it is compared with; likewise.")],
    output_dir: common.OutputDir = None,
    as_json: common.AsJson = False,
) -> None:
    """Compare two builds: what went in, what came out, and why."""
    from farm.console.differences import told
    from farm.repro.difference import compare
    from farm.repro.sides import find_side

    place = common.workplace_of(context, output_dir) if common.project_if_any(context) else None
    sides = [find_side(word, place) for word in (a, b)]
    found = compare(*sides)
    if as_json:
        common.print_json({"a": a, "b": b, "same": found.same, "differences": found})
        return
    for line in told(found):
        typer.echo(line)
