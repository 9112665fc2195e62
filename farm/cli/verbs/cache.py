"""``farm cache``: what the engine has kept of compilers' work, package by package."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common
from farm.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.engine.compiled import CompileCache, Kept

SUFFIX = ".compiled.tar"

cache_app = typer.Typer(
    name="cache",
    help="What the engine keeps of compilers' work: count, cut, carry it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Folder = Annotated[
    Path, typer.Argument(metavar="FOLDER", help=f"Where the files PACKAGE{SUFFIX} are.")
]
Packages = Annotated[
    list[str] | None,
    typer.Argument(metavar="[PACKAGE]...", help="Of which packages; of all, if none is named."),
]


@contextmanager
def _caches(
    context: typer.Context, packages: Iterable[str] | None, engine: str, *, quiet: bool = False
) -> Iterator[list[CompileCache]]:
    from farm.console.choose import make_view
    from farm.run.compile_cache import compile_caches
    from farm.run.options import BuildOptions

    common.known_engine(engine)
    place = common.workplace_of(context, None)
    wanted = common.asked(packages, None, None, None)
    plan = common.plan_of(place.project, wanted, default_all=True, preflight=False)
    options = BuildOptions(engine=engine)
    with common.using_cache(place.cache), make_view("quiet" if quiet else "auto") as view:
        yield compile_caches(plan.units, place.cache, options, view)


def _print(found: list[Kept], *, as_json: bool) -> None:
    import time

    from farm.console.tables import print_table
    from farm.console.words import size

    if as_json:
        common.print_json({"caches": found})
        return
    rows = (
        (
            each.package,
            str(each.files),
            size(each.size_bytes),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(each.oldest_s))
            if each.oldest_s
            else "",
        )
        for each in found
    )
    print_table(("package", ">files", ">size", "oldest used"), rows)


@cache_app.command()
def stats(
    context: typer.Context,
    packages: Packages = None,
    engine: common.Engine = "auto",
    as_json: common.AsJson = False,
) -> None:
    """Say how much is kept of each package."""
    with _caches(context, packages, engine, quiet=as_json) as caches:
        found = [each.stats() for each in caches]
    _print(found, as_json=as_json)


@cache_app.command()
def prune(
    context: typer.Context,
    packages: Packages = None,
    max_size: Annotated[
        str, typer.Option("--max-size", metavar="SIZE", help="Leave that much of each package.")
    ] = "0 B",
    engine: common.Engine = "auto",
    as_json: common.AsJson = False,
) -> None:
    """Remove what was not used for longest; all, unless --max-size says otherwise."""
    from farm.model.strict import parse_size

    try:
        most = parse_size(max_size)
    except ValueError as error:
        raise UsageError(f"--max-size: {error}") from error
    with _caches(context, packages, engine, quiet=as_json) as caches:
        found = [each.prune(most) for each in caches]
    _print(found, as_json=as_json)


@cache_app.command()
def export(
    context: typer.Context,
    folder: Folder,
    packages: Packages = None,
    engine: common.Engine = "auto",
    as_json: common.AsJson = False,
) -> None:
    """Write what is kept of each package into a folder, a file each."""
    from farm.host.files import storage_errors

    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _caches(context, packages, engine, quiet=as_json) as caches:
        found = [each.export(folder / f"{each.package}{SUFFIX}") for each in caches]
    _print(found, as_json=as_json)


@cache_app.command("import")
def import_(
    context: typer.Context,
    folder: Folder,
    packages: Packages = None,
    engine: common.Engine = "auto",
    as_json: common.AsJson = False,
) -> None:
    """Put in what such a folder holds; what comes from there is believed."""
    there = {path.name.removesuffix(SUFFIX) for path in folder.glob(f"*{SUFFIX}")}
    lacking = sorted(set(packages or ()) - there)
    if lacking or not there:
        what = f"{lacking[0]}{SUFFIX}" if lacking else f"PACKAGE{SUFFIX}"
        raise UsageError(
            f"{folder} has no {what}", hint="farm cache export FOLDER writes such files"
        )
    wanted = packages or sorted(there)
    with _caches(context, wanted, engine, quiet=as_json) as caches:
        found = [each.take(folder / f"{each.package}{SUFFIX}") for each in caches]
    _print(found, as_json=as_json)
