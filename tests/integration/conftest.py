"""Tests on real engines share one cache, so that tools and bases are made once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
import pytest

from farm.debian import toolbox
from farm.errors import FarmError
from farm.load.project import shipped_root
from tests.support.engines import own_engine, shared_engine
from tests.support.farming import share_cache

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.engine.endpoint import Endpoint


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
    """The private engine of the tests' own cache folder; not for tests that end or break it.

    Others build on it at the same time.
    """
    with shared_engine(farm_cache) as endpoint:
        yield endpoint


@pytest.fixture
def fresh_cache(farm_cache: Path, tmp_path: Path) -> Iterator[Path]:
    """A cache folder with an engine and a memory of its own."""
    with own_engine(farm_cache, tmp_path / "cache") as folder:
        yield folder


@pytest.fixture(scope="module")
def own_results(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache folder like that of all tests, but that no build of theirs is known there."""
    return share_cache(farm_cache, tmp_path_factory.mktemp("results") / "cache")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with a copy of the shipped recipes, and results of its own."""
    folder = tmp_path / "project"
    shutil.copytree(shipped_root() / "recipes", folder / "recipes")
    return folder
