"""``farm fetch``: bring everything that a build would need, and say what could not be had."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.run.fetching import Fetched

_MOST_NAMED = 10


def fetch(
    context: typer.Context,
    selectors: common.Selectors = None,
    variant: common.Variants = None,
    feature: common.Features = None,
    python: common.Python = None,
    into: Annotated[
        Path | None,
        typer.Option("--into", help="Also fill this folder, for --source-mirror elsewhere."),
    ] = None,
    source_mirror: common.SourceMirror = None,
    offline: common.Offline = False,
    as_json: common.AsJson = False,
) -> None:
    """Bring what builds need into the store; say what is lacking."""
    from farm.console.choose import make_view
    from farm.run.fetching import fetch as run
    from farm.run.fetching import places_of
    from farm.source.job import Job
    from farm.source.mirror import Mirror

    place = common.workplace_of(context, None)
    wanted = common.asked(selectors, variant, feature, python)
    plan = common.plan_of(place.project, wanted, preflight=False)
    places = places_of(
        place.cache,
        offline=offline,
        mirror=common.mirror_at(source_mirror),
        keep=Mirror(root=into.absolute()) if into else None,
    )
    with (
        common.using_cache(place.cache) as store,
        make_view("quiet" if as_json else "auto") as view,
    ):
        rows, error = run(plan, Job(store=store, sink=view, places=places), place.cache)
    if as_json:
        common.print_json({"inputs": rows})
    else:
        _print(rows)
    if error:
        raise error


def _print(rows: tuple[Fetched, ...]) -> None:
    """A table, without columns that say the same everywhere; then what failed, and why."""
    from farm.console.tables import print_table
    from farm.console.words import size

    units = len({row.units for row in rows}) > 1
    sizes = any(row.size_bytes is not None for row in rows)
    columns = ("", "what", "pin", ">size" if sizes else None, "for" if units else None, "from")
    cells = [
        (
            str(row.got),
            row.what,
            "" if row.pin[:12] in row.what else row.pin[:12],
            "" if row.size_bytes is None else size(row.size_bytes),
            ", ".join(row.units),
            row.origin,
        )
        for row in rows
    ]
    shown = [number for number, name in enumerate(columns) if name is not None]
    print_table(
        [name for name in columns if name is not None],
        [[line[number] for number in shown] for line in cells],
    )
    typer.echo("".join(f"{line}\n" for line in _why(rows)), nl=False)


def _why(rows: tuple[Fetched, ...]) -> Iterator[str]:
    """Each reason once, with what it is about unless that is everything that failed."""
    failed = [row for row in rows if row.reason]
    groups: dict[str, list[Fetched]] = {}
    for row in failed:
        groups.setdefault(row.reason, []).append(row)
    for reason, group in groups.items():
        names = [f"{row.what}, for {', '.join(row.units)}" for row in group]
        if len(group) == 1:
            yield f"{names[0]}: {reason}"
            continue
        yield f"{len(group)} failed: {reason}"
        if len(group) != len(failed):
            yield from (f"  {name}" for name in names[:_MOST_NAMED])
            if len(names) > _MOST_NAMED:
                yield f"  and {len(names) - _MOST_NAMED} more of the rows above"
