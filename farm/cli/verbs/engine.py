"""``farm engine``: start, stop, look at and empty the private engine."""

from __future__ import annotations

import shlex
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common
from farm.errors import EngineError, StorageError

if TYPE_CHECKING:
    from farm.engine.endpoint import Endpoint
    from farm.engine.private import EngineStatus

engine_app = typer.Typer(
    name="engine",
    help="The private engine: a Docker of farm's own, beside yours.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@engine_app.command()
def up(as_json: common.AsJson = False) -> None:
    """Prepare and start it, and say how to reach it; builds do so by themselves."""
    from farm.console.choose import make_view
    from farm.engine import private
    from farm.load.folders import cache_folder

    cache = cache_folder()
    common.prepare_cache(cache)
    with make_view("quiet" if as_json else "auto") as view:
        endpoint = private.ensure_running(cache, view)
    if as_json:
        common.print_json({"endpoint": endpoint, "status": private.status(cache)})
        return
    _print_use(endpoint, private.status(cache))


def _print_use(endpoint: Endpoint, status: EngineStatus) -> None:
    version = f" (version {status.facts.version})" if status.facts else ""
    typer.echo(f"the private engine runs{version}; by hand:")
    for name, value in endpoint.env:  # DOCKER_HOST, and DOCKER_CONFIG, where its buildx is
        typer.echo(f"  export {name}={shlex.quote(value)}")
    # its own client, for machines without any Docker
    typer.echo(f"  alias docker={shlex.quote(shlex.join(endpoint.docker))}")
    typer.echo("it goes on until 'farm engine down', or a reboot")


@engine_app.command()
def down(
    force: Annotated[
        bool, typer.Option("--force", help="End the builds of other farms with it.")
    ] = False,
) -> None:
    """Stop it, with everything that runs in it; its images and caches stay."""
    from farm.engine import private
    from farm.host.in_use import alone
    from farm.load.folders import cache_folder

    cache = cache_folder()
    with ExitStack() as held:
        try:
            held.enter_context(alone(cache, purpose="stopped"))
        except StorageError as error:
            if not (force or _agreed(f"another farm builds with {cache}: end its builds?")):
                raise EngineError(
                    error.message, hint="wait until it is done; --force ends its builds"
                ) from error
        stopped = private.stop(cache)
    typer.echo("the private engine is stopped" if stopped else "the private engine did not run")


def _agreed(question: str) -> bool:
    return sys.stdin.isatty() and typer.confirm(question, err=True)


@engine_app.command()
def status(as_json: common.AsJson = False) -> None:
    """Show whether it runs, since when, its versions, and what it takes on disk."""
    from farm.console.words import size
    from farm.engine import private
    from farm.load.folders import cache_folder

    found = private.status(cache_folder())
    if as_json:
        common.print_json(found)
        return
    typer.echo(f"state     {_state(found)}")
    if found.facts:
        facts = found.facts
        typer.echo(
            f"version   {facts.version} (API {facts.api_version}), {facts.storage_driver}, "
            f"cgroup version {facts.cgroup_version}"
        )
        typer.echo(f"socket    {found.socket}")
    typer.echo(f"data      {size(found.data_bytes)} in {found.data}")
    for folder in found.aside:
        typer.echo(f"aside     {folder}: it could not start with it; 'rm -r' removes it")
    typer.echo(f"tools     {found.toolbox or 'not prepared yet'}")
    if found.log.exists():
        typer.echo(f"log       {found.log}")


def _state(found: EngineStatus) -> str:
    if found.running:
        minutes = int(time.time() - (found.started_s or time.time())) // 60
        return f"runs since {minutes // 60} h {minutes % 60} min as process {found.pid}"
    if found.pid is not None:
        return f"process {found.pid} does not answer; 'farm engine down' ends it"
    return "does not run; builds start it when they need it"


@engine_app.command()
def reset() -> None:
    """Stop it and remove all its data: tools, images and build caches."""
    from farm.console.words import size
    from farm.load.folders import cache_folder
    from farm.upkeep.cleaning import Grounds, Target, clean

    removed = clean(Grounds(cache=cache_folder()), [Target.ENGINE])
    freed = sum(each.frees_bytes for each in removed)
    there = any(each.count for each in removed)
    typer.echo(f"removed, {size(freed)} freed" if there else "there was nothing to remove")
