"""``farm bake``: a folder that plain ``docker buildx bake`` builds to the same bytes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import common

if TYPE_CHECKING:
    from farm.debian.bases import BaseImage
    from farm.events import Sink
    from farm.plan.plan import Plan
    from farm.run.options import BuildOptions, Workplace
    from farm.run.settle import Identified


def bake(
    context: typer.Context,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="A new folder for docker-bake.json and contexts."),
    ],
    selectors: common.Selectors = None,
    variant: common.Variants = None,
    feature: common.Features = None,
    python: common.Python = None,
    offline: common.Offline = False,
    locked: common.Locked = False,
    source_mirror: common.SourceMirror = None,
    no_preflight: common.NoPreflight = False,
) -> None:
    """Write units as a folder that plain 'docker buildx bake' builds."""
    from farm.console.choose import make_view
    from farm.run.by_hand import require_empty
    from farm.run.options import BuildOptions

    place = common.workplace_of(context, None)
    wanted = common.asked(selectors, variant, feature, python)
    plan = common.plan_of(place.project, wanted, preflight=not no_preflight)
    mirror = common.mirror_at(source_mirror)
    options = BuildOptions(offline=offline, locked=locked, source_mirror=mirror)
    require_empty(output)
    _require_locks(plan)
    with common.using_cache(place.cache), make_view("auto") as view:
        images = _bases(plan, place, options, view)
        _write(_identified(plan, place, options), images, output, place, options, view)
    typer.echo(f"cd {shlex.quote(str(output))} && docker buildx bake")


def _require_locks(plan: Plan) -> None:
    """Nothing is made for what cannot be built.

    Raises:
        LockError: a unit's build requirements or crates are not locked.
    """
    from farm.errors import LockError
    from farm.plan.resolve import lock_problem

    for unit in plan.units:
        if unit.label in plan.requested and (problem := lock_problem(unit)):
            raise LockError(
                f"{unit.label} cannot be built: {problem}", hint=f"run: farm lock {unit.label}"
            )


def _bases(
    plan: Plan, place: Workplace, options: BuildOptions, view: Sink
) -> dict[str, BaseImage]:
    """The bootstrapped bases of what was asked for, by tag; made where they are not there."""
    from farm.model.unit import ImageBase
    from farm.run.fetching import places_of
    from farm.source.debs import base_image
    from farm.source.job import Job
    from farm.store.blobs import Store

    places = places_of(place.cache, offline=options.offline, mirror=options.source_mirror)
    job = Job(store=Store(place.cache / "store"), sink=view, places=places)
    roots = dict.fromkeys(unit.base for unit in plan.units if unit.label in plan.requested)
    images = [
        base_image(root, job, place.cache, locked=options.locked)
        for root in roots
        if not isinstance(root, ImageBase)
    ]
    return {image.tag: image for image in images}


def _identified(plan: Plan, place: Workplace, options: BuildOptions) -> list[Identified]:
    """What was asked for, on its bases and with the wheels that it needs.

    Raises:
        UsageError: a needed unit is not built yet.
    """
    from farm.run.by_hand import require_needs
    from farm.run.settle import settle

    settled = settle(plan, place, locked=options.locked)
    wanted = [settled[unit.label] for unit in plan.units if unit.label in plan.requested]
    for each in wanted:
        require_needs(each.unit, settled)
    return [each.identified for each in wanted if each.identified]


def _write(
    units: list[Identified],
    images: dict[str, BaseImage],
    folder: Path,
    place: Workplace,
    options: BuildOptions,
    view: Sink,
) -> None:
    """The folder; the bake file comes last, so that nothing half-written can be built."""
    from farm.debian.oci import write_base_context
    from farm.host.files import storage_errors, write_whole
    from farm.render import bake as form
    from farm.run.by_hand import write_build

    for each in units:
        write_build(each, folder / form.unit_folder(each.unit), place.cache, options, view)
    with storage_errors(folder):
        for tag, image in images.items():
            base = folder / form.base_folder(tag)
            base.mkdir(parents=True)
            write_base_context(image.archive, base)
        (folder / form.JOBS).write_text("MAX_JOBS=1\nNVCC_THREADS=1\n", encoding="ascii")
    write_whole(folder / form.FILE, form.bake_file((e.unit, e.manifest) for e in units))
