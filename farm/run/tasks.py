"""Tasks of a run: blocking work in threads, each holding the resources that it takes.

One event loop drives a run; every unit's way through it is a coroutine that awaits
tasks.  What several units need (an input, a base, the engine) is one task that they
share.  Nothing here knows what a task does.
"""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from farm.errors import CancelledError
from farm.host.locks import LOCK_ALONE, take
from farm.run.resources import Resource

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Mapping
    from pathlib import Path

    from farm.run.resources import Resources

T = TypeVar("T")
U = TypeVar("U")
_POLL_S = 0.05
_LAST_WORDS_S = 2.0
"""How long one that holds the network may take to heed ``cancel``: a server may be silent."""


class Tasks:
    """Runs tasks until the run is over; ``cancel`` ends those that wait at once."""

    def __init__(self, resources: Resources, cancel: threading.Event) -> None:
        self.resources = resources
        self.cancel = cancel
        self._shared: dict[Hashable, asyncio.Task[Any]] = {}

    async def run(
        self,
        work: Callable[[], T],
        takes: Mapping[Resource, int],
        *,
        priority: float = 0.0,
    ) -> T:
        """What ``work`` returns, run in a thread while it holds what it takes.

        Raises:
            CancelledError: the run was cancelled before it began.  Work that holds the
                network, where no answer may come, is left behind then after a while.
            Exception: whatever ``work`` raises; it must heed ``cancel`` by itself.
        """
        async with self.resources.take(takes, priority):
            if self.cancel.is_set():
                raise CancelledError("cancelled before it began")
            if Resource.NETWORK in takes:
                return await self._or_left(asyncio.ensure_future(_in_thread(work)))
            return await _in_thread(work)

    async def _or_left(self, work: asyncio.Task[T]) -> T:
        """What a task returns, unless it goes on for long after ``cancel``."""
        left_s = _LAST_WORDS_S
        while left_s > 0:
            await asyncio.wait({work}, timeout=_POLL_S)
            if work.done():
                return work.result()
            left_s -= _POLL_S if self.cancel.is_set() else 0
        raise CancelledError("cancelled while the network was silent; what has come is kept")

    async def shared(self, key: Hashable, start: Callable[[], Awaitable[T]]) -> T:
        """What ``start`` gives, begun once for a key however many ask.

        Raises:
            Exception: whatever it raises, for each who asks.
        """
        if key not in self._shared:
            self._shared[key] = asyncio.ensure_future(_awaited(start))
        return await asyncio.shield(self._shared[key])

    @asynccontextmanager
    async def holding(self, file: Path, on_wait: Callable[[], None]) -> AsyncIterator[None]:
        """Hold a lock file among all farms; ``on_wait`` is called once if another has it.

        Raises:
            CancelledError: the run was cancelled meanwhile.
            StorageError: the lock file cannot be made.
        """
        told = False
        while (descriptor := take(file, LOCK_ALONE)) is None:
            if self.cancel.is_set():
                raise CancelledError("cancelled while another farm builds it")
            if not told:
                on_wait()
            told = True
            await asyncio.sleep(_POLL_S)
        try:
            yield
        finally:
            os.close(descriptor)

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Look for ``cancel`` all the while, and let nobody in any more once it is set."""

        async def watch() -> None:
            while not self.cancel.is_set():  # noqa: ASYNC110 - threads and signals set it
                await asyncio.sleep(_POLL_S)
            self.resources.close(CancelledError("cancelled"))

        watching = asyncio.ensure_future(watch())
        try:
            yield
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
            for task in self._shared.values():  # somebody was told already
                if task.done() and not task.cancelled():
                    task.exception()


async def all_of(first: Awaitable[T], second: Awaitable[U]) -> tuple[T, U]:
    """Two at once; where one fails, the other is waited for before that is raised."""
    one, two = await asyncio.gather(first, second, return_exceptions=True)
    if isinstance(one, BaseException):
        raise one
    if isinstance(two, BaseException):
        raise two
    return one, two


async def _awaited(start: Callable[[], Awaitable[T]]) -> T:
    return await start()


async def _in_thread(work: Callable[[], T]) -> T:
    """Run in a daemon thread of its own: one that hangs cannot hold up the end of the process."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if done.cancelled():
            return
        if error is None:
            done.set_result(result)  # type: ignore[arg-type]  # a T unless there is an error
        else:
            done.set_exception(error)

    def body() -> None:
        result: T | None = None
        error: BaseException | None = None
        try:
            result = work()
        except StopIteration as stop:  # no future takes it
            error = RuntimeError(f"a task ended with {stop!r}")
        except BaseException as raised:  # noqa: BLE001 - told to whoever awaits it
            error = raised
        with suppress(RuntimeError):  # the loop is closed: nobody awaits it any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=body, daemon=True, name="task").start()
    return await done
