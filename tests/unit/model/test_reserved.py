"""What farm sets itself, or depends on, is no recipe's to set: at no level, by no setting."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from farm.errors import RecipeError
from farm.load.project import shipped_root
from farm.model.reserved import RESERVED, reserved
from tests.support.projects import DEMO, TOOLCHAINS, planned, project_at

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [name.replace("*", "X") for name in RESERVED]
PLAIN = "recipes/toolchains/plain.yaml"


def told(root: Path, name: str, text: str) -> list[str]:
    """What is said of a project with this one file."""
    with pytest.raises(RecipeError) as caught:
        planned(project_at(root, {"recipes/demo.yaml": DEMO, name: text}), "demo")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("level", ["recipe", "variant", "toolchain", "target"])
def test_no_setting_can_set_it(tmp_path: Path, level: str, name: str) -> None:
    env = f"env: {{{name}: x}}"
    file, text, where = {
        "recipe": ("recipes/demo.yaml", f"{DEMO}{env}\n", "env"),
        "variant": ("recipes/demo.yaml", DEMO.replace("plain}", f"plain, {env}}}"),
                    "variants.cpu.env"),
        "toolchain": (PLAIN, f"{TOOLCHAINS[PLAIN]}{env}\n", "env"),
        "target": ("recipes/demo.yaml",
                   DEMO.replace("plain}", "plain, target: x}")
                   + f"target: {{variable: {name}, values: [x]}}\n", "target.variable"),
    }[level]  # fmt: skip
    (problem,) = told(tmp_path, file, text)
    assert problem.startswith(f"{file}:")
    assert f": {where}" in problem
    assert f"{name} is farm's own to set; {reserved(name)}" in problem


@pytest.mark.parametrize(
    "name",
    ["CMAKE_PREFIX_PATH", "LD_LIBRARY_PATH", "PIP_CONFIG_SETTINGS", "CARGO_PROFILE_RELEASE_LTO",
     "FARMING", "PATHS", "CC"],
)  # fmt: skip
def test_what_is_only_like_it_may_be_set(name: str) -> None:
    assert not reserved(name)


@pytest.mark.parametrize("stem", ["base", "requirements", "crates", "toolkit", "compile"])
def test_all_that_the_dockerfile_of_a_build_sets_is_reserved(stem: str) -> None:
    text = (shipped_root() / f"dockerfiles/{stem}.j2").read_text(encoding="utf-8")
    lines = re.findall(r"^(?:ENV|ARG) (.*)$", text, re.MULTILINE)
    names = [name for line in lines for name in re.findall(r"\b([A-Z][A-Z_]+)=", line)]
    assert names
    assert [name for name in names if not reserved(name)] == []
