"""Crates in the plan: which Cargo.lock a unit is built by, and whether its crates are locked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import RecipeError
from farm.load.crates import format_crates
from farm.load.locks import format_lock, inputs_digest
from farm.model.crates import Crate, CrateLock
from farm.model.unit import Lock
from farm.plan.crates import crates_problem
from farm.plan.resolve import lock_problem
from tests.support.projects import (
    DEMO,
    SHA,
    demo_unit,
    explained,
    planned,
    project_at,
    write_files,
)

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = f"{DEMO}crates: [rust/Cargo.lock]\n"
LOCK = "recipes/locks/demo/1.0.0/crates/demo/rust/Cargo.lock.txt"
CRATE = Crate(name="adler", version="1.0.2", sha256=SHA)


def test_crates_that_nobody_locked_are_told(tmp_path: Path) -> None:
    unit = demo_unit(tmp_path, RECIPE)
    (crates,) = unit.crates
    assert (crates.source, crates.file, crates.crates) == ("demo", "rust/Cargo.lock", ())
    assert crates_problem(unit.crates) == "the crates of rust/Cargo.lock of demo are not locked"


def test_a_lock_counts_for_the_source_that_it_was_made_from(tmp_path: Path) -> None:
    (crates,) = demo_unit(tmp_path, RECIPE).crates
    lock = CrateLock(inputs=crates.inputs, crates=(CRATE,))
    write_files(tmp_path, {LOCK: format_crates(lock)})
    unit = demo_unit(tmp_path, RECIPE)
    assert unit.crates[0].crates == (CRATE,)
    assert crates_problem(unit.crates) == ""
    write_files(tmp_path, {"recipes/sources/demo/more.py": ""})
    changed = demo_unit(tmp_path, RECIPE)
    assert "locked from another source" in crates_problem(changed.crates)


def test_a_unit_without_crates_has_none_to_lock(tmp_path: Path) -> None:
    assert demo_unit(tmp_path).crates == ()
    assert crates_problem(()) == ""


def test_crates_keep_a_unit_from_being_built_like_requirements_do(tmp_path: Path) -> None:
    assert "requirements" in lock_problem(demo_unit(tmp_path, RECIPE))
    lock = demo_unit(tmp_path, RECIPE).lock_inputs
    text = format_lock(Lock(inputs=inputs_digest(lock), pins=()))
    write_files(tmp_path, {"recipes/locks/demo/1.0.0/cpu-py3.13.txt": text})
    assert "Cargo.lock" in lock_problem(demo_unit(tmp_path, RECIPE))


def test_levels_are_joined_and_each_file_counts_once(tmp_path: Path) -> None:
    recipe = RECIPE.replace("{toolchain: plain}", "{toolchain: plain, crates: [%s]}")
    more = "rust/Cargo.lock, {lock: a/Cargo.lock, reason: r}"
    unit = demo_unit(tmp_path, recipe % more)
    assert [crates.file for crates in unit.crates] == ["rust/Cargo.lock", "a/Cargo.lock"]
    told = explained(tmp_path, unit).reasons
    assert any(r.setting == "variants.cpu.crates" and r.reason == "r" for r in told)


def test_a_staged_source_can_hold_it(tmp_path: Path) -> None:
    recipe = f"{DEMO}sources: {{sub: {{source: {{tree: demo}}}}}}\n"
    recipe += "crates: [{lock: Cargo.lock, of: sub}]\n"
    assert demo_unit(tmp_path, recipe).crates[0].source == "sub"


def test_an_unknown_source_is_told_with_its_place(tmp_path: Path) -> None:
    recipe = f"{DEMO}crates: [{{lock: Cargo.lock, of: nothing}}]\n"
    with pytest.raises(RecipeError) as caught:
        demo_unit(tmp_path, recipe)
    (problem,) = caught.value.problems
    assert problem.where == "crates[0]"
    assert "no staged source is called 'nothing'" in problem.what


@pytest.mark.parametrize("name", ["CARGO_HOME", "CARGO_BUILD_JOBS"])
def test_what_farm_sets_for_cargo_cannot_be_set(name: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        demo_unit(tmp_path, f"{DEMO}env: {{{name}: x}}\n")
    assert caught.value.problems[0].where == f"env.{name}"


@pytest.mark.parametrize("lock", ["../Cargo.lock", "/etc/passwd", '"a\\0b"', "[]", "3", "''"])
def test_a_path_that_leaves_the_source_is_refused(lock: str, tmp_path: Path) -> None:
    with pytest.raises(RecipeError):
        demo_unit(tmp_path, f"{DEMO}crates: [{{lock: {lock}}}]\n")


def test_a_lock_that_is_none_is_told_with_its_line(tmp_path: Path) -> None:
    project = project_at(tmp_path, {"recipes/demo.yaml": RECIPE, LOCK: "../x 1.0.0 sha256:1\n"})
    with pytest.raises(RecipeError) as caught:
        planned(project)
    assert {str(problem.place) for problem in caught.value.problems} == {f"{LOCK}:1:1"}
