"""``farm reproduce``: build again just what a bundle holds."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common

if TYPE_CHECKING:
    from farm.repro.reproduce import Reproduced


def reproduce(
    context: typer.Context,
    what: common.Bundled = "latest",
    verify: Annotated[
        bool,
        typer.Option("--verify", help="From nothing: another engine without caches, other jobs."),
    ] = False,
    max_jobs: common.MaxJobs = None,
    nvcc_threads: common.NvccThreads = None,
    memory: common.Memory = None,
    engine: common.Engine = "auto",
    offline: common.Offline = False,
    source_mirror: common.SourceMirror = None,
    trust_base: common.TrustBase = False,
    allow_network: common.AllowNetwork = False,
    progress: Annotated[
        str, typer.Option("--progress", help="Of the build: auto, plain or quiet.")
    ] = "auto",
    output_dir: common.OutputDir = None,
    as_json: common.AsJson = False,
) -> None:
    """Build just that again, and say whether it ends as it did."""
    from farm.console.choose import make_view
    from farm.repro.grounds import Setting, opened_for
    from farm.repro.reproduce import reproduce as again
    from farm.repro.verify import from_nothing, with_causes

    options = common.options_for_one(
        max_jobs=max_jobs,
        nvcc_threads=nvcc_threads,
        memory=memory,
        engine=engine,
        offline=offline,
        source_mirror=source_mirror,
    )
    place = common.grounds_of(context, output_dir)
    with (
        opened_for(what, place, trust_base=trust_base, networked=allow_network) as opened,
        make_view(progress) as view,
    ):
        here = Setting(cache=place.cache, options=options, sink=view)
        with from_nothing(here, opened) if verify else nullcontext(here) as setting:
            done = again(opened, setting)
            done = with_causes(done, opened, made_in=setting.cache, known_in=place.cache)
    _show(done, as_json=as_json)
    done.require_same()
    raise typer.Exit(0 if done.verdict == "same" else done.now.exit_code)


def _show(done: Reproduced, *, as_json: bool) -> None:
    from farm.repro.reproduce import said

    if as_json:
        common.print_json(done)
        return
    for difference in done.differs:
        typer.echo(f"other than then: {difference}")
    for cause in done.causes:
        where = cause.path or "the wheel"
        typer.echo(f"{where}: {cause.message}" + (f"; {cause.remedy}" if cause.remedy else ""))
    how = said(done.now)
    typer.echo(how if how == done.verdict else f"{done.verdict}: {how}")
