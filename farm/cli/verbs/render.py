"""``farm render``: the Dockerfile, to stdout or with its context into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common
from farm.errors import UsageError

if TYPE_CHECKING:
    from farm.model.unit import Unit
    from farm.plan.plan import Plan
    from farm.run.identify import Identified
    from farm.run.options import Workplace


def render(
    context: typer.Context,
    selectors: common.Selectors = None,
    variant: common.Variants = None,
    feature: common.Features = None,
    python: common.Python = None,
    no_preflight: common.NoPreflight = False,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for Dockerfile and context, per unit."),
    ] = None,
) -> None:
    """Print a unit's Dockerfile, or write it with its context."""
    place = common.workplace_of(context, None)
    wanted = common.asked(selectors, variant, feature, python)
    plan = common.plan_of(place.project, wanted, preflight=not no_preflight)
    units = [unit for unit in plan.units if unit.label in plan.requested]
    if output is None:
        for unit in units:
            typer.echo(_identify(unit, plan, place).dockerfile, nl=False)
        return
    for unit in units:
        _check_needs(unit, plan, place)
        folder = output / unit.key.folder if len(units) > 1 else output
        _write(_identify(unit, plan, place), folder, place)
        typer.echo(str(folder))


def _check_needs(unit: Unit, plan: Plan, place: Workplace) -> None:
    """A context without the wheels that a unit needs would only fail to build.

    Raises:
        UsageError: one of them is not built yet.
    """
    from farm.run.identify import standings

    built = {each.unit.label for each in standings(plan, place) if each.result}
    missing = [need.label for need in unit.needs if need.label not in built]
    if missing:
        raise UsageError(
            f"{unit.label} needs {', '.join(missing)}, which is not built yet",
            hint=f"build it first: farm build {' '.join(missing)}",
        )


def _identify(unit: Unit, plan: Plan, place: Workplace) -> Identified:
    from farm.render.dockerfile import base_reference
    from farm.run.identify import identify, standings, template_folders

    standing = next(s for s in standings(plan, place) if s.unit.label == unit.label)
    if standing.identified:
        return standing.identified
    return identify(
        unit,
        base=base_reference(unit),
        needed=(),
        templates=template_folders(place.project),
    )


def _write(identified: Identified, folder: Path, place: Workplace) -> None:
    """Everything a plain ``docker buildx build`` needs, staged inputs included.

    Raises:
        UsageError: the folder holds something already.
    """
    import threading

    from farm.console.choose import make_view
    from farm.run.context import write_context
    from farm.run.options import BuildOptions
    from farm.run.supplies import Supplies

    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", hint="name a new folder")
    common.prepare_cache(place.cache)
    with make_view("auto") as view:
        supplies = Supplies(place.cache, BuildOptions(), view, threading.Event())
        staged = supplies.inputs(identified.unit)
    folder.mkdir(parents=True, exist_ok=True)
    write_context(folder, identified.entries, staged, linked=False)
    (folder / "Dockerfile").write_text(identified.dockerfile, encoding="utf-8")
