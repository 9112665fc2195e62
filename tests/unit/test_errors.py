"""The error tree: a code for each cause, and what an error says."""

from __future__ import annotations

import inspect

import pytest

from farm import errors
from farm.errors import ExitCode, FarmError, Place, PlanError, Problem, RecipeError

CODES = {
    "OK": 0,
    "INTERNAL": 1,
    "USAGE": 2,
    "RECIPE": 3,
    "PLAN": 4,
    "FETCH": 5,
    "INTEGRITY": 6,
    "ENGINE": 7,
    "BASE": 8,
    "BUILD": 9,
    "CHECK": 10,
    "STORAGE": 11,
    "PATCH": 12,
    "OUT_OF_MEMORY": 13,
    "LOCK": 14,
    "NEEDED_UNIT": 15,
    "SMOKE_TEST": 16,
    "OTHERWISE": 17,
    "CANCELLED": 130,
}
ABSTRACT = {FarmError, errors.ProblemsError}
CLASSES = [
    found
    for _, found in inspect.getmembers(errors, inspect.isclass)
    if issubclass(found, FarmError) and found not in ABSTRACT
]


def test_exit_codes_are_distinct_and_never_change() -> None:
    assert {code.name: int(code) for code in ExitCode} == CODES
    assert len(ExitCode.__members__) == len(set(ExitCode))


def test_every_cause_has_an_error_and_every_error_a_cause_of_its_own() -> None:
    codes = [found.code for found in CLASSES]
    assert len(codes) == len(set(codes))
    assert set(ExitCode) - set(codes) == {ExitCode.OK}


def test_no_code_is_one_that_shells_use_for_themselves() -> None:
    # 126 and 127: bash, "Exit Status"; 128+n: ended by signal n, which 130 means here too.
    assert not {int(code) for code in ExitCode} & ({126, 127, 255} | set(range(128, 165)) - {130})


@pytest.mark.parametrize("found", CLASSES)
def test_every_error_says_what_it_means_and_is_raised_somewhere(found: type[FarmError]) -> None:
    assert found.__doc__
    root = inspect.getfile(errors).removesuffix("errors.py")
    import pathlib

    users = [
        path
        for path in pathlib.Path(root).rglob("*.py")
        if path.name != "errors.py" and found.__name__ in path.read_text(encoding="utf-8")
    ]
    assert users


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem(what="is wrong"), "is wrong"),
        (Problem(what="is wrong", hint="do this"), "is wrong; do this"),
        (Problem(what="is wrong", where="a.b"), "a.b: is wrong"),
        (Problem(what="is wrong", place=Place(file="f")), "f: is wrong"),
        (
            Problem(what="w", where="a[0]", place=Place(file="f", line=3, column=4), hint="h"),
            "f:3:4: a[0]: w; h",
        ),
    ],
)
def test_a_problem_is_one_line_with_its_place_first(problem: Problem, text: str) -> None:
    assert str(problem) == text


def test_problems_are_counted_and_all_of_them_are_details() -> None:
    one = RecipeError([Problem(what="a")])
    two = PlanError([Problem(what="a"), Problem(what="b")], hint="h")
    assert (one.message, one.details) == ("1 problem in what the recipes say", ("a",))
    assert (two.message, two.details, two.hint) == ("2 problems in the plan", ("a", "b"), "h")


def test_an_error_carries_what_the_user_needs() -> None:
    error = errors.BuildError("m", hint="h", details=["a", "b"], step="compile")
    assert (str(error), error.hint, error.details, error.step) == ("m", "h", ("a", "b"), "compile")
