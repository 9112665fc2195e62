"""``docker-bake.json``: names that bake takes, and all that a unit is, by way of its contexts."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from farm.load.project import shipped_root
from farm.model.unit import UnitKey
from farm.render.bake import bake_file
from farm.render.manifest import BaseReference
from farm.run.settle import identify
from tests.support.projects import DEMO, SHA, demo_unit

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.unit import Unit
    from farm.render.manifest import Manifest

TEMPLATES = (shipped_root() / "dockerfiles",)
TAG = "farm-base:trixie-0123456789ab"
NAME = re.compile(r"[A-Za-z0-9_-]+")


def made(unit: Unit, image: str = TAG) -> tuple[Unit, Manifest]:
    base = BaseReference(image=image, digest=SHA)
    return unit, identify(unit, base=base, needed=(), templates=TEMPLATES).manifest


def baked(*units: tuple[Unit, Manifest]) -> Any:
    return json.loads(bake_file(units))


def called(unit: Unit, package: str, version: str, variant: str) -> Unit:
    return replace(unit, key=UnitKey(package=package, version=version, variant=variant))


def test_a_unit_is_built_on_a_base_that_is_a_target_of_its_own(tmp_path: Path) -> None:
    document = baked(made(demo_unit(tmp_path)))
    targets = document["target"]
    assert list(targets) == ["base-trixie-0123456789ab", "demo-1-0-0-cpu-result", "demo-1-0-0-cpu"]
    assert targets["base-trixie-0123456789ab"] == {"context": "bases/trixie-0123456789ab"}
    result = targets["demo-1-0-0-cpu-result"]
    assert result["contexts"] == {TAG: "target:base-trixie-0123456789ab"}
    assert (result["context"], result["target"]) == ("units/demo-1.0.0/cpu", "result")
    assert result["secret"] == ["type=file,id=jobs,src=jobs"]
    assert result["args"] == {"FARM_ATTEMPT": "${FARM_ATTEMPT}"}
    checked = targets["demo-1-0-0-cpu"]
    assert checked["contexts"]["result"] == "target:demo-1-0-0-cpu-result"
    assert checked["output"] == result["output"] == ["type=local,dest=out/demo-1.0.0/cpu"]
    assert document["group"] == {
        name: {"targets": ["demo-1-0-0-cpu"]} for name in ("default", "demo", "cpu")
    }


def test_a_base_that_is_an_image_is_asked_of_its_registry(tmp_path: Path) -> None:
    recipe = DEMO.replace("plain", "fromimage")
    image = f"example.org/debian@sha256:{SHA}"
    targets = baked(made(demo_unit(tmp_path, recipe), image))["target"]
    assert set(targets) == {"demo-1-0-0-cpu-result", "demo-1-0-0-cpu"}
    assert targets["demo-1-0-0-cpu-result"]["contexts"] == {}
    assert targets["demo-1-0-0-cpu"]["contexts"]["base"] == f"docker-image://{image}"


def test_units_on_one_base_share_it(tmp_path: Path) -> None:
    unit = demo_unit(tmp_path)
    document = baked(made(unit), made(called(unit, "demo", "1.0.0", "rocm-gfx942")))
    assert [name for name in document["target"] if name.startswith("base-")] == [
        "base-trixie-0123456789ab"
    ]
    assert document["group"]["demo"]["targets"] == ["demo-1-0-0-cpu", "demo-1-0-0-rocm-gfx942"]
    assert document["group"]["rocm-gfx942"] == {"targets": ["demo-1-0-0-rocm-gfx942"]}


def test_what_would_be_called_alike_is_not(tmp_path: Path) -> None:
    unit = demo_unit(tmp_path)
    keys = [("a", "1.0", "x+y"), ("a", "1-0", "x.y"), ("a", "1.0", "x-y-result"),
            ("base-trixie", "0123456789ab", "cpu"), ("default", "1", "cpu")]  # fmt: skip
    document = baked(*(made(called(unit, *key)) for key in keys))
    assert len(document["target"]) == 1 + 2 * len(keys)
    assert len(document["group"]["default"]["targets"]) == len(keys)
    for target in document["target"].values():
        for context in target.get("contexts", {}).values():
            assert context.removeprefix("target:") in document["target"]


WORDS = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,6}", fullmatch=True)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), min_size=1, max_size=6, unique=True))
def test_names_are_those_that_bake_takes_each_once(keys: list[tuple[str, str, str]]) -> None:
    unit, manifest = UNIT
    document = baked(*((called(unit, *key), manifest) for key in keys))
    assert all(NAME.fullmatch(name) for name in (*document["target"], *document["group"]))
    assert len(document["target"]) == 1 + 2 * len(keys)
    assert not set(document["target"]) & set(document["group"])
    members = [name for group in document["group"].values() for name in group["targets"]]
    assert set(members) <= set(document["target"])


def _unit() -> tuple[Unit, Manifest]:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        return made(demo_unit(Path(folder)))


UNIT = _unit()
"""Made once: examples differ by their keys alone."""
