"""``farm logs``: the log of a unit, of the last run or a named one."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common
from farm.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from farm.run.runs import Run

_POLL_S = 0.2


def logs(
    context: typer.Context,
    unit: Annotated[
        str | None,
        typer.Argument(help="A unit's label or a part of it.", show_default=False),
    ] = None,
    run: Annotated[str, typer.Option("--run", help="Name of a run.")] = "latest",
    compile_: Annotated[
        bool, typer.Option("--compile", help="Only what the compile step itself said.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on as the log grows; end with Ctrl-C.")
    ] = False,
    paths: Annotated[bool, typer.Option("--paths", help="Print where the logs are.")] = False,
    output_dir: common.OutputDir = None,
) -> None:
    """Print the whole log of a unit."""
    place = common.workplace_of(context, output_dir)
    chosen = _run(place.out, run)
    name = "compile.log" if compile_ else "build.log"
    found = _logs(chosen, unit, name, wait=follow)
    if paths:
        for path in found.values():
            typer.echo(str(path))
        return
    if len(found) > 1:
        hint = f"name one of: {', '.join(found)}"
        raise UsageError(f"run {chosen.name} has several units", hint=hint)
    (path,) = found.values()
    if follow:
        _follow(path, chosen)
        return
    with path.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            typer.echo(line, nl=False)


def _run(out: Path, name: str) -> Run:
    from farm.run.runs import list_runs

    runs = list_runs(out)
    if not runs:
        raise UsageError(f"there is no run in {out} yet", hint="'farm build' makes one")
    if name == "latest":
        return runs[0]
    matches = [run for run in runs if run.name == name]
    if not matches:
        recent = ", ".join(run.name for run in runs[:3])
        raise UsageError(f"there is no run {name[:60]!r}", hint=f"the latest are {recent}")
    return matches[0]


def _logs(run: Run, unit: str | None, name: str, *, wait: bool) -> dict[str, Path]:
    """A run's log of each unit that ``unit`` names; ``wait`` for one while the run lives."""
    from farm.run.runs import is_running

    is_whole = unit is not None and "@" in unit and ":" in unit
    while wait and is_running(run) and not _named(run, unit, name, exactly=is_whole):
        time.sleep(_POLL_S)
    found = _named(run, unit, name, exactly=False)
    if not found:
        raise UsageError(
            f"run {run.name} has no {name}{f' of {unit[:60]!r}' if unit else ''}",
            hint="'farm status' shows the runs",
        )
    return found


def _named(run: Run, unit: str | None, name: str, *, exactly: bool) -> dict[str, Path]:
    """The log of the unit with that very label, else those of all whose label holds it."""
    logs = {}
    for path in sorted(run.folder.glob(f"*/*/{name}")):
        package_version, variant = path.relative_to(run.folder).parts[:2]
        package, _, version = package_version.rpartition("-")
        logs[f"{package}@{version}:{variant}"] = path
    if exactly or unit in logs:
        return {label: path for label, path in logs.items() if label == unit}
    return {label: path for label, path in logs.items() if (unit or "") in label}


def _follow(path: Path, run: Run) -> None:
    from farm.run.logs import follow
    from farm.run.runs import is_running

    try:
        for line in follow(path, lambda: not is_running(run)):
            typer.echo(line)
    except KeyboardInterrupt:
        return
