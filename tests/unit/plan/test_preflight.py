"""Combinations that are known not to work: one test for each rule, and the way round it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm import api
from farm.errors import ExitCode, PlanError, RecipeError
from farm.load.locks import format_lock, inputs_digest
from farm.load.project import Project, shipped_root
from farm.model.unit import Lock, Pin
from tests.support.projects import SHA, project_at, write_files

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
package: demo
python: ["3.13", "3.14"]
versions:
  1.0.0: {source: {tree: demo}}
variants:
  made: {toolchain: TOOLCHAIN, archs: [ARCH]}
"""
LIMITS = """\
sources:
  flash-attention:
    source: {tree: demo}
    python_limits:
      oldest: "3.9"
      newest: "3.13"
      reason: it stops at configure
      source: its lines 22, 46
"""


def shipped(name: str) -> str:
    return (shipped_root() / f"recipes/toolchains/{name}.yaml").read_text(encoding="utf-8")


def project(root: Path, toolchain: str, arch: str, **toolchains: str) -> Project:
    own = {
        f"recipes/toolchains/{name.replace('_', '.')}.yaml": t for name, t in toolchains.items()
    }
    text = RECIPE.replace("TOOLCHAIN", toolchain).replace("ARCH", arch)
    return project_at(root, {"recipes/demo.yaml": text, **own})


def told(made: Project, selector: str = "demo") -> list[str]:
    with pytest.raises(PlanError) as caught:
        api.plan(made, selector)
    assert caught.value.code is ExitCode.PLAN
    assert "--no-preflight" in caught.value.hint
    for problem in caught.value.problems:
        assert str(problem).startswith("recipes/demo.yaml:6:21: variants.made.toolchain: ")
    return [problem.what for problem in caught.value.problems]


def cuda_13(*changes: tuple[str, str]) -> str:
    text = shipped("cuda-13.0").replace("toolchain: cuda-13.0", "toolchain: mine")
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


ON_SID = ("base: trixie", "base: sid")
GCC_16 = ('version: "14"', 'version: "16"')
GCC_15 = ('version: "14"', 'version: "15"')


def test_a_host_compiler_that_the_toolkit_refuses(tmp_path: Path) -> None:
    text = cuda_13(ON_SID, GCC_16, ('below: "2.43"', 'below: "2.50"'))
    (only,) = told(project(tmp_path, "mine", "sm_86", mine=text))
    assert only.startswith("mine does not take gcc-16, only gcc-15 or older: its headers refuse")
    assert "(host compiler; source: crt/host_config.h:137 of nvcc 13.0.88;" in only
    assert only.endswith("nearest that works: toolchain mine with gcc-15 on sid (Python 3.14)")


def test_an_older_toolkit_needs_an_older_host_compiler(tmp_path: Path) -> None:
    text = shipped("cuda-12.4").replace('  version: "13"', '  version: "14"')
    (only,) = told(project(tmp_path, "cuda-12.4", "sm_86", **{"cuda-12_4": text}))
    assert only.startswith("cuda-12.4 does not take gcc-14, only gcc-13 or older: its headers")
    assert only.endswith("toolchain cuda-12.4 with gcc-13 on trixie (Python 3.13)")


def test_a_host_compiler_that_is_too_old(tmp_path: Path) -> None:
    text = shipped("cuda-12.4").replace('{newest: "13"}', '{oldest: "13", newest: "13"}')
    text = text.replace('  version: "13"', '  version: "12"')
    (only,) = told(project(tmp_path, "cuda-12.4", "sm_86", **{"cuda-12_4": text}))
    assert only.startswith("cuda-12.4 does not take gcc-12, only gcc-13:")


def test_a_host_compiler_that_the_distribution_has_not(tmp_path: Path) -> None:
    text = cuda_13(GCC_15)
    (only,) = told(project(tmp_path, "mine", "sm_86", mine=text))
    assert only.startswith("base trixie has no gcc-15: it has gcc-12, gcc-13, gcc-14")
    assert only.endswith("toolchain mine with gcc-14 on trixie (Python 3.13)")


def test_a_c_library_that_the_toolkit_fails_with(tmp_path: Path) -> None:
    text = cuda_13(ON_SID, GCC_15)
    (only,) = told(project(tmp_path, "mine", "sm_86", mine=text))
    assert only.startswith("mine does not work on glibc 2.43 of base sid, only below 2.43: ")
    assert "rsqrt" in only
    assert only.endswith("toolchain mine with gcc-14 on trixie (Python 3.13)")


@pytest.mark.parametrize(
    ("toolchain", "arch", "who", "near"),
    [
        ("rocm-5.7", "gfx1201", "rocm-7.0", "rocm-7.0 with clang-21 on sid (Python 3.14)"),
        ("cuda-12.4", "sm_120", "cuda-13.0", "cuda-13.0 with gcc-14 on trixie (Python 3.13)"),
    ],
)
def test_an_architecture_that_only_another_toolkit_knows(
    tmp_path: Path, toolchain: str, arch: str, who: str, near: str
) -> None:
    (only,) = told(project(tmp_path, toolchain, arch))
    assert only.startswith(f"{toolchain} cannot compile for {arch}: {arch} is known to {who}")
    assert "(architectures; source: " in only
    assert f"nearest that works: toolchain {near}" in only


def test_an_architecture_that_nobody_knows_is_a_slip(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="1 problem") as caught:
        api.plan(project(tmp_path, "rocm-5.7", "gfx1234"), "demo")
    assert "unknown architecture 'gfx1234'" in str(caught.value.problems[0])


def test_a_python_that_a_staged_source_does_not_take(tmp_path: Path) -> None:
    made = project(tmp_path, "rocm-7.0", "gfx942")
    recipe = tmp_path / "recipes/demo.yaml"
    recipe.write_text(recipe.read_text() + LIMITS)
    (only,) = told(made)
    assert only.startswith(
        "flash-attention cannot be built for Python 3.14, only 3.9 to 3.13: it stops at configure"
    )
    assert "(Pythons; source: its lines 22, 46)" in only
    assert only.endswith("toolchain gpu with clang-19 on floor (Python 3.13)")


def test_a_lock_that_is_not_what_the_recipe_requires(tmp_path: Path) -> None:
    made = project(tmp_path, "rocm-7.0", "gfx942")
    more = """\
requires:
  - {value: "setuptools>=77.0.3,<81", reason: upstream says so, verified: its pyproject.toml}
  - {value: "tomli; python_version < '3.11'"}
  - ninja
"""
    recipe = tmp_path / "recipes/demo.yaml"
    recipe.write_text(recipe.read_text() + more)
    (unit,) = api.plan(made, "demo").units
    pin = Pin(name="setuptools", version="81.0.0", filename="s-81-py3-none-any.whl", sha256=SHA)
    path = f"recipes/locks/demo/1.0.0/{unit.lock_stem}.txt"
    lock = Lock(inputs=inputs_digest(unit.lock_inputs), pins=(pin,))
    write_files(tmp_path, {path: format_lock(lock)})
    absent, wrong = told(made)
    assert absent.startswith("ninja is not locked: ninja is required (locked requirements; source")
    assert wrong == (
        "setuptools 81.0.0 is locked: setuptools>=77.0.3,<81 is required, upstream says so "
        "(locked requirements; source: its pyproject.toml); "
        "lock it anew: farm lock demo@1.0.0:made"
    )
    stale = Lock(inputs=SHA, pins=(pin,))
    write_files(tmp_path, {path: format_lock(stale)})
    assert api.plan(made, "demo").refusals == ()  # that it is stale is told, and how to renew it


def test_all_that_is_wrong_is_told_at_once_also_with_what_is_wrong_in_files(
    tmp_path: Path,
) -> None:
    text = cuda_13(ON_SID, GCC_16)
    made = project(tmp_path, "mine", "sm_86, sm_68", mine=text)
    with pytest.raises(RecipeError) as caught:
        api.plan(made, "demo")
    words = [problem.what.split(",")[0][:30] for problem in caught.value.problems]
    assert words == [  # as they stand in the recipe
        "mine does not take gcc-16",
        "mine does not work on glibc 2.",
        "unknown architecture 'sm_68'",
    ]


def test_where_nothing_works_that_is_said(tmp_path: Path) -> None:
    made = project(tmp_path, "rocm-5.7", "gfx940, gfx1201")
    (only,) = told(made)
    assert "no toolchain here can do that" in only


def test_what_is_refused_can_be_planned_to_see_it_fail(tmp_path: Path) -> None:
    made = project(tmp_path, "rocm-5.7", "gfx1201")
    plan = api.plan(made, "demo", preflight=False)
    (unit,) = plan.units
    assert unit.archs == ("gfx1201",)
    assert [str(each) for each in plan.refusals] == list(plan.refused[unit.label])
    assert "cannot compile for gfx1201" in plan.refused[unit.label][0]


@pytest.mark.parametrize(
    ("toolchain", "arch", "change"),
    [
        ("rocm-5.7", "gfx1201", ("gfx1150, gfx1151,", "gfx1150, gfx1151, gfx1201,")),
        ("cuda-13.0", "sm_86", ('below: "2.43"', 'below: "2.44"')),
    ],
)
def test_a_projects_own_file_makes_the_rule(
    tmp_path: Path, toolchain: str, arch: str, change: tuple[str, str]
) -> None:
    text = shipped(toolchain)
    if toolchain == "cuda-13.0":
        text = text.replace(*ON_SID).replace(*GCC_15)
    name = toolchain.replace(".", "_")
    assert told(project(tmp_path, toolchain, arch, **{name: text}))
    plan = api.plan(project(tmp_path, toolchain, arch, **{name: text.replace(*change)}), "demo")
    assert plan.refused == {}


def test_a_broken_toolchain_that_nobody_asks_for_is_no_hindrance(tmp_path: Path) -> None:
    made = project(tmp_path, "rocm-5.7", "gfx942", broken="toolchain: [")
    assert api.plan(made, "demo").refusals == ()
