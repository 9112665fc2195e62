"""What farm ships: every recipe, toolchain and base loads, plans and renders."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.load.library import Library, gather
from farm.load.project import Project, find_project
from farm.model.toolchain import Base, Toolchain
from farm.plan.plan import Choice, make_plan
from farm.plan.resolve import lock_problem
from farm.plan.select import parse_selector
from farm.render.context import Wheel, context_entries
from farm.render.dockerfile import base_reference
from farm.render.smoke_test import SmokeTestBuild, render_smoke_test, smoke_test_entries
from tests.support.documents import parse, validate
from tests.support.projects import rendered

if TYPE_CHECKING:
    from farm.model.unit import Unit

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden"
TOOLCHAINS = sorted(path.stem for path in (ROOT / "recipes/toolchains").glob("*.yaml"))
BASES = sorted(path.stem for path in (ROOT / "recipes/bases").glob("*.yaml"))


def shipped() -> tuple[Project, Library]:
    project = find_project(root=ROOT)
    return project, gather(project, project.names("recipes"))


def units() -> list[Unit]:
    _, library = shipped()
    recipes = {name: loaded.recipe for name, loaded in library.recipes.items()}
    names = [
        f"{name}@{version}" for name, recipe in recipes.items() for version in recipe.versions
    ]
    names += [
        f"{name}:{next(iter(recipe.variants))}{'~' if feature.default else '+'}{key}"
        for name, recipe in recipes.items()
        for key, feature in recipe.features.items()
    ]
    return list(make_plan(library, [parse_selector(name) for name in names], Choice()).units)


def planned(selector: str) -> Unit:
    _, library = shipped()
    plan = make_plan(library, [parse_selector(selector)], Choice())
    return next(unit for unit in plan.units if unit.label in plan.requested)


def golden_name(unit: Unit) -> str:
    return f"{unit.key.package}@{unit.key.version}-{unit.key.variant}"


UNITS = units()


@pytest.mark.parametrize("unit", UNITS, ids=golden_name)
def test_the_golden_dockerfile_is_what_is_rendered(unit: Unit) -> None:
    text = rendered(unit, base=base_reference(unit), templates=(ROOT / "dockerfiles",))
    path = GOLDEN / golden_name(unit) / "Dockerfile"
    if os.environ.get("FARM_WRITE_GOLDENS"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "renew it: make goldens"


@pytest.mark.parametrize("unit", [u for u in UNITS if u.smoke_test], ids=golden_name)
def test_the_golden_smoke_test_is_what_is_rendered(unit: Unit) -> None:
    assert unit.smoke_test is not None
    wheel = Wheel(filename="tried-1.0-py3-none-any.whl", sha256="0" * 64, path=ROOT)
    trial = SmokeTestBuild(
        unit=unit, smoke_test=unit.smoke_test, wheel=wheel, needed=(),
        clean="farm-base:clean", build=base_reference(unit),
    )  # fmt: skip
    text = render_smoke_test(trial, (ROOT / "dockerfiles",))
    path = GOLDEN / golden_name(unit) / "Dockerfile.smoke-test"
    if os.environ.get("FARM_WRITE_GOLDENS"):
        path.write_text(text, encoding="utf-8")
    assert path.read_text(encoding="utf-8") == text, "renew it: make goldens"
    mounted = {entry.target.split("/")[0] for entry in smoke_test_entries(trial)}
    assert mounted <= set(re.findall(r"source=([a-z]+)", text))


@pytest.mark.parametrize("unit", UNITS, ids=golden_name)
def test_every_wheel_is_tried_or_says_why_not(unit: Unit) -> None:
    assert bool(unit.smoke_test and unit.smoke_test.imports) != bool(unit.untried)


def test_no_golden_is_left_of_what_is_no_longer_shipped() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == {golden_name(unit) for unit in UNITS}


@pytest.mark.parametrize("unit", UNITS, ids=golden_name)
def test_everything_but_what_says_why_not_is_locked(unit: Unit) -> None:
    assert lock_problem(unit) == (unit.unlocked if unit.lock is None else "")


@pytest.mark.parametrize("unit", UNITS, ids=golden_name)
def test_every_git_source_that_is_staged_follows_an_upstream_file(unit: Unit) -> None:
    staged = {source.name for source in unit.sources if source.kind == "git"}
    assert staged == {pin.source for pin in unit.lockstep}


@pytest.mark.parametrize("unit", UNITS, ids=golden_name)
def test_every_file_of_the_context_has_a_place_of_its_own(unit: Unit) -> None:
    targets = [entry.target for entry in context_entries(unit, ())]
    assert len(set(targets)) == len(targets)


@pytest.mark.parametrize("name", TOOLCHAINS)
def test_every_toolchain_is_valid_and_called_as_its_file(name: str) -> None:
    path = ROOT / f"recipes/toolchains/{name}.yaml"
    toolchain = validate(Toolchain, parse(path.read_bytes(), path.name))
    assert toolchain.toolchain == name
    assert toolchain.base in BASES


@pytest.mark.parametrize("name", BASES)
def test_every_base_is_valid_and_called_as_its_file(name: str) -> None:
    path = ROOT / f"recipes/bases/{name}.yaml"
    assert validate(Base, parse(path.read_bytes(), path.name)).base == name


@pytest.mark.parametrize("selector", ["mdurl"])
def test_the_pair_of_test_recipes_is_locked_and_in_order(selector: str) -> None:
    project = find_project(root=ROOT / "tests/projects/pair")
    library = gather(project, [selector])
    plan = make_plan(library, [parse_selector(selector)], Choice())
    assert [unit.label for unit in plan.units] == ["flit-core@3.12.0:pure", "mdurl@0.1.2:pure"]
    assert [lock_problem(unit) for unit in plan.units] == ["", ""]


@pytest.mark.parametrize(
    ("selector", "archs"),
    [
        ("vllm:rocm", "gfx942;gfx1150"),
        ("vllm:rocm-gfx942", "gfx942"),
        ("vllm:rocm-gfx1150", "gfx1150"),
    ],
)
def test_rocm_architectures_build_together_and_separately(selector: str, archs: str) -> None:
    unit = planned(selector)
    assert unit.label == selector.replace("vllm", "vllm@0.22.0")
    assert dict(unit.env)["PYTORCH_ROCM_ARCH"] == archs


@pytest.mark.parametrize("variant", ["empty", "cuda", "rocm", "cpu"])
def test_a_variant_of_vllm_has_its_one_target_and_a_guarded_edit(variant: str) -> None:
    unit = planned(f"vllm:{variant}")
    assert dict(unit.env)["VLLM_TARGET_DEVICE"] == variant
    assert [(edit.file, edit.by, edit.count) for edit in unit.edits] == [
        ("setup.py", "rust_extensions=[],", 1)
    ]


def test_the_rust_front_end_must_build_where_it_is_asked_for() -> None:
    unit = planned("vllm:empty+rust")
    assert dict(unit.env)["VLLM_REQUIRE_RUST_FRONTEND"] == "1"
    assert unit.edits == ()
    assert "1.85" in lock_problem(unit)


def test_vllm_empty_needs_the_stand_in_and_not_torch() -> None:
    unit = planned("vllm:empty")
    assert [need.label for need in unit.needs] == ["torch@2.11.0:stub"]
    assert unit.lock is not None
    assert "torch" not in {pin.name for pin in unit.lock.pins}
    assert (unit.expected.extensions, unit.expected.tag) == ((), "py3-none-any")


def test_the_toolkit_and_torch_of_vllm_cuda_are_of_one_cuda() -> None:
    unit = planned("vllm:cuda")
    assert unit.toolkit is not None
    assert unit.lock is not None
    locked = {pin.name: pin for pin in unit.lock.pins}
    shared = [wheel for wheel in unit.toolkit.wheels if wheel.name in locked]
    assert len(shared) > 8
    assert [locked[wheel.name] for wheel in shared] == shared


def test_the_stand_in_for_torch_says_that_there_is_no_device() -> None:
    program = (
        "import json, torch; from torch.utils.cpp_extension import CUDA_HOME, ROCM_HOME;"
        "v = torch.version; print(json.dumps([v.cuda, v.hip, v.xpu, CUDA_HOME, ROCM_HOME]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-B", "-c", f"import sys; sys.path.insert(0, '.'); {program}"],
        cwd=ROOT / "recipes/sources/torch-stub",
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout) == [None] * 5
