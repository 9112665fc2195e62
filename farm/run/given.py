"""Put a wheel that lies anywhere to the smoke test of a unit."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import LockError, UsageError
from farm.host.files import sha256_of, storage_error
from farm.host.in_use import in_use
from farm.load.folders import mark_cache
from farm.plan.resolve import lock_problem
from farm.render.context import Wheel
from farm.run.identify import needed_wheels, template_folders
from farm.run.logs import LogWriter
from farm.run.smoke_test import Bench, try_wheel
from farm.run.supplies import Supplies

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
    needed = needed_wheels(unit, place.out)
    try:
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

            cancel = threading.Event()
            bench = Bench(
                folder=Path(name),
                supplies=Supplies(place.cache, options, both, cancel),
                templates=template_folders(place.project),
                sink=both,
                cancel=cancel,
            )
            wheel = Wheel(filename=path.name, sha256=sha256_of(path), path=path)
            return try_wheel(unit, wheel, needed, bench)
    except OSError as error:
        raise storage_error(error, place.cache) from error
