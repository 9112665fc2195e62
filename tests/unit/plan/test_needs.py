"""A need says which wheel it takes, and a wheel that cannot serve is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import RecipeError
from tests.support.projects import explained, planned, project_at

if TYPE_CHECKING:
    from pathlib import Path

    from farm.plan.plan import Plan

OTHERS = {
    "recipes/toolchains/newer.yaml": """\
toolchain: newer
accelerator: cpu
base: newer
host_compiler: {family: gcc, version: "14"}
""",
    "recipes/bases/newer.yaml": """\
base: newer
suite: sid
packages: [python3, python3-venv]
python: "3.14"
glibc: "2.42"
""",
}
LOW = """\
package: low
python: ["3.13", "3.14"]
features: {fast: {summary: faster}}
versions:
  1.0.0: {source: {tree: demo}}
variants:
  gpu: {toolchain: gpu, archs: [gfx942]}
  cpu: {toolchain: plain}
  newer: {toolchain: newer}
"""
HIGH = """\
package: high
python: ["3.13", "3.14"]
versions:
  1.0.0: {source: {tree: demo}}
variants:
  gpu: {toolchain: gpu, archs: [gfx942], needs: [NEED]}
  cpu: {toolchain: plain, needs: [NEED]}
  newer: {toolchain: newer, needs: [NEED]}
"""


def plan_of(root: Path, selector: str, need: str, *, low: str = LOW) -> Plan:
    written = f"{{package: low, version: 1.0.0, {need}}}"
    files = {"recipes/low.yaml": low, "recipes/high.yaml": HIGH.replace("NEED", written)}
    return planned(project_at(root, files | OTHERS), selector)


def needed(root: Path, selector: str, need: str, *, low: str = LOW) -> str:
    """The label of the one unit that is needed, and planned, before the one asked for."""
    first, last = plan_of(root, selector, need, low=low).units
    assert [each.label for each in last.needs] == [first.label]
    return first.label


def problem(root: Path, selector: str, need: str, *, low: str = LOW) -> str:
    with pytest.raises(RecipeError) as caught:
        plan_of(root, selector, need, low=low)
    (text,) = map(str, caught.value.problems)
    return text


@pytest.mark.parametrize(
    ("selector", "need", "label"),
    [
        ("high:gpu", "variant: gpu", "low@1.0.0:gpu"),
        ("high:gpu", "variant: gpu, archs: same", "low@1.0.0:gpu"),
        ("high:gpu-gfx1150", "variant: gpu, archs: same", "low@1.0.0:gpu-gfx1150"),
        ("high:gpu-gfx1150", "variant: gpu, archs: [gfx942, gfx1150]",
         "low@1.0.0:gpu-gfx1150-gfx942"),
        ("high:gpu-gfx9-generic", "variant: gpu, archs: same", "low@1.0.0:gpu-gfx9-generic"),
        ("high:gpu", "variant: cpu, archs: same", "low@1.0.0:cpu"),
        ("high:cpu", "variant: gpu", "low@1.0.0:gpu"),
        ("high:cpu", "variant: cpu, features: [fast]", "low@1.0.0:cpu+fast"),
        ("high:cpu", "variant: cpu, features: ['~fast']", "low@1.0.0:cpu"),
        ("high:cpu", "variant: cpu, python: same", "low@1.0.0:cpu"),
        ("high:newer", "variant: newer", "low@1.0.0:newer"),
        ("high:newer", "variant: newer, python: '3.14'", "low@1.0.0:newer"),
    ],
)  # fmt: skip
def test_a_need_chooses_its_wheel(tmp_path: Path, selector: str, need: str, label: str) -> None:
    assert needed(tmp_path, selector, need) == label


@pytest.mark.parametrize(
    ("selector", "need", "told"),
    [
        ("high:gpu-gfx1150", "variant: gpu",
         "is for gfx1150, but low:gpu for gfx942 alone; say archs: same"),
        ("high:gpu", "variant: gpu, archs: [gfx1150]",
         "is for gfx942, but low:gpu for gfx1150 alone"),
        ("high:gpu", "variant: gpu, archs: [gfx943]",
         "low has no architecture 'gfx943'; perhaps you meant 'gfx942'"),
        ("high:cpu", "variant: cpu, archs: [gfx942]", "no architecture 'gfx942'; it has none"),
        ("high:cpu", "variant: cpu, features: ['~fats']",
         "low has no feature 'fats'; perhaps you meant 'fast'"),
        ("high:cpu", "variant: cpu, python: '3.12'", "low has no Python '3.12'"),
        ("high:newer", "variant: cpu",
         "is for Python 3.14, but low:cpu for 3.13; say python: same"),
        ("high:cpu", "variant: newer", "is for Python 3.13, but low:newer for 3.14"),
    ],
)  # fmt: skip
def test_a_wheel_that_cannot_serve_is_refused_at_the_need(
    tmp_path: Path, selector: str, need: str, told: str
) -> None:
    found = problem(tmp_path, selector, need)
    variant = selector.removeprefix("high:").partition("-")[0]
    assert found.startswith("recipes/high.yaml:")
    assert f": variants.{variant}.needs[0]: " in found
    assert told in found


@pytest.mark.parametrize("tag", ["py3-none-any", "py2.py3-none-any", "cp39-abi3-linux_x86_64"])
def test_a_wheel_for_every_python_serves_each(tmp_path: Path, tag: str) -> None:
    low = LOW + f"expect: {{tag: {tag}}}\n"
    assert needed(tmp_path, "high:newer", "variant: cpu", low=low) == "low@1.0.0:cpu"


@pytest.mark.parametrize("expect", ["{extensions: []}", "{tag: py3-none-any}"])
def test_a_wheel_without_extensions_serves_every_architecture(tmp_path: Path, expect: str) -> None:
    low = LOW + f"expect: {expect}\n"
    assert needed(tmp_path, "high:gpu-gfx1150", "variant: gpu", low=low) == "low@1.0.0:gpu"


def test_two_wheels_of_one_package_are_refused(tmp_path: Path) -> None:
    both = "variant: cpu}, {package: low, version: 1.0.0, variant: cpu, features: [fast]"
    assert "needs low@1.0.0:cpu+fast, and low@1.0.0:cpu besides" in problem(
        tmp_path, "high:cpu", both
    )


def test_the_choices_of_a_need_are_shown_with_its_reason(tmp_path: Path) -> None:
    need = "variant: cpu, features: [fast], python: same, archs: same, reason: so"
    unit = plan_of(tmp_path, "high:cpu", need).units[-1]
    (reason,) = (each for each in explained(tmp_path, unit).reasons if each.reason == "so")
    assert reason.setting == "variants.cpu.needs"
    assert reason.value == "low@1.0.0:cpu, archs same, features fast, python same"
