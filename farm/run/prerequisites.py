"""What builds need before they can begin: inputs, bases, an engine; each one task, shared.

Two units that need the same input wait for the same download, and nobody who needs
something else waits for it.
"""

from __future__ import annotations

import asyncio
import os
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.engine.where import maybe_elsewhere
from farm.errors import BaseError, CancelledError, FarmError
from farm.events import Notice
from farm.host.machine import this_machine
from farm.model.compile_cache import PROGRAM
from farm.model.unit import ImageBase
from farm.render.manifest import BaseReference
from farm.run.fetching import places_of
from farm.run.resources import Resource, Resources
from farm.run.room import needs_of_base, require_room
from farm.run.tasks import Tasks
from farm.source.inputs import input_of_pin, inputs_of
from farm.source.job import Job
from farm.source.stage import groups, summary
from farm.store.blobs import Store

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farm.debian.bases import BaseImage
    from farm.engine.engine import Engine
    from farm.events import Sink
    from farm.host.machine import Machine
    from farm.model.unit import RootfsBase, Unit
    from farm.run.options import BuildOptions
    from farm.source.kinds import Brought, Input
    from farm.source.stage import Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A base that the engine has: its reference, and what a record says of it."""

    reference: BaseReference
    about: dict[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineFacts:
    """What a record says of the engine: its name and version, and what it has to build with."""

    name: str
    version: str
    machine: Machine


class Prerequisites:
    """Brings what units need; each thing once for a run, however many need it.

    ``held`` maps digests to files that are here already, and need not be brought.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - a run's own parts
        self,
        cache: Path,
        options: BuildOptions,
        sink: Sink,
        tasks: Tasks,
        engine: Engine | None = None,
        held: Mapping[str, Path] | None = None,
    ) -> None:
        self.cache = cache
        self.store = Store(cache / "store")
        self.tasks = tasks
        self._options = options
        self._sink = sink
        self._given = engine
        self._held = dict(held or {})
        self._job = Job(
            store=self.store,
            sink=sink,
            places=places_of(cache, offline=options.offline, mirror=options.source_mirror),
            cancel=tasks.cancel,
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
        wanted = groups(each for each in inputs_of(unit) if each.digest not in self._held)
        brought = await asyncio.gather(
            *(self._bring(group, priority) for group in wanted), return_exceptions=True
        )
        found = dict(self._held)
        failures: list[tuple[Input, FarmError]] = []
        for group, each in zip(wanted, brought, strict=True):
            if isinstance(each, FarmError):
                failures += [(one, each) for one in group.inputs]
            elif isinstance(each, BaseException):
                raise each
            else:
                found |= {one.digest: self.store.path_of(sha) for one, sha in each[0].items()}
                failures += each[1]
        if failures:
            raise summary(failures)
        return found

    async def engine(self) -> Engine:
        """The engine, started if it must be.

        Raises:
            EngineError: none is to be had, with the reason for each.
        """
        return await self.tasks.shared(
            "engine", lambda: self.tasks.run(self._connect, {Resource.DISK: 1})
        )

    async def engine_facts(self) -> EngineFacts:
        """What a record says of the engine; asked once for a run.

        Raises:
            EngineError: it cannot be reached.
        """
        engine = await self.engine()

        def ask() -> EngineFacts:
            return EngineFacts(
                name=engine.name, version=engine.version(), machine=engine.capacity()
            )

        return await self.tasks.shared(
            "engine facts", lambda: self.tasks.run(ask, {Resource.DISK: 1})
        )

    async def machine(self) -> Machine:
        """The machine that compiles: this one, unless the engine may be on another.

        An engine that cannot be had is told by each unit that needs it.
        """
        if self._given is None and not maybe_elsewhere(os.environ, self._options.engine):
            return this_machine()
        try:
            return (await self.engine_facts()).machine
        except FarmError:
            return this_machine()

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
            if self._options.preflight:
                await self.tasks.run(lambda: self._require_room(root), {Resource.DISK: 1})
            image = await self._image(root, priority)
            engine = await self.engine()
            await self.tasks.run(
                lambda: engine.load(image, cancel=self._cancel), {Resource.DISK: 1}
            )
            reference = BaseReference(image=image.tag, digest=image.digest)
            about: dict[str, object] = {
                "tag": image.tag,
                "digest": image.digest,
                "origin": image.origin,
                "packages": {deb.name: deb.version for deb in image.debs},
                "sha256": {deb.name: deb.sha256 for deb in image.debs},
            }
            return Base(reference=reference, about=about)

        return await self.tasks.shared(("base", root), load)

    def _require_room(self, root: RootfsBase) -> None:
        from farm.debian.bases import known, made

        base = known(root, self.cache, locked=self._options.locked)
        if base is not None and made(base, self.cache) is None:
            there = (deb.sha256 for deb in base.debs if self.store.get(deb.sha256))
            require_room(f"the base {root.name}", needs_of_base(base, self.cache, there))

    async def compile_cache(self, base: Base) -> bool:
        """Whether the compile cache can be asked: its program is on the engine now."""

        async def put() -> bool:
            from farm.engine.programs import put_program

            program = groups([input_of_pin(PROGRAM)])[0]
            try:
                _, failures = await self._bring(program, 0.0)
                for _, error in failures:
                    raise error
                engine, wheel = await self.engine(), self.store.path_of(PROGRAM.sha256)
                await self.tasks.run(
                    lambda: put_program(engine, wheel, base.reference.image, self._cancel),
                    {Resource.DISK: 1},
                )
            except CancelledError:
                raise
            except FarmError as error:
                self._sink(Notice(text=f"compiled without a cache: {error.message}"))
                return False
            return True

        return await self.tasks.shared("compile cache", put)

    async def _image(self, root: RootfsBase, priority: float) -> BaseImage:
        from farm.source.debs import base_image

        return await self.tasks.run(
            lambda: base_image(root, self._job, self.cache, locked=self._options.locked),
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

    async def _bring(self, group: Group, priority: float) -> Brought:
        """Bring what is brought at once, as one task; what is there takes no resource."""

        async def bring() -> Brought:
            there = await self.tasks.run(lambda: group.present(self.store), {})
            if len(there) == len(group.inputs):
                return there, []
            return await self.tasks.run(
                lambda: group.bring(self._job), {Resource.NETWORK: 1}, priority=priority
            )

        return await self.tasks.shared(("input", group), bring)


def bring_inputs(unit: Unit, cache: Path, options: BuildOptions, sink: Sink) -> dict[str, Path]:
    """Bring a unit's inputs outside of a run; see `Prerequisites.inputs`."""

    async def bring() -> dict[str, Path]:
        tasks = Tasks(Resources({Resource.NETWORK: 4}), threading.Event())
        return await Prerequisites(cache, options, sink, tasks).inputs(unit)

    return asyncio.run(bring())
