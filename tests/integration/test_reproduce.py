"""A failure is had again on another machine, from its bundle alone."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.engines import own_engine
from tests.support.farming import Farm, copy_project, sharing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.engine.endpoint import Endpoint
    from tests.support.farming import Done

pytestmark = pytest.mark.engine

BROKEN = "tiny@1.0:broken"
ERROR = "tiny/core.c:6:28: error: "


@pytest.fixture(scope="module")
def farm(
    farm_cache: Path, private_engine: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Farm:
    del private_engine
    root = copy_project("faults", tmp_path_factory.mktemp("reproduce") / "project")
    return sharing(farm_cache, root)


@pytest.fixture(scope="module")
def failed(farm: Farm) -> Done:
    return farm.build("tiny:broken")


@pytest.fixture(scope="module")
def bundle(farm: Farm, failed: Done, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of the failure, as it comes by mail."""
    assert failed.code == 9, failed.said
    (kept,) = farm.runs()[-1].glob("*/*/bundle.tar")
    return kept.rename(tmp_path_factory.mktemp("mail") / "a bundle.tar")


@pytest.fixture(scope="module")
def elsewhere(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Farm]:
    """Another machine: an engine and a store of its own, and no project."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with own_engine(farm_cache, folder / "cache") as cache:
        (cache / "store").unlink()  # empty, not borrowed
        root = folder / "empty"
        (root / "recipes").mkdir(parents=True)
        yield Farm(root=root, cache=cache)


def test_a_failure_prints_what_reproduces_it(failed: Done) -> None:
    ended = failed.ended(BROKEN)
    assert "farm reproduce " in ended["reproduce"]
    assert "bundle.tar" in ended["reproduce"]


def test_it_fails_alike_on_another_engine_with_an_empty_store(
    bundle: Path, elsewhere: Farm
) -> None:
    done = elsewhere.run("reproduce", str(bundle), "--json")
    assert done.code == 0, done.said
    told = json.loads(done.stdout)
    assert told["verdict"] == "same"
    assert told["now"]["message"] == told["then"]["message"]
    assert told["now"]["message"].startswith(ERROR)
    assert told["now"]["step"] == "compile"
    assert not (elsewhere.root / "out").exists()
