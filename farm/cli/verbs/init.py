"""``farm init``: start a project, or add a package to one."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common

if TYPE_CHECKING:
    from farm.starter.project import Started


class Service(StrEnum):
    """CI services that there are files for."""

    GITHUB = "github"
    GITLAB = "gitlab"


def init(
    context: typer.Context,
    folder: Annotated[
        Path | None,
        typer.Argument(
            help="The project's folder.  [default: the current one]", show_default=False
        ),
    ] = None,
    package: Annotated[
        str | None,
        typer.Option(
            "--package", "-p", help="A package of the index: its newest sdist gets a recipe."
        ),
    ] = None,
    ci: Annotated[
        Service | None,
        typer.Option("--ci", help="Add the workflow files of this CI service."),
    ] = None,
) -> None:
    """Start a project: a recipe that builds, its lock, a Makefile."""
    from farm.console.choose import make_view
    from farm.load.folders import cache_folder
    from farm.starter.project import start_project

    root = folder or common.root_of(context) or Path()
    cache = cache_folder()
    held = nullcontext() if package is None else common.using_cache(cache)
    with held, make_view("auto") as view:
        service = ci or ""
        started = start_project(root, package=package, cache=cache, sink=view, service=service)
    _report(started)


def _report(started: Started) -> None:
    for name in started.written:
        typer.echo(f"wrote {name}")
    if started.kept:
        typer.echo(f"kept as they were: {', '.join(started.kept)}")
    if ".gitignore" in started.kept and not _ignores_out(started.root / ".gitignore"):
        typer.echo("note: let .gitignore name /out/, where wheels go")
    if not started.package:
        return
    typer.echo("\nnext:")
    if started.root != Path.cwd():
        typer.echo(f"  cd {shlex.quote(str(started.root))}")
    typer.echo(f"  farm plan {started.package}")
    typer.echo(f"  farm build {started.package}")
    typer.echo(f"the wheel will lie in out/{started.package}-{started.version}/cpu/")


def _ignores_out(file: Path) -> bool:
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    return any(line.strip().strip("/") == "out" for line in lines)
