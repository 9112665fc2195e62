"""What tasks take while they run, and who goes first.

A task waits until all that it takes is free.  Of those that wait, the one with the
highest priority (the longest path to the end of the run) goes first, and while it
lacks something nobody behind it may take just that: so a large task is never starved
by small ones, and a task that needs none of it is not held up.

Who waits for the same resources waits in one queue.  Where its first lacks something, all
behind it would take of just that: so only the first of each queue is ever looked at, and
thousands that wait cost nothing.
"""

from __future__ import annotations

import asyncio
import heapq
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain, count
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from farm.errors import FarmError


class Resource(StrEnum):
    """What there is only so much of.  Memory is in bytes, the others in pieces."""

    NETWORK = "network"
    DISK = "disk"
    ENGINE = "engine"
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
        self._queues: dict[frozenset[Resource], list[_Waiter]] = {}
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

    def resize(self, capacity: Mapping[Resource, int]) -> None:
        """Have more or less from now on; who holds something keeps it."""
        for resource in Resource:
            size = max(1, capacity.get(resource, 1))
            self.free[resource] += size - self.capacity[resource]
            self.capacity[resource] = size
        for waiter in chain.from_iterable(self._queues.values()):
            waiter.demand = {r: min(n, self.capacity[r]) for r, n in waiter.demand.items()}
        self._grant()

    def close(self, error: FarmError) -> None:
        """Let nobody in any more: who waits, and who comes, gets the error."""
        self._closed = error
        for waiter in chain.from_iterable(self._queues.values()):
            if not waiter.ready.done():
                waiter.ready.set_exception(error)
        self._queues.clear()

    async def _granted(self, wanted: Demand, priority: float) -> None:
        if self._closed is not None:
            raise self._closed
        waiter = _Waiter(
            rank=(-priority, next(self._numbers)),
            demand=wanted,
            ready=asyncio.get_running_loop().create_future(),
        )
        heapq.heappush(self._queues.setdefault(frozenset(wanted), []), waiter)
        self._grant()
        await waiter.ready

    def _grant(self) -> None:
        """Let in, in order, whoever lacks nothing, and keep what others lack for them."""
        left = dict(self.free)
        queues = [queue for queue in self._queues.values() if queue]
        while queues:
            queue = min(queues, key=lambda each: each[0].rank)
            waiter = queue[0]
            lacking = [r for r, amount in waiter.demand.items() if left[r] < amount]
            if lacking:
                left |= dict.fromkeys(lacking, 0)
                queues.remove(queue)
                continue
            heapq.heappop(queue)
            if not queue:
                queues.remove(queue)
            if waiter.ready.done():  # it was cancelled while it waited
                continue
            for resource, amount in waiter.demand.items():
                left[resource] -= amount
                self.free[resource] -= amount
            waiter.ready.set_result(None)
