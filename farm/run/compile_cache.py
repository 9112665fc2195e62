"""The compile caches of packages, on the engine that builds them."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from farm.engine.compiled import CompileCache
from farm.host.machine import this_machine
from farm.run.prerequisites import Prerequisites
from farm.run.resources import Resources
from farm.run.share import capacity_of
from farm.run.tasks import Tasks, all_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from farm.events import Sink
    from farm.model.unit import Unit
    from farm.run.options import BuildOptions


def compile_caches(
    units: Iterable[Unit], cache: Path, options: BuildOptions, sink: Sink
) -> list[CompileCache]:
    """The cache of each package that these units are of, in their order.

    They are reached from the base of its first unit, which is made where it is not there.

    Raises:
        FarmError: there is no engine, or no base.
    """
    first: dict[str, Unit] = {}
    for unit in units:
        first.setdefault(unit.key.package, unit)

    async def ready() -> list[CompileCache]:
        cancel = threading.Event()
        tasks = Tasks(Resources(capacity_of(this_machine(), options)), cancel)
        prerequisites = Prerequisites(cache, options, sink, tasks)
        found = []
        for package, unit in first.items():
            engine, base = await all_of(prerequisites.engine(), prerequisites.base(unit.base))
            image = base.reference.image
            found.append(CompileCache(engine=engine, package=package, image=image, cancel=cancel))
        return found

    return asyncio.run(ready())
