"""``farm clean``: say what can be removed, and remove what is asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common
from farm.errors import UsageError

if TYPE_CHECKING:
    from farm.upkeep.cleaning import Grounds, Removable, Target


def clean(
    context: typer.Context,
    runs: Annotated[
        bool, typer.Option("--runs", help="Runs but the last: logs and failed builds.")
    ] = False,
    results: Annotated[
        bool, typer.Option("--results", help="Wheels with their records; needs --yes.")
    ] = False,
    kept: Annotated[
        bool, typer.Option("--kept", help="Kept results of all projects; those in out/ stay.")
    ] = False,
    reproduced: Annotated[
        bool, typer.Option("--reproduced", help="What was built from bundles.")
    ] = False,
    store: Annotated[
        bool, typer.Option("--store", help="Fetched sources and build requirements.")
    ] = False,
    bases: Annotated[bool, typer.Option("--bases", help="Bootstrapped bases.")] = False,
    engine: Annotated[
        bool, typer.Option("--engine", help="The private engine: tools, images, build caches.")
    ] = False,
    images: Annotated[
        bool, typer.Option("--images", help="Bases that were loaded into your Docker.")
    ] = False,
    oldest: Annotated[
        bool, typer.Option("--oldest", help="What was used longest ago, beyond the limit.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Everything in the cache folder; out/ stays.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Really remove results.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", "-n", help="Only say what would be removed.")
    ] = False,
    output_dir: common.OutputDir = None,
    as_json: common.AsJson = False,
) -> None:
    """Say what can be removed; remove what is asked for."""
    from farm.load.folders import cache_folder
    from farm.upkeep import cleaning

    flags = {"runs": runs, "results": results, "kept": kept, "store": store}
    flags |= {"reproduced": reproduced, "bases": bases, "engine": engine, "images": images}
    flags |= {"oldest": oldest}
    targets = {cleaning.Target(name) for name, is_on in flags.items() if is_on}
    if everything:
        targets |= set(cleaning.IN_CACHE)
    if results and not yes and not dry_run:
        raise UsageError("--results removes wheels for good", hint="say --yes as well")
    project = common.project_if_any(context)
    out = output_dir.absolute() if output_dir else project.out if project else None
    grounds = cleaning.Grounds(cache=cache_folder(), out=out)
    _report(grounds, targets, dry_run=dry_run, as_json=as_json)


def _report(grounds: Grounds, targets: set[Target], *, dry_run: bool, as_json: bool) -> None:
    from farm.upkeep import cleaning

    is_done = bool(targets) and not dry_run
    if is_done:
        found = cleaning.clean(grounds, targets)
    else:
        found = cleaning.survey(grounds, targets or set(cleaning.Target))
    if as_json:
        common.print_json({"removed": is_done, "items": found})
        return
    if targets:
        _print_removal(found, is_done=is_done)
    else:
        _print_survey(grounds, found)


def _print_removal(found: list[Removable], *, is_done: bool) -> None:
    from farm.console.words import size

    verb = "removed" if is_done else "would remove"
    for each in found:
        for thing in (*each.paths, *each.images):
            typer.echo(f"{verb} {thing}")
    if not any(each.count for each in found):
        typer.echo("nothing to remove")
        return
    total = size(sum(each.frees_bytes for each in found))
    typer.echo(f"{total} {'freed' if is_done else 'would be freed'}")


def _print_survey(grounds: Grounds, found: list[Removable]) -> None:
    from farm.console.tables import print_table
    from farm.console.words import size
    from farm.upkeep.cleaning import IN_CACHE, Target

    rows = [
        (f"--{each.target}", size(each.frees_bytes) if each.count else "nothing", each.meaning)
        for each in found
        if each.target is not Target.TEMPORARY
    ]
    total = sum(each.frees_bytes for each in found if each.target in IN_CACHE)
    rows.append(("--all", size(total) if total else "nothing", "everything in the cache folder"))
    print_table(("option", ">frees", "what it removes"), rows)
    typer.echo(f"cache: {grounds.cache}")
    if grounds.out is not None:
        typer.echo(f"results: {grounds.out}")
