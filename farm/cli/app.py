"""The typer application: verbs, in the order in which a user meets them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farm.cli.common import Globals
from farm.cli.verbs import (
    build,
    check,
    clean,
    doctor,
    engine,
    fetch,
    init,
    list,  # noqa: A004 - the verb's name
    lock,
    logs,
    patch,
    plan,
    render,
    show,
    status,
)

app = typer.Typer(
    name="farm",
    help="Build wheels for every accelerator, from containers, with proof.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        import farm

        typer.echo(f"farm {farm.__version__}")
        raise typer.Exit


@app.callback()
def _globals(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", "-C", envvar="FARM_ROOT", help="The project folder, which holds recipes/."
        ),
    ] = None,
    debug: Annotated[
        bool, typer.Option("--debug", envvar="FARM_DEBUG", help="Show tracebacks.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    context.obj = Globals(root=root, debug=debug)


app.command("list")(list.list_)
app.command()(show.show)
app.command()(plan.plan)
app.command()(render.render)
app.command()(build.build)
app.command()(check.check)
app.command()(logs.logs)
app.command()(status.status)
app.command()(lock.lock)
app.command()(fetch.fetch)
app.command()(doctor.doctor)
app.command()(init.init)
app.command()(clean.clean)
app.add_typer(patch.patch_app, name="patch")
app.add_typer(engine.engine_app, name="engine")
