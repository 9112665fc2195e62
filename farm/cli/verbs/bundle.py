"""``farm bundle``: one file from which a build can be done again anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farm.cli import common
from farm.errors import UsageError


def bundle(
    context: typer.Context,
    what: common.Bundled,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="The file to write.", show_default=False)
    ],
    with_sources: Annotated[
        bool, typer.Option("--with-sources", help="With all sources and the base's packages.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    offline: common.Offline = False,
    source_mirror: common.SourceMirror = None,
    output_dir: common.OutputDir = None,
    as_json: common.AsJson = False,
) -> None:
    """Write one file from which a build can be done again anywhere."""
    from farm.console.choose import make_view
    from farm.console.words import size
    from farm.repro.grounds import Setting, opened_at
    from farm.repro.whole import write_whole
    from farm.run.options import BuildOptions

    if output.exists() and not force:
        raise UsageError(f"{output} is there already", hint="--force replaces it")
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}")
    grounds = common.grounds_of(context, output_dir)
    options = BuildOptions(
        offline=offline, locked=True, source_mirror=common.mirror_at(source_mirror)
    )
    with (  # nothing of it is built: it may be of a base that is not trusted
        opened_at(what, grounds, networked=True) as opened,
        make_view("auto") as view,
    ):
        setting = Setting(cache=grounds.cache, options=options, sink=view)
        written = write_whole(opened, output, setting, with_sources=with_sources)
    if as_json:
        common.print_json(written)
        return
    typer.echo(f"{output}  {size(output.stat().st_size)}  {written.unit}")
