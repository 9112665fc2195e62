"""How a wheel is to be tried, put together from recipe, toolchain and base."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.load.locks import format_lock, inputs_digest
from farm.model.unit import Lock, Pin, RootfsBase, SmokeTest
from farm.plan.resolve import lock_problem
from farm.source.inputs import input_of_pin, inputs_of
from tests.support.projects import SHA, demo_unit, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.unit import Unit

RECIPE = """
package: demo
versions: {{1.0.0: {{source: {{sdist: {sha}}}}}}}
smoke_test: {general}
variants:
  cpu:
    toolchain: cpu
    exclude_paths: [/usr/share/big/*]
    system_packages: [libpng-dev]
    smoke_test: {special}
"""


def unit_of(tmp_path: Path, general: str, special: str = "{}") -> Unit:
    recipe = RECIPE.format(sha=SHA, general=general, special=special)
    return demo_unit(tmp_path, recipe, selector="demo:cpu")


def smoke_test_of(tmp_path: Path, general: str, special: str = "{}") -> SmokeTest:
    found = unit_of(tmp_path, general, special).smoke_test
    assert found is not None
    return found


def test_lists_of_all_levels_are_joined_and_texts_overridden(tmp_path: Path) -> None:
    general = "{imports: [a, b], script: old, gpu_script: gpu, requires: [six], stubs: [l.so.1]}"
    special = "{imports: [b, c], script: new, requires: [numpy], stubs: [m.so, l.so.1]}"
    found = smoke_test_of(tmp_path, general, special)
    assert (found.imports, found.script, found.gpu_script) == (("a", "b", "c"), "new", "gpu")
    assert found.lock_inputs.requires == ("numpy", "six")
    assert found.stubs == ("l.so.1", "m.so")


def test_the_container_has_nothing_of_the_build(tmp_path: Path) -> None:
    unit = unit_of(tmp_path, "{imports: [a], system_packages: [libgomp1]}")
    assert isinstance(unit.base, RootfsBase)
    assert {"gcc-14", "libpng-dev", "python3-dev"} <= set(unit.base.packages)
    assert unit.smoke_test is not None
    base = unit.smoke_test.base
    assert isinstance(base, RootfsBase)
    assert base.packages == ("libgomp1", "python3", "python3-venv")
    assert (base.suite, base.exclude_paths) == (unit.base.suite, ("/usr/share/big/*",))


@pytest.mark.parametrize(
    ("general", "special", "untried"),
    [
        ("{imports: [a]}", "{skip: too large}", "too large"),
        ("{skip: too large}", "{imports: [a]}", "too large"),
        ("{skip: too large}", "{skip: far too large}", "far too large"),
    ],
)
def test_a_reason_not_to_try_counts_wherever_it_stands(
    tmp_path: Path, general: str, special: str, untried: str
) -> None:
    unit = unit_of(tmp_path, general, special)
    assert (unit.smoke_test, unit.untried) == (None, untried)


def test_a_recipe_that_says_nothing_has_neither(tmp_path: Path) -> None:
    recipe = RECIPE.replace("smoke_test: {general}\n", "").replace(
        "    smoke_test: {special}\n", ""
    )
    unit = demo_unit(tmp_path, recipe.format(sha=SHA), selector="demo:cpu")
    assert (unit.smoke_test, unit.untried) == (None, "")


def test_what_it_installs_is_locked_by_itself(tmp_path: Path) -> None:
    unit = unit_of(tmp_path, "{imports: [a]}")
    test = unit.smoke_test
    assert test is not None
    assert test.lock_stem == "cpu-py3.13.smoke-test"
    pin = Pin(name="six", version="1.17", filename="six-1.17-py3-none-any.whl", sha256=SHA)
    folder = tmp_path / "recipes/locks/demo/1.0.0"

    def write(stem: str, digest: str, *pins: Pin) -> Unit:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{stem}.txt").write_text(format_lock(Lock(inputs=digest, pins=pins)))
        return unit_of(tmp_path, "{imports: [a]}")

    built = write(unit.lock_stem, inputs_digest(unit.lock_inputs))
    assert lock_problem(built) == "what its smoke test installs is not locked"
    assert "was locked from other inputs" in lock_problem(write(test.lock_stem, SHA))
    locked = write(test.lock_stem, inputs_digest(test.lock_inputs), pin)
    assert lock_problem(locked) == ""
    assert inputs_of(locked)[1:] == (input_of_pin(pin),)


@pytest.mark.parametrize("name", ["a; rm -rf /", "a/../b", "-c", "a b", "os\n", "../x"])
def test_hostile_names_never_get_that_far(tmp_path: Path, name: str) -> None:
    from farm.errors import RecipeError

    for key in ("imports", "stubs", "system_packages"):
        with pytest.raises(RecipeError) as caught:
            unit_of(tmp_path, f"{{{key}: [{name!r}]}}".replace("'", '"'))
        assert f"smoke_test.{key}[0]" in caught.value.details[0]


def test_a_base_that_does_not_say_what_a_clean_container_has_gives_it_python(
    tmp_path: Path,
) -> None:
    base = (
        'base: own\nsuite: trixie\npython: "3.13"\nglibc: "2.41"\npackages: [python3-dev, make]\n'
    )
    toolchain = (
        "toolchain: own\naccelerator: cpu\nbase: own\n"
        'host_compiler: {family: gcc, version: "14"}\nrun_packages: [libgomp1]\n'
    )
    recipe = RECIPE.format(sha=SHA, general="{imports: [a]}", special="{}")
    recipe = recipe.replace("toolchain: cpu", "toolchain: own")
    files = {"recipes/bases/own.yaml": base, "recipes/toolchains/own.yaml": toolchain}
    write_files(tmp_path, files)
    unit = demo_unit(tmp_path, recipe, selector="demo:cpu")
    assert unit.smoke_test is not None
    assert unit.smoke_test.base.packages == ("libgomp1", "python3", "python3-venv")
