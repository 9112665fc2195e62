"""A wheel is never served for another variant or version, whatever somebody did to the folders.

The field's best-known tool has this fault: two variants in one folder, and the
second run reuses the first one's wheel, with the same hash and no warning.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.farming import Farm, add_variant, copy_project, in_container, sharing

if TYPE_CHECKING:
    from pathlib import Path

    from farm.engine.endpoint import Endpoint

pytestmark = pytest.mark.engine

CPU, OTHER, NEXT = "tiny@1.0:cpu", "tiny@1.0:other", "tiny@1.1:cpu"
FOLDERS = {CPU: "tiny-1.0/cpu", OTHER: "tiny-1.0/other", NEXT: "tiny-1.1/cpu"}


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edit(answer: int) -> str:
    return (
        f'edits: [{{file: tiny/core.c, replace: "FromLong(42)", by: "FromLong({answer})", '
        "reason: another answer}]"
    )


@pytest.fixture(scope="module")
def built(
    farm_cache: Path, private_engine: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Farm:
    """Two variants whose wheels have the same name, and another version, in one folder."""
    del private_engine
    root = copy_project("faults", tmp_path_factory.mktemp("identity") / "project")
    add_variant(root, "other", edit(43))
    add_version(root)
    farm = sharing(farm_cache, root)
    locked = farm.run("lock", "tiny@1.1:cpu")
    assert locked.code == 0, locked.said
    done = farm.build(*FOLDERS)
    assert done.code == 0, done.said
    assert done.outcomes() == dict.fromkeys(FOLDERS, "built")
    return farm


def add_version(root: Path) -> None:
    """The archive of its source has the name, size and time of the other's, but not the bytes.

    By these alone an engine tells whether it has a file of a build context already.
    """
    sources = root / "recipes/sources"
    shutil.copytree(sources / "tiny", sources / "tiny-1.1")
    shutil.copytree(root / "patches/tiny/1.0", root / "patches/tiny/1.1")
    settings = sources / "tiny-1.1/pyproject.toml"
    settings.write_text(settings.read_text().replace('"1.0"', '"1.1"'))
    recipe = root / "recipes/tiny.yaml"
    known = '  "1.0":\n    source: {tree: tiny}\n'
    assert known in recipe.read_text()
    more = '  "1.1":\n    source: {tree: tiny-1.1}\n'
    recipe.write_text(recipe.read_text().replace(known, known + more))


@pytest.fixture
def farm(built: Farm, farm_cache: Path, tmp_path: Path) -> Farm:
    """The same project and results, to be tampered with; nothing is kept of them elsewhere."""
    root = tmp_path / "project"
    shutil.copytree(built.root, root, symlinks=True)
    return sharing(farm_cache, root)


def digest(farm: Farm, unit: str) -> str:
    (wheel,) = (farm.out / FOLDERS[unit]).glob("*.whl")
    return sha256(wheel)


def assert_only_rebuilt(farm: Farm, built: Farm, *units: str) -> None:
    """What was tampered with is built again, and everything is as it was."""
    done = farm.build(*FOLDERS)
    assert done.code == 0, done.said
    expected = {unit: "built" if unit in units else "unchanged" for unit in FOLDERS}
    assert done.outcomes() == expected
    for unit in FOLDERS:
        assert digest(farm, unit) == digest(built, unit)


def test_variants_with_the_same_file_name_each_hold_their_own_wheel(
    built: Farm, private_engine: Endpoint
) -> None:
    assert built.wheel("cpu").name == built.wheel("other").name
    assert len({digest(built, unit) for unit in FOLDERS}) == 3
    image = built.record("cpu")["base"]["tag"]
    script = "from tiny import _core; print(_core.answer())"
    answers = [
        in_container(private_engine, image, built.wheel(name), script) for name in ("cpu", "other")
    ]
    assert answers == ["42", "43"]


def test_each_unit_has_an_identity_of_its_own(built: Farm) -> None:
    records = [json.loads((built.out / f / "record.json").read_text()) for f in FOLDERS.values()]
    assert len({record["identity"] for record in records}) == 3


def test_asked_for_one_after_the_other_none_gets_what_the_other_has(
    farm: Farm, built: Farm
) -> None:
    shutil.rmtree(farm.out / "tiny-1.0/other")
    done = farm.build(OTHER)
    assert done.outcomes() == {OTHER: "built"}
    assert digest(farm, OTHER) == digest(built, OTHER) != digest(farm, CPU)


@pytest.mark.parametrize("victim", [OTHER, NEXT])
def test_a_whole_folder_of_another_unit_is_not_served(
    farm: Farm, built: Farm, victim: str
) -> None:
    shutil.rmtree(farm.out / FOLDERS[victim])
    shutil.copytree(farm.out / FOLDERS[CPU], farm.out / FOLDERS[victim])
    assert_only_rebuilt(farm, built, victim)


def test_a_folder_whose_record_was_made_to_name_this_unit_is_not_served(
    farm: Farm, built: Farm
) -> None:
    folder = farm.out / FOLDERS[OTHER]
    shutil.rmtree(folder)
    shutil.copytree(farm.out / FOLDERS[CPU], folder)
    record = json.loads((folder / "record.json").read_text())
    record |= {"unit": OTHER, "variant": "other"}
    (folder / "record.json").write_text(json.dumps(record))
    assert_only_rebuilt(farm, built, OTHER)


def test_wheels_swapped_between_two_units_are_not_served(farm: Farm, built: Farm) -> None:
    one, two = farm.wheel("cpu"), farm.wheel("other")
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    assert_only_rebuilt(farm, built, CPU, OTHER)


def test_a_record_without_its_wheel_does_not_take_another_that_lies_there(
    farm: Farm, built: Farm
) -> None:
    folder = farm.out / FOLDERS[NEXT]
    (wheel,) = folder.glob("*.whl")
    wheel.unlink()
    shutil.copyfile(farm.wheel("cpu"), folder / wheel.name)
    assert_only_rebuilt(farm, built, NEXT)


CHANGES = {
    "an environment variable": ("    toolchain: cpu\n    expect", "env: {TINY_UNUSED: '1'}"),
    "an edit": ("    toolchain: cpu\n    expect", edit(44)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_recipe_is_built_anew_and_the_others_are_not(farm: Farm, change: str) -> None:
    place, line = CHANGES[change]
    recipe = farm.root / "recipes/tiny.yaml"
    text = recipe.read_text()
    assert text.count(place) == 1
    recipe.write_text(text.replace(place, f"    {line}\n{place}"))
    planned = json.loads(farm.run("plan", "--json", CPU, OTHER).stdout)["units"]
    standings = {unit["label"]: unit["standing"] for unit in planned}
    assert standings[CPU] == "to build"
    assert standings[OTHER] != "to build"


def test_a_changed_patch_source_or_lock_is_another_identity(farm: Farm) -> None:
    def identity() -> str:
        (unit,) = json.loads(farm.run("plan", "--json", "tiny:broken").stdout)["units"]
        return str(unit["identity"])

    seen = [identity()]
    patch = farm.root / "patches/tiny/1.0/0001-plant-a-compile-error.patch"
    patch.write_text(patch.read_text().replace("forty_two", "forty_three"))
    seen.append(identity())
    lock = farm.root / "recipes/locks/tiny/1.0/broken-py3.13.txt"
    lock.write_text(lock.read_text().replace("sha256:c", "sha256:d"))
    seen.append(identity())
    (farm.root / "recipes/sources/tiny/tiny/__init__.py").write_text("ANSWER = 42\n")
    seen.append(identity())
    assert len(set(seen)) == 4


def test_a_result_is_held_against_what_its_recipe_expects_by_now(farm: Farm) -> None:
    before = digest(farm, CPU)
    recipe = farm.root / "recipes/tiny.yaml"
    text = recipe.read_text()
    known = "expect: {extensions: [tiny/_core.cpython-313-x86_64-linux-gnu.so]}"
    assert known in text
    recipe.write_text(text.replace(known, known.replace("]", ", tiny/_device.so]"), 1))
    done = farm.build(CPU)
    ended = done.ended(CPU)
    assert (done.code, ended["outcome"], ended["step"]) == (10, "failed", "check"), done.said
    assert "tiny/_device.so" in ended["details"][0]
    recipe.write_text(text.replace(known, "expect: {extensions: [tiny/_core.*.so]}", 1))
    assert farm.build(CPU).outcomes() == {CPU: "unchanged"}
    assert digest(farm, CPU) == before


def test_a_misspelt_variant_is_an_error_with_the_nearest_name(built: Farm) -> None:
    for verb in ("build", "plan"):
        done = built.run(verb, "vllm", "--variant", "rocmm")
        assert done.code == 2
        assert "'rocmm'" in done.stderr
        assert "'rocm'" in done.stderr
    assert not (built.out / "vllm-0.22.0").exists()
