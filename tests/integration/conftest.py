"""Tests on real engines share one cache, so that tools and bases are made once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pytest

from farm.debian import toolbox
from farm.engine import private
from farm.errors import FarmError
from farm.load.project import shipped_root

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.engine.endpoint import Endpoint
    from farm.events import Event


def quiet(event: Event, /) -> None:
    """Take an event and keep silent."""
    del event


@pytest.fixture(scope="session", autouse=True)
def _able_host() -> None:
    """Whatever is missing fails these tests, with how to get it: none of them is skipped."""
    try:
        toolbox.require_host()
    except FarmError as error:
        pytest.fail(f"{error.message}; {error.hint}", pytrace=False)


@pytest.fixture(scope="session")
def farm_cache() -> Path:
    """A cache folder of the tests' own: the user's engine is not theirs to kill."""
    named = os.environ.get("FARM_TEST_CACHE_DIR")
    folder = Path(named) if named else platformdirs.user_cache_path("farm-tests")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def private_engine(farm_cache: Path) -> Iterator[Endpoint]:
    """The private engine of the tests' own cache folder; not for tests that end or break it."""
    yield private.ensure_running(farm_cache, quiet)
    private.stop(farm_cache)


@pytest.fixture
def fresh_cache(farm_cache: Path, tmp_path: Path) -> Iterator[Path]:
    """A cache folder with an engine and a memory of its own.

    The toolbox, bases and sources are those of all tests, not to be broken.
    """
    folder = tmp_path / "cache"
    tools = toolbox.prepare(farm_cache, quiet)
    (folder / "engine").mkdir(parents=True)
    (folder / "engine" / tools.root.name).symlink_to(tools.root)
    for name in ("bases", "store"):
        (farm_cache / name).mkdir(exist_ok=True)
        (folder / name).symlink_to(farm_cache / name)
    yield folder
    private.stop(folder)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with a copy of the shipped recipes, and results of its own."""
    folder = tmp_path / "project"
    shutil.copytree(shipped_root() / "recipes", folder / "recipes")
    return folder
