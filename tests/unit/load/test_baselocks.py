"""Locks of bases: what is written is read back, and what was tampered with is told."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import RecipeError
from farm.load.baselocks import described, format_base_lock, of_this_machine, parse_base_lock
from farm.model.debian import DebSet
from farm.model.unit import RootfsBase
from tests.support.debian import DATE, deb, debs
from tests.support.projects import demo_unit, project_at

if TYPE_CHECKING:
    from pathlib import Path

BASE = RootfsBase(
    name="b",
    suite="sid",
    packages=("gcc", "make"),
    components=("contrib",),
    further_suites=(("experimental", ("hip*",)),),
)
OTHER = replace(BASE, packages=("gcc",))
NEWER = DebSet.of((deb("gcc", "1:2~rc1+b1"), deb("libc6")), "20270101T000000Z")
SETS = {
    BASE.key: (described(BASE), debs("gcc", "libc6", "make")),
    OTHER.key: (described(OTHER), NEWER),
}
TEXT = format_base_lock(SETS)


def test_a_lock_is_read_back_with_dates_and_each_version_of_a_package() -> None:
    found = parse_base_lock(TEXT, "x.lock")
    assert found == SETS
    for key, (_, packages) in SETS.items():
        assert found[key][1].date == packages.date
        assert found[key][1].debs == packages.debs
    assert format_base_lock(found) == TEXT


def test_the_text_has_one_line_for_each_package_and_names_its_sets() -> None:
    lines = [line for line in TEXT.splitlines() if line[0] not in "#s"]
    assert [line.rsplit(" ", 1)[0].split(" ")[:2] for line in lines] == [
        ["gcc", "1"],
        ["gcc", "1:2~rc1+b1"],
        ["libc6", "1"],
        ["make", "1"],
    ]
    assert [line.rsplit(" ", 1)[1] for line in lines] == [
        BASE.key[:6],
        OTHER.key[:6],
        "*",
        BASE.key[:6],
    ]
    assert f"set {BASE.key} {DATE} {described(BASE)}" in TEXT
    assert described(BASE).endswith(" sid contrib +experimental (hip*): gcc make")
    assert of_this_machine(described(BASE))
    assert not of_this_machine("pdp11 sid: gcc")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (" *", " 000000"),
        ("debian/pool", "../pool"),
        ("/pool", "/../../pool"),
        ("a" * 64, "a" * 63),
        ("gcc 1 ", "gcc 1 extra "),
        ("set ", "sett "),
        ("gcc 1 ", "$(id) 1 "),
    ],
)
def test_a_line_that_farm_does_not_write_is_told_with_its_place(old: str, new: str) -> None:
    assert old in TEXT
    with pytest.raises(RecipeError) as caught:
        parse_base_lock(TEXT.replace(old, new, 1), "x.lock")
    assert all(line.startswith("x.lock:") for line in caught.value.details)
    assert "'farm lock' writes it anew" in caught.value.details[0]


def test_units_and_their_smoke_tests_are_given_what_the_projects_locks_say(tmp_path: Path) -> None:
    recipe = (
        "package: demo\nversions: {1.0.0: {source: {tree: demo}}}\n"
        "variants: {cpu: {toolchain: plain, unlocked: b, smoke_test: {imports: [x]}}}\n"
    )
    unit = demo_unit(tmp_path / "a", recipe)
    assert unit.smoke_test is not None
    build, clean = unit.base, unit.smoke_test.base
    assert isinstance(build, RootfsBase)
    assert isinstance(clean, RootfsBase)
    assert build.locked is clean.locked is None
    sets = {build.key: ("b", debs("gcc")), clean.key: ("c", debs("python3"))}
    files = {"recipes/demo.yaml": recipe, "recipes/bases/floor.lock": format_base_lock(sets)}
    project_at(tmp_path / "b", files)
    unit = demo_unit(tmp_path / "b", recipe)
    assert unit.smoke_test is not None
    assert isinstance(unit.base, RootfsBase)
    assert isinstance(unit.smoke_test.base, RootfsBase)
    assert unit.base.locked == debs("gcc")
    assert unit.smoke_test.base.locked == debs("python3")


def test_a_damaged_lock_of_a_base_is_a_problem_of_the_project(tmp_path: Path) -> None:
    project_at(tmp_path, {"recipes/bases/floor.lock": "gcc 1\n"})
    with pytest.raises(RecipeError) as caught:
        demo_unit(tmp_path)
    assert "recipes/bases/floor.lock:1:1: not a package of a set" in caught.value.details[0]
