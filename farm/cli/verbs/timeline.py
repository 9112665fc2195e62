"""``farm timeline``: the compiles of a run as a picture, a page or a trace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common
from farm.errors import UsageError

if TYPE_CHECKING:
    from farm.timeline.spans import Timeline

_FORMATS = (".html", ".svg", ".json")
_OURS = b"farm timeline"
_LOOKED_AT = 4096


def timeline(
    context: typer.Context,
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[UNIT|RUN|FOLDER]...",
            help="Units, a run, or folders of such.  [default: the last run that compiled]",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="The file to write: .html zooms, .svg is a picture, .json for Perfetto.",
        ),
    ] = Path("timeline.html"),
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is no timeline.")
    ] = False,
    output_dir: common.OutputDir = None,
) -> None:
    """Draw the compiles of a run: slots, waiting, memory and budget."""
    from farm.console.words import size
    from farm.host.files import write_whole
    from farm.timeline.gathering import gather

    _check(output, force=force)
    found = gather(_out(context, output_dir, what or []), what or [])
    write_whole(output, _written(found, output.suffix.lower()))
    if found.skipped:
        noun = "line was" if found.skipped == 1 else "lines were"
        typer.echo(f"{found.skipped} damaged {noun} left out", err=True)
    units = f"{len(found.units)} unit{'' if len(found.units) == 1 else 's'}"
    calls = f"{len(found.spans):,} call{'' if len(found.spans) == 1 else 's'}"
    typer.echo(f"{output}  {size(output.stat().st_size)}  {found.title}: {units}, {calls}")


def _out(context: typer.Context, output_dir: Path | None, what: list[str]) -> Path:
    """Where runs are looked for; folders that are all named need no project."""
    if what and all(Path(name).is_dir() for name in what):
        return output_dir or Path("out")
    return common.workplace_of(context, output_dir).out


def _check(output: Path, *, force: bool) -> None:
    if output.suffix.lower() not in _FORMATS:
        raise UsageError(
            f"--output: {output}: no format is called so", hint=f"one of {', '.join(_FORMATS)}"
        )
    if output.is_dir():
        raise UsageError(f"--output: {output} is a folder", hint="name a file")
    if not output.parent.is_dir():
        raise UsageError(f"there is no folder {output.parent}")
    if output.exists() and not force and not _is_ours(output):
        raise UsageError(f"{output} is there already, and no timeline", hint="--force replaces it")


def _is_ours(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return _OURS in file.read(_LOOKED_AT)
    except OSError:
        return False


def _written(found: Timeline, suffix: str) -> str:
    if suffix == ".svg":
        from farm.timeline.svg import svg

        return svg(found)
    if suffix == ".json":
        from farm.timeline.trace import trace

        return trace(found)
    from farm.timeline.page import page

    return page(found)
