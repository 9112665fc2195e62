"""Resources: never more than there is, nobody starved, nobody held up for nothing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.errors import CancelledError
from farm.run.resources import Demand, Resource, Resources

if TYPE_CHECKING:
    from collections.abc import Callable

ENGINE, MEMORY, NETWORK = Resource.ENGINE, Resource.MEMORY, Resource.NETWORK
CAPACITY = {ENGINE: 4, MEMORY: 100, NETWORK: 2}


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(20):
        await asyncio.sleep(0)


class Crowd:
    """Tasks that hold what they were let in with until they are told to go."""

    def __init__(self, capacity: dict[Resource, int]) -> None:
        self.resources = Resources(capacity)
        self.inside: list[str] = []
        self.doors: dict[str, asyncio.Event] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def come(self, name: str, demand: Demand, priority: float = 0) -> None:
        self.doors[name] = asyncio.Event()
        self.tasks.append(asyncio.ensure_future(self._stay(name, demand, priority)))

    async def _stay(self, name: str, demand: Demand, priority: float) -> None:
        async with self.resources.take(demand, priority):
            self.inside.append(name)
            await self.doors[name].wait()
            self.inside.remove(name)

    async def go(self, name: str) -> None:
        self.doors[name].set()
        await settle()


def run(scene: Callable[[Crowd], object]) -> None:
    async def play() -> None:
        crowd = Crowd(CAPACITY)
        await scene(crowd)  # type: ignore[misc]  # scenes are coroutines
        for door in crowd.doors.values():
            door.set()
        await asyncio.gather(*crowd.tasks)
        assert crowd.resources.free == crowd.resources.capacity

    asyncio.run(play())


def test_the_longest_path_goes_first_and_equals_in_the_order_in_which_they_came() -> None:
    async def scene(crowd: Crowd) -> None:
        crowd.come("holder", {ENGINE: 4})
        await settle()
        for name, priority in (("a", 1), ("b", 5), ("c", 1), ("d", 9)):
            crowd.come(name, {ENGINE: 4}, priority)
        await settle()
        order = []
        for _ in range(4):
            await crowd.go(crowd.inside[0])
            order += crowd.inside
        assert order == ["d", "b", "a", "c"]

    run(scene)


def test_a_large_task_is_not_starved_by_small_ones() -> None:
    async def scene(crowd: Crowd) -> None:
        crowd.come("small", {MEMORY: 60})
        await settle()
        crowd.come("large", {MEMORY: 100}, 5)
        crowd.come("later", {MEMORY: 10}, 1)
        await settle()
        assert crowd.inside == ["small"]
        await crowd.go("small")
        assert crowd.inside == ["large"]

    run(scene)


def test_who_waits_for_memory_holds_up_nobody_who_only_needs_the_network() -> None:
    async def scene(crowd: Crowd) -> None:
        crowd.come("holder", {MEMORY: 60})
        await settle()
        crowd.come("large", {MEMORY: 100}, 5)
        crowd.come("download", {NETWORK: 1})
        await settle()
        assert crowd.inside == ["holder", "download"]

    run(scene)


def test_who_asks_for_more_than_there_is_gets_all_alone() -> None:
    async def scene(crowd: Crowd) -> None:
        crowd.come("huge", {MEMORY: 10_000, ENGINE: 99}, 5)
        crowd.come("small", {ENGINE: 1})
        await settle()
        assert crowd.inside == ["huge"]
        await crowd.go("huge")
        assert crowd.inside == ["small"]

    run(scene)


def test_more_or_less_of_something_counts_from_then_on() -> None:
    async def scene(crowd: Crowd) -> None:
        for name in "abc":
            crowd.come(name, {NETWORK: 1})
        await settle()
        assert crowd.inside == ["a", "b"]
        crowd.resources.resize(CAPACITY | {NETWORK: 3})
        await settle()
        assert crowd.inside == ["a", "b", "c"]
        crowd.resources.resize(CAPACITY | {NETWORK: 1})
        crowd.come("d", {NETWORK: 1})
        await crowd.go("a")
        await crowd.go("b")
        assert crowd.inside == ["c"]
        await crowd.go("c")
        assert crowd.inside == ["d"]
        crowd.resources.resize(CAPACITY)

    run(scene)


def test_who_gives_up_while_waiting_is_passed_over() -> None:
    async def scene(crowd: Crowd) -> None:
        for name in "ab":
            crowd.come(name, {ENGINE: 4})
        await settle()
        crowd.come("c", {ENGINE: 4}, -1)
        await settle()
        crowd.tasks[1].cancel()
        await crowd.go("a")
        assert crowd.inside == ["c"]
        del crowd.tasks[1]

    run(scene)


def test_once_closed_nobody_waits_and_nobody_comes_in() -> None:
    async def scene(crowd: Crowd) -> None:
        crowd.come("holder", {ENGINE: 4})
        await settle()
        crowd.come("waiting", {ENGINE: 1})
        await settle()
        crowd.resources.close(CancelledError("over"))
        crowd.come("late", {})
        await settle()
        for task in crowd.tasks[1:]:
            assert isinstance(task.exception(), CancelledError)
        del crowd.tasks[1:]

    run(scene)


DEMANDS = st.dictionaries(st.sampled_from(list(Resource)), st.integers(0, 12), max_size=4)


@settings(deadline=None, max_examples=80)
@given(
    st.dictionaries(st.sampled_from(list(Resource)), st.integers(1, 8)),
    st.lists(st.tuples(DEMANDS, st.integers(0, 3), st.integers(0, 4)), max_size=25),
)
def test_whatever_is_asked_for_capacity_holds_and_everybody_gets_in(
    capacity: dict[Resource, int], tasks: list[tuple[Demand, int, int]]
) -> None:
    used = dict.fromkeys(Resource, 0)
    done: list[int] = []

    async def one(resources: Resources, number: int) -> None:
        demand, priority, naps = tasks[number]
        for _ in range(naps):
            await asyncio.sleep(0)
        async with resources.take(demand, priority):
            held = {r: min(n, resources.capacity[r]) for r, n in demand.items()}
            for resource, amount in held.items():
                used[resource] += amount
                assert used[resource] <= resources.capacity[resource]
            for _ in range(naps):
                await asyncio.sleep(0)
            for resource, amount in held.items():
                used[resource] -= amount
        done.append(number)

    async def play() -> None:
        resources = Resources(capacity)
        await asyncio.wait_for(
            asyncio.gather(*(one(resources, number) for number in range(len(tasks)))), 60
        )

    asyncio.run(play())
    assert sorted(done) == list(range(len(tasks)))


def test_an_exception_inside_gives_back_what_was_held() -> None:
    async def play() -> None:
        resources = Resources(CAPACITY)
        with pytest.raises(ZeroDivisionError):
            async with resources.take({ENGINE: 3}, 0):
                raise ZeroDivisionError
        assert resources.free == resources.capacity

    asyncio.run(play())
