"""``farm lock``: resolve build requirements and bases, and pin each to exact files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common

if TYPE_CHECKING:
    from farm.load.project import Project
    from farm.model.unit import RootfsBase


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
    bases: Annotated[
        bool,
        typer.Option("--bases", help="Renew bases instead: those named, or all of the project."),
    ] = False,
) -> None:
    """Renew the locks of what is named, or of every recipe."""
    from farm.console.choose import make_view
    from farm.resolve.bases import bases_of, lock_bases
    from farm.resolve.relock import relock

    place = common.workplace_of(context, None)
    with common.using_cache(place.cache) as store, make_view("auto") as view:
        if bases:
            asked = _bases(place.project, tuple(selectors or ()))
            written = list(lock_bases(asked, place.project, place.cache, view, renew=True))
        else:
            wanted = common.asked(selectors, variant, feature, python)
            plan = common.plan_of(place.project, wanted, default_all=True, preflight=False)
            written = relock(plan.units, place.project, store, view, index=index)
            missing = bases_of(plan.units)
            written += lock_bases(missing, place.project, place.cache, view, renew=False)
    for path in written:
        typer.echo(f"wrote {place.project.display(path)}")
    if not written:
        typer.echo("nothing to lock")


def _bases(project: Project, names: tuple[str, ...]) -> tuple[RootfsBase, ...]:
    """All that the project's own recipes build on or try in, or what these bases hold of it.

    Raises:
        UsageError: a name is no base that they use.
    """
    from farm import api
    from farm.errors import UsageError
    from farm.load.library import gather
    from farm.load.nearest import perhaps
    from farm.resolve.bases import bases_of

    own = project.own_recipes()
    recipes = gather(project, own).recipes
    versions = [f"{name}@{each}" for name in own for each in recipes[name].recipe.versions]
    found = bases_of(api.plan(project, *versions, preflight=False).units)
    known = sorted({base.name for base in found})
    for name in names:
        if name not in known:
            hint = perhaps(name, known) or f"they use {', '.join(known)}"
            raise UsageError(f"no recipe of the project uses a base {name[:80]!r}", hint=hint)
    return tuple(base for base in found if not names or base.name in names)
