"""Placeholders, and the four levels of a recipe joined from general to specific."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.model.recipe import Recipe
from farm.model.strict import parse_size
from farm.plan.settings import arch_values, fill, job_rule, joined, layers_of, merged
from tests.support.projects import SHA

RECIPE = Recipe.model_validate({
    "package": "demo",
    "env": {"A": "recipe", "B": "recipe"},
    "cmake_args": ["-D1"],
    "jobs": {"memory_per_job": "1 GiB"},
    "features": {
        "rust": {"summary": "x", "on": {"env": {"A": "on"}}, "off": {"env": {"C": "off"}}},
    },
    "versions": {
        "2.0": {
            "source": {"sdist": SHA},
            "env": {"A": "version"},
            "cmake_args": ["-D2"],
            "variants": {"cpu": {"cmake_args": ["-D4"], "jobs": {"memory_per_job": "4 GiB"}}},
        },
        "1.0": {"source": {"sdist": SHA}},
    },
    "variants": {
        "cpu": {"toolchain": "plain", "env": {"B": "variant"}, "cmake_args": ["-D3"]},
        "gpu": {"toolchain": "gpu", "jobs": {"memory_per_job": "3 GiB"}},
    },
})  # fmt: skip


@pytest.mark.parametrize(
    ("version", "variant", "rust", "env", "args", "memory"),
    [
        ("2.0", "cpu", False, {"A": "version", "B": "variant", "C": "off"}, "1234", "4 GiB"),
        ("2.0", "cpu", True, {"A": "on", "B": "variant"}, "1234", "4 GiB"),
        ("2.0", "gpu", True, {"A": "on", "B": "recipe"}, "12", "3 GiB"),
        ("1.0", "cpu", True, {"A": "on", "B": "variant"}, "13", "1 GiB"),
        ("1.0", "gpu", False, {"A": "recipe", "B": "recipe", "C": "off"}, "1", "3 GiB"),
    ],
)
def test_lists_join_and_single_values_are_overridden(  # noqa: PLR0917 - a table
    version: str, variant: str, rust: bool, env: dict[str, str], args: str, memory: str  # noqa: FBT001
) -> None:  # fmt: skip
    layers = layers_of(RECIPE, version, variant, {"rust": rust})
    found = {name: getattr(item, "value", "") for name, (_, item) in merged(layers, "env").items()}
    assert found == env
    assert "".join(getattr(i, "value", "")[2:] for _, i in joined(layers, "cmake_args")) == args
    assert job_rule(layers).memory_per_job_bytes == parse_size(memory)


def test_every_item_knows_where_it_stands() -> None:
    layers = layers_of(RECIPE, "2.0", "cpu", {"rust": True})
    assert [path for path, _ in joined(layers, "cmake_args")] == [
        ("cmake_args", 0),
        ("versions", "2.0", "cmake_args", 0),
        ("variants", "cpu", "cmake_args", 0),
        ("versions", "2.0", "variants", "cpu", "cmake_args", 0),
    ]
    assert merged(layers, "env")["A"][0] == ("features", "rust", "on", "env", "A")


def test_architectures_come_in_the_forms_that_tools_take() -> None:
    assert arch_values(("sm_86", "sm_90a", "sm_120")) == {
        "archs": "sm_86;sm_90a;sm_120",
        "archs.number": "86;90a;120",
        "archs.dotted": "8.6;9.0a;12.0",
    }
    assert arch_values(("gfx942", "gfx1150"))["archs"] == "gfx942;gfx1150"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("${arch}", "unknown placeholder ${arch}; perhaps you meant 'archs'"),
        ("${sources.x}", "unknown placeholder ${sources.x}"),
        ("${}", "unknown placeholder ${}; known: archs, sources.triton"),
        ("${archs }", "unknown placeholder"),
        ("${HOME}", "unknown placeholder ${HOME}"),
        ("${${archs}}", "unknown placeholder"),
    ],
)
def test_an_unknown_placeholder_is_refused(text: str, told: str) -> None:
    values = {"archs": "sm_86", "sources.triton": "/build/sources/triton"}
    with pytest.raises(ValueError, match="unknown placeholder") as caught:
        fill(text, values)
    assert str(caught.value).startswith(told)


def test_a_value_is_filled_in_as_it_is_and_not_filled_again() -> None:
    assert fill("a${x}b${y}$x", {"x": "${y}", "y": r"\1"}) == r"a${y}b\1$x"


@given(st.text(st.characters(exclude_characters="$"), max_size=30))
def test_text_without_placeholders_stays_as_it_is(text: str) -> None:
    assert fill(text, {"archs": "x"}) == text
