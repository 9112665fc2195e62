"""``farm lock``: resolve build requirements and pin each to one wheel."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli import common


def lock(
    context: typer.Context,
    selectors: common.Selectors = None,
    variant: common.Variants = None,
    feature: common.Features = None,
    python: common.Python = None,
    index: Annotated[
        str | None,
        typer.Option("--index", help="The package index to ask instead of the machine's."),
    ] = None,
) -> None:
    """Renew the locks of what is named, or of every recipe."""
    from farm.console.choose import make_view
    from farm.resolve.relock import relock
    from farm.store.blobs import Store

    place = common.workplace_of(context, None)
    wanted = common.asked(selectors, variant, feature, python)
    plan = common.plan_of(place.project, wanted, default_all=True, preflight=False)
    common.prepare_cache(place.cache)
    with make_view("auto") as view:
        store = Store(place.cache / "store")
        written = relock(plan.units, place.project, store, view, index=index)
    for path in written:
        typer.echo(f"wrote {place.project.display(path)}")
    if not written:
        typer.echo("nothing to lock")
