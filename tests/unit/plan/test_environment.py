"""The environment of a unit: placeholders filled in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from farm.errors import RecipeError
from farm.load.library import gather
from farm.load.project import shipped_root
from farm.plan.plan import Choice, make_plan
from farm.plan.select import parse_selector
from tests.support.projects import DEMO, demo_unit, planned, project_at

if TYPE_CHECKING:
    from pathlib import Path

    from farm.plan.plan import Plan

GPU = DEMO.replace("{toolchain: plain}", "{toolchain: gpu, archs: [gfx942]}")
SHIPPED = sorted((shipped_root() / "recipes/toolchains").glob("*.yaml"))


def with_settings(text: str, recipe: str = DEMO) -> str:
    return re.sub(r"(\{toolchain: [^}]*)\}", rf"\1, {text}}}", recipe)


def demo_plan(root: Path, recipe: str) -> Plan:
    return planned(project_at(root, {"recipes/demo.yaml": recipe}), "demo")


def test_the_host_compiler_is_pinned_by_its_path(tmp_path: Path) -> None:
    env = dict(demo_unit(tmp_path, GPU).env)
    assert (env["CC"], env["CXX"]) == ("/usr/bin/clang-19", "/usr/bin/clang++-19")


@pytest.mark.parametrize(
    ("recipe", "paths", "version"),
    [
        (DEMO, ("/usr/bin/gcc-14", "/usr/bin/g++-14"), "14"),
        (GPU, ("/usr/bin/clang-19", "/usr/bin/clang++-19"), "19"),
    ],
)
def test_a_recipe_names_the_pinned_compiler_without_its_version(
    tmp_path: Path, recipe: str, paths: tuple[str, str], version: str
) -> None:
    settings = (
        'env: {OBJC: "${host_compiler.c}", V: "a${host_compiler.version}b"}, '
        "cmake_args: ['-DX=${host_compiler.cxx}']"
    )
    env = dict(demo_unit(tmp_path, with_settings(settings, recipe)).env)
    assert (env["OBJC"], env["CMAKE_ARGS"]) == (paths[0], f"-DX={paths[1]}")
    assert env["V"] == f"a{version}b"


@pytest.mark.parametrize(
    ("placeholder", "hint"),
    [
        ("host_compiler", "perhaps you meant 'host_compiler.c'"),
        ("host_compiler.cpp", "perhaps you meant 'host_compiler.c"),
        ("host_compiler.c/../..", "host_compiler.c"),
        ("host_compiler.c;id", "host_compiler.c"),
    ],
)
def test_a_misspelled_compiler_is_an_error_with_the_nearest_name(
    tmp_path: Path, placeholder: str, hint: str
) -> None:
    recipe = with_settings(f"cmake_args: ['-DX=${{{placeholder}}}']")
    with pytest.raises(RecipeError) as caught:
        demo_plan(tmp_path, recipe)
    (problem,) = map(str, caught.value.problems)
    assert f"variants.cpu.cmake_args[0]: unknown placeholder ${{{placeholder}}}" in problem
    assert hint in problem


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_toolchain_takes_another_host_compiler_by_one_line(
    tmp_path: Path, path: Path
) -> None:
    """Nothing that reaches a build still names the old one."""
    text = path.read_text(encoding="utf-8")
    changed = re.sub(r'(version: )"[0-9]+"', r'\1"97"', text, count=1)
    archs = re.search(r"^archs: \[\s*(\w+)", text, re.MULTILINE)
    variant = f"{{toolchain: {path.stem}, archs: [{archs[1] if archs else ''}]}}"
    recipe = DEMO.replace("{toolchain: plain}", variant) + 'python: ["3.13", "3.14"]\n'
    files = {"recipes/demo.yaml": recipe, f"recipes/toolchains/{path.name}": changed}
    library = gather(project_at(tmp_path, files), ["demo"])
    (unit,) = make_plan(library, [parse_selector("demo")], Choice(), preflight=False).units
    texts = [value for _, value in unit.env]
    named = [
        each for text in texts for each in re.findall(r"(?:gcc|g\+\+|clang\S*?)[-/](\d+)", text)
    ]
    assert set(named) == {"97"}
