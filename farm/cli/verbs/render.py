"""``farm render``: the Dockerfile, to stdout or with its context into a folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common

if TYPE_CHECKING:
    from farm.model.unit import Unit
    from farm.run.options import Workplace
    from farm.run.settle import Identified, Settled

BASE = "base.tar"


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
    from farm.run.settle import settle

    place = common.workplace_of(context, None)
    wanted = common.asked(selectors, variant, feature, python)
    plan = common.plan_of(place.project, wanted, preflight=not no_preflight)
    units = [unit for unit in plan.units if unit.label in plan.requested]
    settled = settle(plan, place)
    if output is None:
        for unit in units:
            typer.echo(_identified(settled[unit.label], place).manifest.dockerfile, nl=False)
        return
    from farm.run.by_hand import require_needs

    for unit in units:
        require_needs(unit, settled)
        folder = output / unit.key.folder if len(units) > 1 else output
        _write(_identified(settled[unit.label], place), folder, place)
        typer.echo(str(folder))


def _identified(settled: Settled, place: Workplace) -> Identified:
    from farm.run.settle import identify_without, template_folders

    templates = template_folders(place.project)
    return settled.identified or identify_without(settled.unit, templates, place.cache)


def _write(identified: Identified, folder: Path, place: Workplace) -> None:
    """Everything a plain ``docker buildx build`` needs, staged inputs included.

    Raises:
        UsageError: the folder holds something already.
    """
    from farm.console.choose import make_view
    from farm.run.by_hand import require_empty, write_build
    from farm.run.options import BuildOptions

    require_empty(folder)
    with common.using_cache(place.cache):
        with make_view("auto") as view:
            write_build(identified, folder, place.cache, BuildOptions(), view)
        told = _bring_base(identified.unit, folder, place)
    if told:
        text = f"# {told}\n{identified.manifest.dockerfile}"
        (folder / "Dockerfile").write_text(text, encoding="utf-8")
        typer.echo(told.replace(BASE, str(folder / BASE)), err=True)


def _bring_base(unit: Unit, folder: Path, place: Workplace) -> str:
    """Put a base that no registry has beside the Dockerfile; says how an engine gets it.

    Raises:
        StorageError: there is no room for it.
    """
    from farm.debian.bases import known, made
    from farm.host.files import storage_errors
    from farm.model.unit import ImageBase
    from farm.run.layout import link

    if isinstance(unit.base, ImageBase):
        return ""
    resolved = known(unit.base, place.cache)
    image = made(resolved, place.cache) if resolved else None
    if image is None:
        return f"its base is not made yet: 'farm build {unit.label}' makes it, then render it anew"
    with storage_errors(folder):
        link(image.archive, folder / BASE)
    return f"its base is {image.tag}: docker load --input {BASE}"
