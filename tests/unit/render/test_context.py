"""The manifest of a unit's context: each input in a place of its own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode, PlanError
from farm.model.unit import Lock, Pin, TextEdit, ToolkitPlan, Unit
from farm.render.context import Wheel, context_entries
from tests.support.projects import DEMO, PATCH, SHA, demo_unit, planned, project_at

if TYPE_CHECKING:
    from pathlib import Path

OTHER = "f" * 64


def pin(name: str, sha256: str = SHA) -> Pin:
    return Pin(name=name, version="1", filename=f"{name}-1-py3-none-any.whl", sha256=sha256)


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return demo_unit(tmp_path)


def test_each_kind_of_input_has_its_folder(unit: Unit, tmp_path: Path) -> None:
    recipe = DEMO + (
        "patches: [a.patch]\nedits: [{file: f, replace: ä, by: b}]\nsources:\n"
        f"  w: {{source: {{wheel: 'https://x.org/w-1-py3-none-any.whl', sha256: {SHA}}}}}\n"
    )
    files = {"recipes/demo.yaml": recipe, "patches/demo/1.0.0/a.patch": PATCH}
    (found,) = planned(project_at(tmp_path / "b", files)).units
    found = replace(
        found,
        lock=Lock(inputs=SHA, pins=(pin("locked"),)),
        toolkit=ToolkitPlan(root="/o", home="/o/k", wheels=(pin("nvcc"),)),
    )
    needed = Wheel(filename="torch-2-py3-none-any.whl", sha256=OTHER, path=tmp_path)
    entries = {entry.target: entry for entry in context_entries(found, (needed,))}
    assert {target: entry.origin for target, entry in entries.items()} == {
        "edits/demo.json": "text",
        "inside/cache.py": "text",
        "inside/collect.py": "text",
        "inside/compilers.py": "text",
        "inside/edit.py": "text",
        "inside/embed.py": "text",
        "inside/gate.c": "text",
        "inside/gate.py": "text",
        "inside/parts.py": "text",
        "inside/patch.py": "text",
        "inside/pinned.json": "text",
        "inside/pool.py": "text",
        "inside/sbom.py": "text",
        "inside/step.py": "text",
        "inside/toolkit.py": "text",
        "inside/unpack.py": "text",
        "patches/a.patch": "path",
        "sources/demo.tar": "store",
        "toolkit/nvcc-1-py3-none-any.whl": "store",
        "wheels/locked-1-py3-none-any.whl": "store",
        "wheels/requirements.txt": "text",
        "wheels/torch-2-py3-none-any.whl": "path",
        "wheels/w-1-py3-none-any.whl": "store",
    }
    assert list(entries) == sorted(entries)
    assert entries["wheels/torch-2-py3-none-any.whl"].digest == f"sha256:{OTHER}"
    assert json.loads(entries["edits/demo.json"].text) == [
        {"file": "f", "replace": "ä", "by": "b", "count": 1}
    ]


def test_edits_of_one_source_are_one_file_in_their_order(unit: Unit) -> None:
    edits = tuple(
        TextEdit(source=source, file="f", replace=text, by="", count=1)
        for source, text in (("demo", "1"), ("sub", "2"), ("demo", "3"))
    )
    entries = {e.target: e.text for e in context_entries(replace(unit, edits=edits), ())}
    assert [row["replace"] for row in json.loads(entries["edits/demo.json"])] == ["1", "3"]
    assert [row["replace"] for row in json.loads(entries["edits/sub.json"])] == ["2"]


def test_the_same_wheel_from_two_sides_is_one_file(unit: Unit, tmp_path: Path) -> None:
    locked = replace(unit, lock=Lock(inputs=SHA, pins=(pin("torch"),)))
    needed = Wheel(filename=pin("torch").filename, sha256=SHA, path=tmp_path)
    targets = [entry.target for entry in context_entries(locked, (needed,))]
    assert targets.count("wheels/torch-1-py3-none-any.whl") == 1


def test_two_wheels_of_one_name_are_refused(unit: Unit, tmp_path: Path) -> None:
    locked = replace(unit, lock=Lock(inputs=SHA, pins=(pin("torch"),)))
    needed = Wheel(filename=pin("torch").filename, sha256=OTHER, path=tmp_path)
    with pytest.raises(PlanError) as caught:
        context_entries(locked, (needed,))
    assert caught.value.code is ExitCode.PLAN
    told = "two inputs of demo@1.0.0:cpu are both called wheels/torch-1-py3-none-any.whl"
    assert caught.value.problems[0].what == told
