"""Put a wheel that lies anywhere to the smoke test of a unit."""

from __future__ import annotations

import asyncio
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import LockError, NeededUnitError, UsageError
from farm.host.files import sha256_of, storage_errors
from farm.host.in_use import in_use
from farm.host.machine import this_machine
from farm.load.folders import mark_cache
from farm.plan.resolve import lock_problem
from farm.render.context import Wheel
from farm.run.logs import LogWriter
from farm.run.prerequisites import Prerequisites
from farm.run.resources import Resources
from farm.run.settle import template_folders, wheels_of
from farm.run.share import capacity_of
from farm.run.smoke_test import SmokeTestBed, try_wheel
from farm.run.tasks import Tasks
from farm.store.record import read_record
from farm.store.results import Result, result_folder

if TYPE_CHECKING:
    from farm.events import Event, Sink
    from farm.model.unit import Unit
    from farm.run.options import BuildOptions, Workplace


def try_given_wheel(
    unit: Unit, path: Path, place: Workplace, options: BuildOptions, sink: Sink
) -> dict[str, object]:
    """Try a wheel as a build of the unit would; returns what a record says of it.

    Raises:
        UsageError: the unit has no smoke test.
        LockError: what the test installs is not locked.
        NeededUnitError: a unit that this one needs is not built.
        SmokeTestError: the wheel cannot be installed, imported or run.
        FarmError: the engine, the network or the disk.
    """
    if unit.smoke_test is None:
        why = f": {unit.untried}" if unit.untried else ""
        raise UsageError(f"{unit.label} has no smoke_test{why}")
    problem = lock_problem(unit)
    if problem:
        raise LockError(f"cannot be tried: {problem}", hint=f"run: farm lock {unit.label}")
    needed = wheels_of(_needed(unit, place.out))
    with storage_errors(place.cache):
        mark_cache(place.cache)
        (place.cache / "tmp").mkdir(exist_ok=True)
    with (
        in_use(place.cache),
        tempfile.TemporaryDirectory(dir=place.cache / "tmp") as name,
        LogWriter({unit.label: Path(name)}) as log,
    ):

        def both(event: Event, /) -> None:
            log(event)
            sink(event)

        async def tried() -> dict[str, object]:
            tasks = Tasks(
                Resources(capacity_of(this_machine(), options)),
                threading.Event(),
            )
            bed = SmokeTestBed(
                folder=Path(name),
                scratch=Path(name),
                prerequisites=Prerequisites(place.cache, options, both, tasks),
                templates=template_folders(place.project),
                sink=both,
            )
            wheel = Wheel(filename=path.name, sha256=sha256_of(path), path=path)
            return await try_wheel(unit, wheel, needed, bed)

        return asyncio.run(tried())


def _needed(unit: Unit, out: Path) -> list[Result]:
    """What ``out/`` shows of the units that a unit needs.

    Raises:
        NeededUnitError: one is not there.
    """
    found = []
    for need in unit.needs:
        folder = result_folder(out, need)
        record = read_record(folder)
        if record is None:
            raise NeededUnitError(
                f"{unit.label} needs {need.label}, whose result is not there",
                hint=f"build it first: farm build {need.label}",
            )
        found.append(Result(record=record, folder=folder))
    return found
