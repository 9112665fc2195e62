"""What tasks take while they run, and who goes first.

A task waits until all that it takes is free.  Of those that wait, the one with the
highest priority (the longest path to the end of the run) goes first, and while it
lacks something nobody behind it may take just that: so a large task is never starved
by small ones, and a task that needs none of it is not held up.
"""

from __future__ import annotations

import asyncio
import heapq
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from farm.errors import FarmError


class Resource(StrEnum):
    """What there is only so much of.  Memory is in bytes, the others in pieces."""

    NETWORK = "network"
    DISK = "disk"
    ENGINE = "engine"
    CORES = "cores"
    MEMORY = "memory"


Demand = dict[Resource, int]


@dataclass(order=True, slots=True)
class _Waiter:
    rank: tuple[float, int]
    demand: Demand = field(compare=False)
    ready: asyncio.Future[None] = field(compare=False)


class Resources:
    """The capacity of a run, shared by its tasks; for one event loop."""

    def __init__(self, capacity: Mapping[Resource, int]) -> None:
        self.capacity = {resource: max(1, capacity.get(resource, 1)) for resource in Resource}
        self.free = dict(self.capacity)
        self._waiting: list[_Waiter] = []
        self._numbers = count()
        self._closed: FarmError | None = None

    @asynccontextmanager
    async def take(self, demand: Mapping[Resource, int], priority: float) -> AsyncIterator[None]:
        """Hold resources; a task that asks for more than there is gets all, alone.

        Raises:
            FarmError: what `close` was given.
        """
        wanted = {r: min(amount, self.capacity[r]) for r, amount in demand.items() if amount > 0}
        await self._granted(wanted, priority)
        try:
            yield
        finally:
            for resource, amount in wanted.items():
                self.free[resource] += amount
            self._grant()

    def close(self, error: FarmError) -> None:
        """Let nobody in any more: who waits, and who comes, gets the error."""
        self._closed = error
        for waiter in self._waiting:
            if not waiter.ready.done():
                waiter.ready.set_exception(error)
        self._waiting.clear()

    async def _granted(self, wanted: Demand, priority: float) -> None:
        if self._closed is not None:
            raise self._closed
        waiter = _Waiter(
            rank=(-priority, next(self._numbers)),
            demand=wanted,
            ready=asyncio.get_running_loop().create_future(),
        )
        heapq.heappush(self._waiting, waiter)
        self._grant()
        await waiter.ready

    def _grant(self) -> None:
        """Let in, in order, whoever lacks nothing, and keep what others lack for them."""
        left = dict(self.free)
        still: list[_Waiter] = []
        for waiter in sorted(self._waiting):
            lacking = [r for r, amount in waiter.demand.items() if left[r] < amount]
            if lacking:
                left |= dict.fromkeys(lacking, 0)
                still.append(waiter)
                continue
            for resource, amount in waiter.demand.items():
                left[resource] -= amount
                self.free[resource] -= amount
            waiter.ready.set_result(None)
        self._waiting = still
