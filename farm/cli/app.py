"""The typer application: verbs, in the order in which a user meets them."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

VERBS = {
    "list": "list_",
    "show": "show",
    "plan": "plan",
    "render": "render",
    "bake": "bake",
    "build": "build",
    "matrix": "matrix",
    "check": "check",
    "logs": "logs",
    "status": "status",
    "timeline": "timeline",
    "diff": "diff",
    "reproduce": "reproduce",
    "shell": "shell",
    "bundle": "bundle",
    "bisect": "bisect",
    "lock": "lock",
    "fetch": "fetch",
    "doctor": "doctor",
    "init": "init",
    "clean": "clean",
    "patch": "patch_app",
    "engine": "engine_app",
    "cache": "cache_app",
}
"""What each is called in its module, which has the verb's own name."""


def application(asked: str = "") -> typer.Typer:
    """The application with all verbs; with one alone where that is asked for.

    A verb costs what its module imports, and typer's look at each of its options.
    """
    app = typer.Typer(
        name="farm",
        help="Build wheels for every accelerator, from containers, with proof.",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_globals)
    for name in (asked,) if asked in VERBS else VERBS:
        verb = getattr(import_module(f"farm.cli.verbs.{name}"), VERBS[name])
        if isinstance(verb, typer.Typer):
            app.add_typer(verb, name=name)
        else:
            app.command(name)(verb)
    return app


def _version(value: bool) -> None:
    if value:
        import farm

        typer.echo(f"farm {farm.__version__}")
        raise typer.Exit


def _globals(
    context: typer.Context,
    root: Annotated[
        Path | None,
        typer.Option(
            "--root", "-C", envvar="FARM_ROOT", help="The project folder, which holds recipes/."
        ),
    ] = None,
    debug: Annotated[  # noqa: ARG001 - `farm.cli.main` looks for it before anything is parsed
        bool, typer.Option("--debug", envvar="FARM_DEBUG", help="Show tracebacks.")
    ] = False,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    context.obj = root
