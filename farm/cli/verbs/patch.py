"""``farm patch``: try patches and edits on staged sources, make a new patch."""

from __future__ import annotations

import shlex
import subprocess
import threading
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common
from farm.errors import PatchError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from farm.load.project import Project
    from farm.patching.new import Change, Written
    from farm.patching.series import Series, Tried
    from farm.store.blobs import Store

patch_app = typer.Typer(
    name="patch",
    help="Try patches and edits on staged sources; make a new patch.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@patch_app.command()
def check(
    context: typer.Context,
    selectors: common.Selectors = None,
    as_json: common.AsJson = False,
) -> None:
    """Try every patch and edit, of all recipes or those named, without building."""
    from farm.load.library import gather
    from farm.patching.check import check as run
    from farm.patching.check import everything, failure
    from farm.plan.plan import Choice, make_plan
    from farm.plan.select import parse_selector

    place = common.workplace_of(context, None)
    parsed = [parse_selector(text) for text in selectors or place.project.names("recipes")]
    library = gather(place.project, [selector.package for selector in parsed])
    plan = make_plan(library, [*everything(library, parsed)], Choice(), preflight=False)
    units = [unit for unit in plan.units if unit.label in plan.requested]
    with common.using_cache(place.cache) as store:
        rows = run(units, store)
    if as_json:
        common.print_json({"patches": rows})
    else:
        _print(rows)
    error = failure(rows)
    if error:
        raise error


def _print(rows: tuple[Tried, ...]) -> None:
    from farm.console.tables import print_table

    if not rows:
        typer.echo("there is nothing to try: no patch and no edit")
        return
    print_table(
        ("", "package", "patch or edit", "on", "for"),
        [
            (str(row.fit), f"{row.package}@{row.version}", row.name, row.source, _variants(row))
            for row in rows
        ],
    )
    for row in rows:
        if row.detail:
            typer.echo(f"{row.package}@{row.version}: {row.name}: {row.detail}")


def _variants(row: Tried) -> str:
    names = [label.partition(":")[2] for label in row.units]
    shown = 4
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


@patch_app.command()
def new(
    context: typer.Context,
    selector: Annotated[
        str,
        typer.Argument(metavar="PACKAGE[@VERSION][:VARIANT]", help="What the patch is for."),
    ],
    name: Annotated[str, typer.Argument(help="Its name, such as fa3-only-when-asked.")],
    to: Annotated[
        str | None,
        typer.Option("--to", help="The staged source to change.  [default: the package's own]"),
    ] = None,
    finish: Annotated[
        bool, typer.Option("--finish", help="Write what was changed as a patch.")
    ] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Give the change up.")] = False,
    run: Annotated[
        str | None,
        typer.Option("--run", help="Change it with this shell command, then finish."),
    ] = None,
    why: common.Why = "",
    upstream: common.Upstream = "",
    remove_when: common.RemoveWhen = "",
    source_mirror: common.SourceMirror = None,
    offline: common.Offline = False,
    as_json: common.AsJson = False,
) -> None:
    """Open a source to change it; then write the change as a patch (--finish)."""
    from farm.patching.new import Change, earlier

    place = common.workplace_of(context, None)
    if sum((finish, discard, run is not None)) > 1:
        raise UsageError("--finish, --discard and --run exclude each other")
    wanted = common.asked([selector], None, None, None)
    plan = common.plan_of(place.project, wanted, preflight=False)
    units = [unit for unit in plan.units if unit.label in plan.requested]
    series = earlier(units, to)
    change = Change(place.project, place.out, series, name)
    if discard:
        change.discard()
        return
    if not finish and (run is None or not change.is_open):
        if change.is_open:
            raise UsageError(f"it is open already, in {change.tree}", hint="--finish or --discard")
        with common.using_cache(place.cache) as store:
            change.open(_staged(series, store, source_mirror, offline=offline))
    if not finish and run is None:
        words = [selector, name, *(["--to", to] if to else [])]
        _tell_open(change, shlex.join(["farm", "patch", "new", *words]), as_json=as_json)
        return
    if run is not None:
        _run(run, change.tree)
    fields = {"Why": why, "Upstream": upstream, "Remove-when": remove_when}
    tell_written(change.finish(fields), place.project, as_json=as_json)


def _staged(series: Series, store: Store, source_mirror: Path | None, *, offline: bool) -> Path:
    """The archive of the source, brought here if it is not."""
    from farm.console.choose import make_view
    from farm.source.inputs import input_of_source
    from farm.source.job import Places
    from farm.source.stage import stage

    wanted = input_of_source(series.source, series.key)
    places = Places(offline=offline, mirror=common.mirror_at(source_mirror))
    with make_view("auto") as view:
        found = stage([wanted], store, view, places=places, cancel=threading.Event())
    return store.path_of(found[wanted])


def _run(command: str, folder: Path) -> None:
    """Let the user's own command change the source, in their terminal.

    Raises:
        PatchError: it failed; what it changed stays.
    """
    done = subprocess.run(["/bin/sh", "-c", command], cwd=folder, check=False)
    if done.returncode:
        raise PatchError(
            f"the command ended with exit status {done.returncode}",
            hint=f"the change is open still, in {folder}: --finish or --discard",
        )


def _tell_open(change: Change, command: str, *, as_json: bool) -> None:
    if as_json:
        common.print_json({"folder": str(change.tree), "finish": f"{command} --finish"})
        return
    typer.echo(str(change.tree))
    typer.echo(f"change what is there, then: {command} --finish --why … --upstream …", err=True)


def tell_written(written: Written, project: Project, *, as_json: bool) -> None:
    """Say what a patch changes, and how a recipe names it."""
    path = project.display(written.path)
    if as_json:
        common.print_json({"patch": path, "line": written.line, "files": written.files,
                           "left_out": written.left_out, "to_fill": written.to_fill})  # fmt: skip
        return
    typer.echo(path)
    typer.echo(f"it changes {', '.join(written.files)}", err=True)
    recipe = f"recipes/{written.package}.yaml"
    own = (project.root / recipe).exists()
    where = recipe if own else f"a copy of farm's own in {recipe}"
    typer.echo(f"to be named under patches: in {where}:", err=True)
    typer.echo(f"  {written.line}", err=True)
    for name in written.left_out:
        typer.echo(f"left out: {name}", err=True)
    if written.to_fill:
        fields = ", ".join(f"{name}:" for name in written.to_fill)
        typer.echo(f"fill in first, at its top: {fields}", err=True)
