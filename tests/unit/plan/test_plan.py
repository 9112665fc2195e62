"""The plan as a graph: needed units first, circles refused, what is not there named."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from farm.errors import ExitCode, PlanError, RecipeError, UsageError
from farm.load.library import Library, LoadedRecipe
from farm.model.recipe import Recipe
from farm.model.toolchain import Base, Toolchain
from farm.plan.plan import Choice, Plan, make_plan
from farm.plan.select import Selector, parse_selector
from tests.support.documents import parse
from tests.support.projects import SHA

FLOOR = Base(base="floor", suite="trixie", python="3.13", glibc="2.41")
PLAIN = Toolchain.model_validate({
    "toolchain": "plain", "accelerator": "cpu", "base": "floor",
    "host_compiler": {"family": "gcc", "version": "14"},
})  # fmt: skip
EMPTY = parse("package: x\n", "x.yaml")


def library(needs: dict[str, list[str]], **more: object) -> Library:
    """Recipes of one version and the variants a and b; ``needs`` as name → names."""
    recipes = {}
    for name, needed in needs.items():
        recipe = Recipe.model_validate({
            "package": name,
            "versions": {"2": {"source": {"sdist": SHA}}, "1": {"source": {"sdist": SHA}}},
            "variants": {"a": {"toolchain": "plain"}, "b": {"toolchain": "plain"}},
            "needs": [{"package": n, "version": "2", "variant": "a"} for n in needed],
            **more,
        })  # fmt: skip
        recipes[name] = LoadedRecipe(recipe=recipe, document=EMPTY)
    return Library(recipes=recipes, toolchains={"plain": PLAIN}, bases={"floor": FLOOR})


def plan(needs: dict[str, list[str]], *selectors: str) -> Plan:
    return make_plan(library(needs), [parse_selector(s) for s in selectors], Choice())


def labels(made: Plan) -> list[str]:
    return [unit.label for unit in made.units]


def test_needed_units_come_first_and_are_not_requested() -> None:
    made = plan({"vllm": ["torch"], "torch": ["numpy"], "numpy": []}, "vllm:b")
    assert labels(made) == ["numpy@2:a", "torch@2:a", "vllm@2:b"]
    assert made.requested == {"vllm@2:b"}


def test_a_variant_may_have_a_default_version_of_its_own() -> None:
    variants = {
        "a": {"toolchain": "plain"},
        "b": {"toolchain": "plain", "default_version": {"value": "1", "reason": "takes minutes"}},
    }
    known = library({"x": []}, variants=variants)

    def asked(*selectors: str) -> list[str]:
        return labels(make_plan(known, [parse_selector(s) for s in selectors], Choice()))

    assert asked("x") == ["x@2:a", "x@1:b"]
    assert asked("x:b") == ["x@1:b"]
    assert asked("x@2") == ["x@2:a", "x@2:b"]
    assert labels(make_plan(known, [parse_selector("x")], Choice(variants=("b",)))) == ["x@1:b"]


def test_a_default_version_must_be_one() -> None:
    variants = {"a": {"toolchain": "plain", "default_version": "3"}}
    with pytest.raises(ValidationError, match="default_version is '3', but the versions are 2, 1"):
        library({"x": []}, variants=variants)


def test_what_is_asked_for_twice_is_one_unit() -> None:
    made = plan({"x": []}, "x:a", "x@2:a", "x:a-py313", "x")
    assert labels(made) == ["x@2:a", "x@2:b"]


def test_the_first_version_and_every_variant_are_the_default() -> None:
    assert labels(plan({"x": []}, "x")) == ["x@2:a", "x@2:b"]
    assert labels(plan({"x": []}, "x@1:b")) == ["x@1:b"]


def test_variants_of_the_option_apply_where_the_selector_names_none() -> None:
    wanted = [parse_selector("x"), parse_selector("y:b")]
    made = make_plan(library({"x": [], "y": []}), wanted, Choice(variants=("a",)))
    assert labels(made) == ["x@2:a", "y@2:b"]


@pytest.mark.parametrize(
    ("needs", "circle"),
    [
        ({"x": ["x"]}, "x@2:a → x@2:a"),
        ({"x": ["y"], "y": ["x"]}, "x@2:a → y@2:a → x@2:a"),
        ({"p": ["x"], "x": ["y"], "y": ["z"], "z": ["x"]}, "x@2:a → y@2:a → z@2:a → x@2:a"),
    ],
)
def test_a_circle_is_refused_with_its_path(needs: dict[str, list[str]], circle: str) -> None:
    with pytest.raises(PlanError) as caught:
        plan(needs, f"{next(iter(needs))}:a")
    assert caught.value.code is ExitCode.PLAN
    (problem,) = caught.value.problems
    assert problem.what == f"these units need each other in a circle: {circle}"


def test_a_long_chain_is_planned() -> None:
    """Longer than Python's stack is deep."""
    chain = {f"p{n}": [f"p{n + 1}"] for n in range(1100)} | {"p1100": []}
    made = plan(chain, "p0:a")
    assert labels(made) == [f"p{n}@2:a" for n in range(1100, -1, -1)]


def test_a_long_circle_is_refused() -> None:
    circle = {f"p{n}": [f"p{(n + 1) % 1100}"] for n in range(1100)}
    with pytest.raises(PlanError, match="1 problem in the plan"):
        plan(circle, "p0:a")


@st.composite
def dags(draw: st.DrawFn) -> dict[str, list[str]]:
    names = [f"p{n}" for n in range(draw(st.integers(1, 9)))]
    return {
        name: draw(st.lists(st.sampled_from(names[:index]), unique=True)) if index else []
        for index, name in enumerate(names)
    }


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
@given(dags(), st.data())
def test_each_unit_comes_once_and_after_all_that_it_needs(
    needs: dict[str, list[str]], data: st.DataObject
) -> None:
    asked = data.draw(st.lists(st.sampled_from(sorted(needs)), min_size=1))
    made = plan(needs, *(f"{name}:a" for name in asked))
    seen: set[str] = set()
    for unit in made.units:
        assert {need.label for need in unit.needs} <= seen
        assert unit.label not in seen
        seen.add(unit.label)
    assert made.requested == {f"{name}@2:a" for name in asked}


@pytest.mark.parametrize(
    ("selector", "choice", "told", "hint"),
    [
        ("x@3", Choice(), "x has no version '3'", "it has 2, 1"),
        ("x:cpu", Choice(), "x has no variant 'cpu'", "it has a, b"),
        ("x", Choice(variants=("c",)), "x has no variant 'c'", "it has a, b"),
        ("x:a+fats", Choice(), "x has no feature 'fats'", "perhaps you meant 'fast'"),
        ("x", Choice(features=("fats",)), "x has no feature 'fats'", "perhaps you meant 'fast'"),
        ("y:a+nope", Choice(), "y has no feature 'nope'", "it has none"),
        ("x:a+b", Choice(), "'b' is a variant of x, not a feature", "variants exclude each other"),
        ("x:a", Choice(features=("~b",)), "'b' is a variant of x", "variants exclude each other"),
    ],
)
def test_what_a_recipe_does_not_have_is_a_usage_error(
    selector: str, choice: Choice, told: str, hint: str
) -> None:
    found = library({"x": []}, features={"fast": {"summary": "faster"}})
    found.recipes.update(library({"y": []}).recipes)
    with pytest.raises(UsageError) as caught:
        make_plan(found, [parse_selector(selector)], choice)
    assert told in caught.value.message
    assert hint in caught.value.hint


def test_features_of_the_name_win_over_those_of_the_option() -> None:
    made = make_plan(
        library({"x": []}, features={"fast": {"summary": "f"}, "small": {"summary": "s"}}),
        [Selector(package="x", variant="a~fast")],
        Choice(features=("fast", "small")),
    )
    assert labels(made) == ["x@2:a+small"]


def test_a_need_that_stands_at_two_levels_is_one() -> None:
    need = {"package": "y", "version": "2", "variant": "a"}
    found = library({"x": [], "y": []})
    recipe = Recipe.model_validate({
        "package": "x", "needs": [need],
        "versions": {"2": {"source": {"sdist": SHA}, "needs": [need]}},
        "variants": {"a": {"toolchain": "plain"}},
    })  # fmt: skip
    found.recipes["x"] = LoadedRecipe(recipe=recipe, document=EMPTY)
    made = make_plan(found, [parse_selector("x")], Choice())
    assert [need.label for need in made.units[-1].needs] == ["y@2:a"]


def test_problems_of_needed_units_are_told_too_and_each_once() -> None:
    found = library({"x": ["y"], "y": []}, env={"A": "${nix}"})
    with pytest.raises(RecipeError) as caught:
        make_plan(found, [parse_selector("x")], Choice())
    assert len(caught.value.problems) == 1  # both recipes are the same empty document here
