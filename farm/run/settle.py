"""What each unit is, and whether its result is there: without an engine or the network."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import farm
from farm.debian.bases import known
from farm.model.unit import ImageBase
from farm.render.context import Wheel, context_entries
from farm.render.dockerfile import base_reference, render
from farm.render.manifest import BaseReference, Manifest
from farm.store.results import ResultStore, find_result, result_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from farm.load.project import Project
    from farm.model.look import Look
    from farm.model.unit import RootfsBase, Unit
    from farm.plan.plan import Plan
    from farm.run.options import Workplace
    from farm.store.listing import Listing
    from farm.store.remote import RemoteResults
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
    ``result`` is an intact result of this very identity, wherever it lies on this machine;
    ``listing`` is what the one in the shared results consists of, where these were asked.
    """

    unit: Unit
    identified: Identified | None = None
    result: Result | None = None
    listing: Listing | None = None

    @property
    def built(self) -> bool:
        """Whether there is a result, here or elsewhere."""
        return self.result is not None or self.listing is not None

    @property
    def wheels(self) -> tuple[Wheel, ...]:
        """The wheels of the result; of one elsewhere, without a file of this machine."""
        if self.result is not None:
            return wheels_of([self.result])
        return tuple(
            Wheel(filename=each.name, sha256=each.sha256, path=Path(each.name))
            for each in (self.listing.wheels if self.listing else ())
        )

    @property
    def checked(self) -> bool:
        """Whether the result was held against what is expected now."""
        there = self.result.record if self.result else self.listing
        return there is not None and there.expected == expectation(self.unit)

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


def settle(
    plan: Plan, place: Workplace, *, locked: bool = False, shared: RemoteResults | None = None
) -> dict[str, Settled]:
    """Where each unit of a plan stands, by its label, in plan order; see `known_base`.

    The shared results are asked for what is not here, and for all where they are filled, too.
    """
    found: dict[str, Settled] = {}
    templates = template_folders(place.project)
    for units in _levels(plan):
        level = [_settled(unit, found, place, templates, locked=locked) for unit in units]
        if shared is not None:
            level = _asked(level, shared)
        found |= {each.unit.label: each for each in level}
    return {unit.label: found[unit.label] for unit in plan.units}


def _levels(plan: Plan) -> Iterator[list[Unit]]:
    """The units, those that need nothing first, then those that need only these, and so on."""
    done: set[str] = set()
    while len(done) < len(plan.units):
        level = [
            unit
            for unit in plan.units
            if unit.label not in done and all(need.label in done for need in unit.needs)
        ]
        yield level
        done |= {unit.label for unit in level}


def _settled(
    unit: Unit,
    found: Mapping[str, Settled],
    place: Workplace,
    templates: tuple[Path, ...],
    *,
    locked: bool,
) -> Settled:
    base = known_base(unit.base, place.cache, locked=locked)
    needs = [found[need.label] for need in unit.needs]
    if base is None or not all(need.built for need in needs):
        return Settled(unit=unit)
    needed = chain.from_iterable(need.wheels for need in needs)
    identified = identify(unit, base=base, needed=needed, templates=templates)
    return Settled(unit=unit, identified=identified, result=find(place, identified))


def _asked(level: list[Settled], shared: RemoteResults) -> list[Settled]:
    """The same, with what the shared results have."""
    wanted = {
        each.unit.label: (each.unit.key, each.identified.identity)
        for each in level
        if each.identified and (shared.fills or each.result is None)
    }
    listings = dict(zip(wanted, shared.ask_all(wanted.values()), strict=True))
    return [replace(each, listing=listings.get(each.unit.label)) for each in level]
