"""What a unit is on this machine: its Dockerfile, its context, its identity."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import farm
from farm.debian.bases import resolved, spec_of
from farm.errors import NeededUnitError
from farm.model.unit import ImageBase
from farm.render.context import Wheel, context_entries
from farm.render.dockerfile import render
from farm.render.identity import identity
from farm.store.record import read_record
from farm.store.results import find_result, result_folder

if TYPE_CHECKING:
    from pathlib import Path

    from farm.load.project import Project
    from farm.model.look import Look
    from farm.model.unit import Unit
    from farm.plan.plan import Plan
    from farm.render.context import Entry
    from farm.run.options import Workplace
    from farm.store.record import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """A unit with everything that its identity is made of."""

    unit: Unit
    base: str
    dockerfile: str
    entries: tuple[Entry, ...]
    identity: str


def identify(
    unit: Unit,
    *,
    base: str,
    needed: tuple[Wheel, ...],
    templates: tuple[Path, ...],
    look: Look | None = None,
) -> Identified:
    """Render a unit on a base image and with the wheels that it needs.

    A build that is only looked at has an identity of its own: no wheel is ever
    found by it.
    """
    dockerfile = render(unit, base=base, templates=templates, look=look)
    entries = context_entries(unit, needed, look)
    return Identified(
        unit=unit,
        base=base,
        dockerfile=dockerfile,
        entries=entries,
        identity=identity(dockerfile, entries),
    )


def template_folders(project: Project) -> tuple[Path, ...]:
    """Folders with Dockerfile templates, the user's own first."""
    return tuple(root / "dockerfiles" for root in project.roots)


def known_base(unit: Unit, cache: Path) -> str | None:
    """The image that a unit starts from, or None while it was not bootstrapped here."""
    if isinstance(unit.base, ImageBase):
        return unit.base.image
    image = resolved(spec_of(unit.base), cache)
    return image.tag if image else None


def wheels_of(record: Record, folder: Path) -> tuple[Wheel, ...]:
    """The wheels of a result, as another unit's context takes them."""
    return tuple(
        Wheel(filename=wheel.filename, sha256=wheel.sha256, path=folder / wheel.filename)
        for wheel in record.wheels
    )


def needed_wheels(unit: Unit, out: Path) -> tuple[Wheel, ...]:
    """The wheels of the units that a unit needs.

    Raises:
        NeededUnitError: one is not there.
    """
    found: list[Wheel] = []
    for need in unit.needs:
        folder = result_folder(out, need)
        record = read_record(folder)
        if record is None:
            raise NeededUnitError(
                f"{unit.label} needs {need.label}, whose result is not there",
                hint=f"build it first: farm build {need.label}",
            )
        found.extend(wheels_of(record, folder))
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Where a unit stands before anything runs.

    ``identified`` is None while a base or a needed wheel does not exist yet;
    ``result`` is the record of an intact result of this very identity.
    """

    unit: Unit
    identified: Identified | None
    result: Record | None

    @property
    def stands(self) -> bool:
        """Whether nothing is to do: the result was held against what is expected now."""
        return self.result is not None and self.result.expected == expectation(self.unit)


def expectation(unit: Unit) -> str:
    """Digest of what a wheel is held against: the recipe's words, and the farm that reads them.

    It is no part of the identity, since it changes nothing in a build.
    """
    tried = asdict(unit.smoke_test) if unit.smoke_test else unit.untried
    text = json.dumps([farm.__version__, asdict(unit.expected), tried], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def standings(plan: Plan, place: Workplace) -> tuple[Standing, ...]:
    """Where each unit of a plan stands, in plan order, without an engine or the network."""
    found: dict[str, Standing] = {}
    templates = template_folders(place.project)
    for unit in plan.units:
        base = known_base(unit, place.cache)
        needs = [found[need.label].result for need in unit.needs]
        identified = result = None
        if base is not None and all(needs):
            needed = tuple(
                wheel
                for need, record in zip(unit.needs, needs, strict=True)
                if record
                for wheel in wheels_of(record, result_folder(place.out, need))
            )
            identified = identify(unit, base=base, needed=needed, templates=templates)
            result = find_result(place.out, unit.key, identified.identity)
        found[unit.label] = Standing(unit=unit, identified=identified, result=result)
    return tuple(found.values())
