"""What every test can rely on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from tests.support.schedule import Schedule, rank

if TYPE_CHECKING:
    import pytest


def pytest_sessionstart() -> None:
    """Ctrl-C works in what the tests start.

    A shell without job control starts its background jobs with SIGINT ignored, and
    every process below inherits that; some CI services run everything so.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: rank(item.path))


def pytest_xdist_auto_num_workers() -> int:
    """More than there are cores: most of them wait."""
    return len(os.sched_getaffinity(0)) + 2


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Schedule:
    return Schedule(config, log)
