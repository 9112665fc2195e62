"""``farm reproduce --verify``: from nothing, on another engine, with another number of jobs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from farm.engine import private
from tests.support.farming import Farm, copy_project, share_cache

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("private_engine")]


@pytest.fixture
def cache(farm_cache: Path, tmp_path: Path) -> Iterator[Path]:
    yield share_cache(farm_cache, tmp_path / "cache")
    for left in (tmp_path / "cache/tmp").glob("verify-*"):
        private.stop(left)


def test_the_same_inputs_give_the_same_bytes_from_nothing(cache: Path, tmp_path: Path) -> None:
    farm = Farm(root=copy_project("faults", tmp_path / "project"), cache=cache)
    assert farm.build("tiny:cpu").code == 0
    before = farm.wheel("cpu").read_bytes()

    done = farm.run("reproduce", "tiny:cpu", "--verify", "--json")

    assert done.code == 0, done.said
    told = json.loads(done.stdout)
    assert told["verdict"] == "same"
    assert any(text.startswith("max_jobs: ") for text in told["differs"])
    assert farm.wheel("cpu").read_bytes() == before
    assert not list((cache / "tmp").glob("verify-*")), "all that it took is gone"


def test_a_wheel_that_is_not_the_same_twice_is_told_with_file_and_cause(
    cache: Path, tmp_path: Path
) -> None:
    farm = Farm(root=copy_project("fickle", tmp_path / "project"), cache=cache)
    assert farm.build("fickle").code == 0
    before = farm.wheel("cpu", "fickle-1.0").read_bytes()

    done = farm.run("reproduce", "fickle:cpu", "--json")

    assert done.code == 17, done.said
    told = json.loads(done.stdout)
    assert told["verdict"] == "other bytes"
    causes = {cause["path"]: cause["cause"] for cause in told["causes"]}
    assert causes["fickle.py"] == "time stamps"
    assert farm.wheel("cpu", "fickle-1.0").read_bytes() == before, "what is served stays"

    again = farm.build("fickle", "--rebuild")
    assert again.code == 0, again.said
    (notice,) = (e["text"] for e in again.of("Notice", "fickle@1.0:cpu") if "two" in e["text"])
    assert notice.startswith("one identity gave two contents, and the last is kept: fickle.py: ")


def test_what_is_the_same_when_built_again_is_no_news(cache: Path, tmp_path: Path) -> None:
    farm = Farm(root=copy_project("faults", tmp_path / "project"), cache=cache)
    assert farm.build("tiny:cpu").code == 0
    again = farm.build("tiny:cpu", "--rebuild")
    assert again.code == 0, again.said
    assert not [e for e in again.of("Notice", "tiny@1.0:cpu") if "contents" in e["text"]]
