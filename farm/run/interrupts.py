"""Ctrl-C and SIGTERM during a run: the first sets ``cancel``, and everything ends in order."""

from __future__ import annotations

import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def interrupts(cancel: threading.Event) -> Iterator[None]:
    """Let signals cancel a run, wherever it is just then; a second one ends it at once.

    Only where this is the main thread, which alone gets them.

    Raises:
        KeyboardInterrupt: the second signal.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def take(_number: int, _frame: FrameType | None) -> None:
        if cancel.is_set():
            raise KeyboardInterrupt
        cancel.set()

    before = {number: signal.signal(number, take) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
