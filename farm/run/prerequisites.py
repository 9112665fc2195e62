"""What builds need before they can begin: inputs, bases, an engine; each one task, shared.

Two units that need the same input wait for the same download, and nobody who needs
something else waits for it.
"""

from __future__ import annotations

import asyncio
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import BaseError, FarmError
from farm.model.unit import ImageBase
from farm.render.manifest import BaseReference
from farm.run.fetching import cargo_of
from farm.run.resources import Resource, Resources
from farm.run.tasks import Tasks
from farm.source.places import Places
from farm.source.stage import present, stage, summary
from farm.source.wants import (
    CrateWant,
    pins_of,
    want_of_pin,
    want_of_source,
    wants_of_crates,
    wants_of_units,
)
from farm.store.blobs import Store

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable
    from pathlib import Path

    from farm.debian.bases import BaseImage
    from farm.engine.engine import Engine
    from farm.events import Sink
    from farm.model.unit import RootfsBase, Unit
    from farm.run.options import BuildOptions
    from farm.source.wants import Want


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base that the engine has: its reference, and what a record says of it."""

    reference: BaseReference
    about: dict[str, object]


class Prerequisites:
    """Brings what units need; each thing once for a run, however many need it."""

    def __init__(
        self,
        cache: Path,
        options: BuildOptions,
        sink: Sink,
        tasks: Tasks,
        engine: Engine | None = None,
    ) -> None:
        self.cache = cache
        self.store = Store(cache / "store")
        self.tasks = tasks
        self._options = options
        self._sink = sink
        self._given = engine
        self._places = Places(
            offline=options.offline, mirror=options.source_mirror, cargo=cargo_of(cache)
        )

    @property
    def _cancel(self) -> threading.Event:
        return self.tasks.cancel

    async def inputs(self, unit: Unit, priority: float = 0.0) -> dict[str, Path]:
        """Bring a unit's inputs; maps each digest of its context to a file in the store.

        Raises:
            FetchError, IntegrityError, StorageError: some could not be had; of several, a
                summary that names them all.
        """
        groups = _groups(wants_of_units([unit]))
        brought = await asyncio.gather(
            *(self._bring(key, group, priority) for key, group in groups.items()),
            return_exceptions=True,
        )
        found: dict[Want, str] = {}
        failures: list[tuple[Want, FarmError]] = []
        for group, each in zip(groups.values(), brought, strict=True):
            if isinstance(each, FarmError):
                failures += [(want, each) for want in group]
            elif isinstance(each, BaseException):
                raise each
            else:
                found |= each
        if failures:
            raise summary(failures)
        return self._by_digest(unit, found)

    async def engine(self) -> Engine:
        """The engine, started if it must be.

        Raises:
            EngineError: none is to be had, with the reason for each.
        """
        return await self.tasks.shared(
            "engine", lambda: self.tasks.run(self._connect, {Resource.DISK: 1})
        )

    async def base(self, root: RootfsBase | ImageBase, priority: float = 0.0) -> Base:
        """The base, there on the engine.

        Raises:
            BaseError: it could not be bootstrapped or loaded.
        """
        if isinstance(root, ImageBase):
            if self._options.offline and root.packages:
                raise BaseError(
                    f"packages are added to the base {root.name} over the network, and --offline "
                    "forbids that",
                    hint="build without --offline, or on a base that farm bootstraps",
                )
            digest = root.image.partition("@")[2]
            reference = BaseReference(image=root.image, digest=digest)
            return Base(reference=reference, about={"image": root.image})

        async def load() -> Base:
            image = await self._image(root, priority)
            engine = await self.engine()
            await self.tasks.run(
                lambda: engine.load(image, cancel=self._cancel), {Resource.DISK: 1}
            )
            reference = BaseReference(image=image.tag, digest=image.digest)
            packages = dict(image.packages)
            about: dict[str, object] = {
                "tag": image.tag,
                "digest": image.digest,
                "origin": image.origin,
                "packages": packages,
            }
            return Base(reference=reference, about=about)

        return await self.tasks.shared(("base", root), load)

    async def _image(self, root: RootfsBase, priority: float) -> BaseImage:
        from farm.source.debs import base_image
        from farm.source.fetch import Fetcher

        fetcher = Fetcher(store=self.store, sink=self._sink, cancel=self._cancel)
        offline, locked = self._options.offline, self._options.locked
        return await self.tasks.run(
            lambda: base_image(root, fetcher, self.cache, offline=offline, locked=locked),
            {Resource.NETWORK: 1, Resource.DISK: 1},
            priority=priority,
        )

    def _connect(self) -> Engine:
        if self._given is not None:
            return self._given
        from farm.engine.connect import VARIABLE, choose, preference

        wanted = preference({VARIABLE: self._options.engine})
        return choose(
            wanted, self.cache, self._sink, cancel=self._cancel, offline=self._options.offline
        )

    async def _bring(
        self, key: Hashable, group: tuple[Want, ...], priority: float
    ) -> dict[Want, str]:
        """Bring what is brought at once, as one task; what is there takes no resource."""

        def look() -> dict[Want, str]:
            kept = {want: present(want, self.store) for want in group}
            return {want: sha256 for want, sha256 in kept.items() if sha256}

        def fetch() -> dict[Want, str]:
            return stage(group, self.store, self._sink, places=self._places, cancel=self._cancel)

        async def bring() -> dict[Want, str]:
            there = await self.tasks.run(look, {})
            if len(there) == len(group):
                return there
            return await self.tasks.run(fetch, {Resource.NETWORK: 1}, priority=priority)

        return await self.tasks.shared(("input", key), bring)

    def _by_digest(self, unit: Unit, found: dict[Want, str]) -> dict[str, Path]:
        digests = {
            s.digest: found[want_of_source(s, unit.key)] for s in (unit.source, *unit.sources)
        }
        digests |= {f"sha256:{pin.sha256}": found[want_of_pin(pin)] for pin in pins_of(unit)}
        crates = wants_of_crates(unit.crates)
        digests |= {digest: found[want] for digest, want in crates.items()}
        return {digest: self.store.path_of(sha256) for digest, sha256 in digests.items()}


def bring_inputs(unit: Unit, cache: Path, options: BuildOptions, sink: Sink) -> dict[str, Path]:
    """Bring a unit's inputs outside of a run; see `Prerequisites.inputs`."""

    async def bring() -> dict[str, Path]:
        tasks = Tasks(Resources({Resource.NETWORK: 4}), threading.Event())
        return await Prerequisites(cache, options, sink, tasks).inputs(unit)

    return asyncio.run(bring())


def _groups(wants: Iterable[Want]) -> dict[Hashable, tuple[Want, ...]]:
    """What is brought at once: each input by itself, crates of one Cargo.lock together."""
    groups: dict[Hashable, tuple[Want, ...]] = {}
    for want in wants:
        key = want.among if isinstance(want, CrateWant) else want
        groups[key] = (*groups.get(key, ()), want)
    return groups
