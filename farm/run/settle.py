"""What each unit is, and whether its result is there: without an engine or the network."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import farm
from farm.debian.bases import known
from farm.model.unit import ImageBase
from farm.render.context import Wheel, context_entries
from farm.render.dockerfile import base_reference, render
from farm.render.manifest import BaseReference, Manifest
from farm.store.results import ResultStore, find_result, result_folder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from farm.load.project import Project
    from farm.model.look import Look
    from farm.model.unit import RootfsBase, Unit
    from farm.plan.plan import Plan
    from farm.run.options import Workplace
    from farm.store.results import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Identified:
    """A unit with its manifest, and the sha256 of that."""

    unit: Unit
    manifest: Manifest
    identity: str


def identify(
    unit: Unit,
    *,
    base: BaseReference,
    needed: Iterable[Wheel],
    templates: tuple[Path, ...],
    look: Look | None = None,
) -> Identified:
    """Render a unit on a base and with the wheels that it needs.

    A build that is only looked at has an identity of its own: no wheel is ever
    found by it.
    """
    context = context_entries(unit, tuple(needed), look)
    manifest = Manifest(
        unit=unit.label,
        base=base,
        dockerfile=render(unit, base=base.image, context=context, templates=templates, look=look),
        context=context,
    )
    return Identified(unit=unit, manifest=manifest, identity=manifest.identity)


def identify_without(unit: Unit, templates: tuple[Path, ...], cache: Path) -> Identified:
    """Render a unit whose base or needed wheels do not exist yet; no result has its identity."""
    base = known_base(unit.base, cache) or BaseReference(image=base_reference(unit), digest="")
    return identify(unit, base=base, needed=(), templates=templates)


def template_folders(project: Project) -> tuple[Path, ...]:
    """Folders with Dockerfile templates, the user's own first."""
    return tuple(root / "dockerfiles" for root in project.roots)


def known_base(
    base: RootfsBase | ImageBase, cache: Path, *, locked: bool = False
) -> BaseReference | None:
    """What a unit starts from, or None as long as nobody knows what is in it.

    With ``locked``, what this machine uses in the place of locked packages does not count.
    """
    if isinstance(base, ImageBase):
        return BaseReference(image=base.image, digest=base.image.partition("@")[2])
    found = known(base, cache, locked=locked)
    return BaseReference(image=found.tag, digest=found.digest) if found else None


def wheels_of(results: Iterable[Result]) -> tuple[Wheel, ...]:
    """The wheels of results, as another unit's context takes them."""
    return tuple(
        Wheel(filename=wheel.filename, sha256=wheel.sha256, path=result.folder / wheel.filename)
        for result in results
        for wheel in result.record.wheels
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Where a unit stands before anything runs.

    ``identified`` is None while its base is not known or a needed wheel does not exist;
    ``result`` is an intact result of this very identity, wherever it lies.
    """

    unit: Unit
    identified: Identified | None = None
    result: Result | None = None

    @property
    def checked(self) -> bool:
        """Whether the result was held against what is expected now."""
        return self.result is not None and self.result.record.expected == expectation(self.unit)

    def shown(self, out: Path) -> bool:
        """Whether nothing is to do: the result was checked and is the one below ``out``."""
        here = result_folder(out, self.unit.key)
        return self.checked and self.result is not None and self.result.folder == here


def expectation(unit: Unit) -> str:
    """Digest of what a wheel is held against: the recipe's words, and the farm that reads them.

    It is no part of the identity, since it changes nothing in a build.
    """
    tried = asdict(unit.smoke_test) if unit.smoke_test else unit.untried
    text = json.dumps([farm.__version__, asdict(unit.expected), tried], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def result_store(place: Workplace) -> ResultStore:
    """The results of all projects of this machine."""
    return ResultStore(place.cache / "kept")


def find(place: Workplace, identified: Identified) -> Result | None:
    """The result of an identity: what ``out/`` shows, else what is kept."""
    key, identity = identified.unit.key, identified.identity
    return find_result(place.out, key, identity) or result_store(place).find(key, identity)


def settle(plan: Plan, place: Workplace, *, locked: bool = False) -> dict[str, Settled]:
    """Where each unit of a plan stands, by its label, in plan order; see `known_base`."""
    found: dict[str, Settled] = {}
    templates = template_folders(place.project)
    for unit in plan.units:
        base = known_base(unit.base, place.cache, locked=locked)
        needed = [each for need in unit.needs if (each := found[need.label].result)]
        if base is None or len(needed) < len(unit.needs):
            found[unit.label] = Settled(unit=unit)
            continue
        identified = identify(unit, base=base, needed=wheels_of(needed), templates=templates)
        result = find(place, identified)
        found[unit.label] = Settled(unit=unit, identified=identified, result=result)
    return found
