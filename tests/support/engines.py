"""Engines for tests: the one that all of them share, and those that a test may break."""

from __future__ import annotations

import fcntl
from contextlib import contextmanager
from typing import TYPE_CHECKING

from farm.engine import private
from farm.model.unit import RootfsBase
from tests.support.farming import borrow_cache, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.engine.endpoint import Endpoint

_PROGRAMS = ("gcc", "libc6-dev", "patch", "python3")
BASE = RootfsBase(name="b", suite="trixie", packages=_PROGRAMS)
"""What tests of the engine alone start from: bootstrapped once for all of them."""


@contextmanager
def shared_engine(cache: Path) -> Iterator[Endpoint]:
    """The private engine of a cache folder that several processes of tests share.

    Who comes first starts it.  Each holds a lock, which the kernel takes back from
    one that was killed; who ends and finds nobody else there stops the engine.
    """
    with (cache / "tests.users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield private.ensure_running(cache, quiet)
        finally:
            if _alone(users.fileno()):
                private.stop(cache)


def _alone(users: int) -> bool:
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def own_engine(lender: Path, folder: Path) -> Iterator[Path]:
    """A cache folder whose engine and results are nobody else's.

    For tests that end or break an engine, fill its disk or count what runs in it.
    Toolbox, bases and sources are those of all tests, not to be broken.
    """
    borrow_cache(lender, folder)
    try:
        yield folder
    finally:
        private.stop(folder)
