"""A build of llama.cpp ended after configuring, and a few of its objects, by a real CMake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.farming import Farm, sharing

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("private_engine")]

LLAMA = "llama-cpp-python@0.2.44:cpu"


@pytest.fixture(scope="module")
def farm(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Farm:
    root = tmp_path_factory.mktemp("until")
    (root / "recipes").mkdir()
    return sharing(farm_cache, root)


def test_until_configure_counts_the_steps_and_leaves_no_result(farm: Farm) -> None:
    done = farm.build(LLAMA, "--until", "configure")
    assert done.code == 0, done.said
    ended = done.ended(LLAMA)
    assert ended["outcome"] == "stopped"
    assert ended["wheels"] == []
    folder = farm.root / "out/.farm/runs/latest/llama-cpp-python-0.2.44/cpu"
    steps = json.loads((folder / "steps.json").read_text())
    kinds = steps["kinds"]
    assert steps["total"] == sum(kinds.values())
    assert kinds["compile C"] >= 4
    assert kinds["compile CXX"] >= 5
    assert kinds["link"] >= 2
    assert ended["message"].startswith(f"{steps['total']} build steps: ")
    record = json.loads((folder / "record.json").read_text())
    assert record["outcome"] == "stopped"
    assert record["compile"]["steps"] == steps
    assert sorted(path.name for path in (farm.root / "out").iterdir()) == [".farm"]
    assert "to build" in farm.run("plan", LLAMA).stdout


def test_only_makes_what_matches(farm: Farm) -> None:
    done = farm.build(LLAMA, "--only", "ggml-alloc.c", "--only", "ggml-quants.c")
    assert done.code == 0, done.said
    made = done.ended(LLAMA)["details"]
    assert [line.split(" in ")[0].rsplit("/")[-1] for line in made] == [
        "ggml-alloc.c.o",
        "ggml-quants.c.o",
    ]
    assert all(line.endswith(" s") for line in made)


def test_a_glob_that_matches_nothing_fails_and_names_what_there_is(farm: Farm) -> None:
    done = farm.build(LLAMA, "--only", "no_such.cu")
    assert done.code == 9
    ended = done.ended(LLAMA)
    assert "no object matches 'no_such.cu'" in ended["message"]
    assert "ggml.c.o" in ended["message"]
    assert f" build {LLAMA} " in ended["repeat"]
    assert ended["repeat"].endswith(" --until configure --only no_such.cu")
