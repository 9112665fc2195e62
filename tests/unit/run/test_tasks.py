"""Tasks: in threads, with what they take, shared where several need them, ended by a cancel."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, TypeVar

import pytest

from farm.errors import CancelledError, FetchError
from farm.host.locks import holding
from farm.run.resources import Resource, Resources
from farm.run.tasks import Tasks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

T = TypeVar("T")
PATIENCE_S = 60.0


def run(scene: Callable[[Tasks], Awaitable[T]]) -> T:
    async def play() -> T:
        tasks = Tasks(Resources({Resource.NETWORK: 2}), threading.Event())
        async with tasks.watched():
            return await asyncio.wait_for(scene(tasks), PATIENCE_S)

    return asyncio.run(play())


def test_a_task_gives_what_its_work_returns_from_a_thread_of_its_own() -> None:
    main = threading.current_thread()

    async def scene(tasks: Tasks) -> threading.Thread:
        return await tasks.run(threading.current_thread, {})

    assert run(scene) is not main


def test_as_many_run_at_once_as_their_resource_has_room_for() -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE_S)

    async def scene(tasks: Tasks) -> list[int]:
        each = (tasks.run(meeting.wait, {Resource.NETWORK: 1}) for _ in range(6))
        return await asyncio.gather(*each)

    assert sorted(run(scene)) == [0, 0, 0, 1, 1, 1]


def test_what_several_need_is_done_once_and_told_to_each() -> None:
    calls: list[int] = []

    async def scene(tasks: Tasks) -> list[str]:
        def work() -> str:
            calls.append(1)
            return "brought"

        each = (tasks.shared("input", lambda: tasks.run(work, {})) for _ in range(5))
        return await asyncio.gather(*each)

    assert run(scene) == ["brought"] * 5
    assert calls == [1]


def test_a_shared_failure_is_told_to_each() -> None:
    def work() -> str:
        raise FetchError("gone")

    async def scene(tasks: Tasks) -> list[object]:
        each = (tasks.shared("input", lambda: tasks.run(work, {})) for _ in range(3))
        return await asyncio.gather(*each, return_exceptions=True)

    assert [type(found) for found in run(scene)] == [FetchError] * 3


@pytest.mark.parametrize("error", [ZeroDivisionError(), StopIteration(), SystemExit(3)])
def test_whatever_work_raises_reaches_who_awaits_it(error: BaseException) -> None:
    def work() -> None:
        raise error

    async def scene(tasks: Tasks) -> None:
        await tasks.run(work, {})

    with pytest.raises((ZeroDivisionError, RuntimeError, SystemExit)):
        run(scene)


def test_a_cancel_ends_who_waits_and_starts_nothing_more() -> None:
    release = threading.Event()
    started: list[int] = []

    async def scene(tasks: Tasks) -> list[object]:
        def first() -> str:
            tasks.cancel.set()
            assert release.wait(PATIENCE_S)
            return "was told to end"

        def later() -> None:
            started.append(1)

        running = asyncio.ensure_future(tasks.run(first, {Resource.NETWORK: 2}))
        waiting = [
            asyncio.ensure_future(tasks.run(later, {Resource.NETWORK: 1})) for _ in range(3)
        ]
        found = await asyncio.gather(*waiting, return_exceptions=True)
        release.set()
        return [await running, *found]

    first, *others = run(scene)
    assert first == "was told to end"
    assert [type(other) for other in others] == [CancelledError] * 3
    assert not started


def test_a_lock_that_another_farm_has_is_waited_for_and_told_once(tmp_path: Path) -> None:
    told: list[str] = []
    freed = threading.Event()

    def another() -> None:
        with holding(tmp_path / "lock"):
            taken.set()
            assert freed.wait(PATIENCE_S)

    taken = threading.Event()
    thread = threading.Thread(target=another)
    thread.start()
    assert taken.wait(PATIENCE_S)

    async def scene(tasks: Tasks) -> str:
        def on_wait() -> None:
            told.append("waiting")
            freed.set()

        async with tasks.holding(tmp_path / "lock", on_wait):
            return "mine"

    assert run(scene) == "mine"
    thread.join(PATIENCE_S)
    assert told == ["waiting"]


def test_waiting_for_a_lock_ends_when_the_run_is_cancelled(tmp_path: Path) -> None:
    async def scene(tasks: Tasks) -> None:
        with holding(tmp_path / "lock"):
            async with tasks.holding(tmp_path / "lock", tasks.cancel.set):
                pytest.fail("it was held")

    with pytest.raises(CancelledError):
        run(scene)


def test_a_silent_network_does_not_hold_up_a_cancelled_run() -> None:
    """A read from a server that says nothing more cannot be ended; the run ends without it."""
    over, begun = threading.Event(), threading.Event()

    def silent() -> None:
        begun.set()
        over.wait(PATIENCE_S * 2)

    async def scene(tasks: Tasks) -> None:
        waiting = asyncio.ensure_future(tasks.run(silent, {Resource.NETWORK: 1}))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        tasks.cancel.set()
        with pytest.raises(CancelledError, match="the network was silent"):
            await waiting

    try:
        run(scene)
    finally:
        over.set()


def test_what_does_not_hold_the_network_is_waited_for_to_its_end() -> None:
    """Such work heeds a cancel by itself, and may have to leave things in order."""
    ended = threading.Event()

    async def scene(tasks: Tasks) -> str:
        def work() -> str:
            tasks.cancel.wait(PATIENCE_S)
            ended.wait(3)  # longer than what holds the network is waited for
            return "in order"

        waiting = asyncio.ensure_future(tasks.run(work, {Resource.DISK: 1}))
        await asyncio.sleep(0)
        tasks.cancel.set()
        return await waiting

    assert run(scene) == "in order"
