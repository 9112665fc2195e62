from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import RecipeError
from farm.load.library import gather
from farm.load.project import Project, shipped_root
from farm.plan.plan import Choice, make_plan
from farm.plan.select import parse_selector

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.unit import Unit

RECIPE = """\
package: demo
python: ["3.13", "3.14"]
versions:
  1.0.0:
    source: {{tree: demo}}
variants:
  cuda: {{toolchain: cuda-13.0, archs: [sm_86], toolkit_parts: [{parts}]}}
  rocm: {{toolchain: rocm-7.0, archs: [gfx942]}}
"""


def unit_of(root: Path, selector: str, *, parts: str = "") -> Unit:
    tree = root / "recipes/sources/demo"
    tree.mkdir(parents=True)
    (tree / "pyproject.toml").write_text("")
    (root / "recipes/demo.yaml").write_text(RECIPE.format(parts=parts))
    project = Project(root=root, roots=(root, shipped_root()))
    plan = make_plan(gather(project, ["demo"]), [parse_selector(selector)], Choice())
    return plan.units[0]


def wheels_of(unit: Unit) -> set[str]:
    assert unit.toolkit is not None
    return {wheel.name for wheel in unit.toolkit.wheels}


def test_a_toolkit_is_taken_without_the_parts_that_nobody_asked_for(tmp_path: Path) -> None:
    few = wheels_of(unit_of(tmp_path / "few", "demo:cuda"))
    all_parts = wheels_of(unit_of(tmp_path / "all", "demo:cuda", parts="torch"))
    assert "nvidia-cuda-nvcc" in few
    assert few < all_parts
    assert "nvidia-cusparse" in all_parts - few


def test_an_unknown_part_is_refused_with_the_nearest_one(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as raised:
        unit_of(tmp_path, "demo:cuda", parts="troch")
    (problem,) = raised.value.problems
    assert "variants.cuda.toolkit_parts[0]: unknown part 'troch'" in str(problem)
    assert "'torch'" in problem.hint


def test_the_default_python_is_the_one_of_the_variants_base(tmp_path: Path) -> None:
    cuda, rocm = (unit_of(tmp_path / name, f"demo:{name}") for name in ("cuda", "rocm"))
    assert (cuda.python, cuda.key.variant) == ("3.13", "cuda")
    assert (rocm.python, rocm.key.variant) == ("3.14", "rocm")


def test_a_python_that_the_base_has_not_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError) as raised:
        unit_of(tmp_path, "demo:rocm-py313")
    assert "base sid of toolchain rocm-7.0 has 3.14" in str(raised.value.problems[0])
