"""What is seen of a real compile: live, at the end, in the record, as a picture."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

from tests.support.farming import copy_project, sharing

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.farming import Done, Farm

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("private_engine")]

TINY = "tiny@1.0:cpu"


@pytest.fixture(scope="module")
def farm(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Farm:
    return sharing(farm_cache, copy_project("faults", tmp_path_factory.mktemp("seen") / "tiny"))


@pytest.fixture(scope="module")
def built(farm: Farm) -> Done:
    done = farm.build("tiny:cpu", "--rebuild")
    assert done.code == 0, done.said
    return done


def test_its_use_of_the_budget_is_an_event_and_in_no_log(built: Done, farm: Farm) -> None:
    now = built.of("Compiling", TINY)[0]
    assert now["running"] <= 1
    assert 0 <= now["memory_bytes"] <= now["budget_bytes"]
    logs = farm.result("cpu") / "logs"
    assert all("farm: pool:" not in path.read_text() for path in logs.glob("*.log"))


def test_the_same_figures_are_told_and_recorded(built: Done, farm: Farm) -> None:
    (told,) = built.of("Compiled", TINY)
    assert told["count"] >= 2
    assert told["compilers"][0]["compiler"] == "gcc"
    assert "tiny/core.c" in {call["source"] for call in told["longest"]}
    recorded = farm.record("cpu")["compile"]
    assert recorded["calls"]["count"] == told["count"]
    assert recorded["calls"]["peak_bytes"] == told["peak_bytes"] > 1 << 20
    assert recorded["budget"]["memory_bytes"] == built.of("Compiling", TINY)[0]["budget_bytes"]


@pytest.mark.usefixtures("built")
def test_it_is_drawn(farm: Farm) -> None:
    for name in ("t.html", "t.svg", "t.json"):
        done = farm.run("timeline", "--output", str(farm.root / name))
        assert done.code == 0, done.said
        assert ": 1 unit, " in done.stdout
    assert 'name="generator" content="farm timeline"' in (farm.root / "t.html").read_text()
    ET.parse(farm.root / "t.svg")  # noqa: S314 - our own
    events = json.loads((farm.root / "t.json").read_text())["traceEvents"]
    assert "core.c" in {each["name"] for each in events if each["ph"] == "X"}
