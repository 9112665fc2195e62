from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Discriminator, Field, Tag, field_validator, model_validator

from farm.errors import ExitCode, RecipeError
from farm.model.recipe import Recipe
from farm.model.strict import Reasoned, Strict
from farm.model.toolchain import Base, Toolchain
from tests.support.documents import parse, validate

BLANK = "perhaps a blank is missing behind the ':'"
NAME = "a normalized package name (lower case letters, digits, single '-'; PEP 503)"
SHA = "0123456789abcdef" * 4
GOOD = f"""\
package: demo
python: [3.10, 3.13]
versions:
  1.0.0:
    source: {{sdist: {SHA}}}
variants:
  cpu:
    toolchain: gcc-14
"""


class Kind(StrEnum):
    CUDA = "cuda"
    ROCM = "rocm"


class File(Strict):
    path: str
    mode: Literal["r", "w"] = "r"


class Link(Strict):
    link: str
    target: str


class Cat(Strict):
    pet: Literal["cat"]
    lives: int


class Dog(Strict):
    pet: Literal["dog"]
    tricks: tuple[str, ...]


class Tree(Strict):
    tree: int
    leaf: int = 0


class Rock(Strict):
    rock: int


def _kind(data: object) -> str | None:
    return next((key for key in ("tree", "rock") if isinstance(data, dict) and key in data), None)


class Everything(Strict):
    """One field for each way of being wrong."""

    text: str = ""
    number: int = 0
    real: float = 0.0
    flag: bool = False
    kind: Kind = Kind.CUDA
    listed: str = Field(default="gcc", pattern="^(gcc|clang)$")
    shaped: str = Field(default="a-b", pattern="^[a-z]-[a-z]$")
    names: tuple[str, ...] = ()
    pair: tuple[int, str] = (0, "")
    some: list[int] = Field(default=[1], min_length=1, max_length=2)
    either: str | list[str] = ""
    inner: File | Link | None = None
    pets: tuple[Annotated[Cat | Dog, Field(discriminator="pet")], ...] = ()
    thing: (
        Annotated[
            Annotated[Tree, Tag("tree")] | Annotated[Rock, Tag("rock")],
            Discriminator(_kind, "no_kind", "is no thing: it needs tree or rock"),
        ]
        | None
    ) = None
    files: dict[str, File] = Field(default={})
    given: dict[str, Reasoned[str]] = Field(default={})
    dashed: str = Field(default="", alias="dash-ed")

    @field_validator("text")
    @classmethod
    def _not_bad(cls, text: str) -> str:
        if text == "bad":
            raise ValueError("'bad' is not good; perhaps 'good'")
        return text

    @model_validator(mode="after")
    def _text_and_files(self) -> Everything:
        if self.text == "alone":
            raise ValueError("files.x.y.path is alone; so it is; files.z has no friend")
        if self.text == "whole":
            raise ValueError("text and number belong together")
        return self


def problems(text: str, model: type[BaseModel] = Everything) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        validate(model, parse(text, "f.yaml"))
    assert caught.value.code is ExitCode.RECIPE
    return [str(problem) for problem in caught.value.problems]


def test_a_good_document_becomes_its_model() -> None:
    recipe = validate(Recipe, parse(GOOD, "f.yaml"))
    assert recipe.python == ("3.10", "3.13")
    assert validate(Everything, parse("real: 1.5\n", "f")).real == 1.5


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        # keys
        ("flagg: true", "1:1: unknown key 'flagg'; perhaps you meant 'flag'"),
        ("dashed: x", "1:1: unknown key 'dashed'; perhaps you meant 'dash-ed'"),
        (
            "files: {x: {path: a, zz: 1}}",
            "1:22: files.x: unknown key 'zz'; known here: mode, path",
        ),
        ("files:\n  x: {}", "2:3: files.x: required key 'path' is missing"),
        ("files:\n  x: {pat: a}", "2:7: files.x: unknown key 'pat'; perhaps you meant 'path'"),
        ("given: {X: {value: a, reasn: b}}",
         "1:23: given.X: unknown key 'reasn'; perhaps you meant 'reason'"),
        # types
        ("names: x", "1:8: names: should be a list, is the string 'x'; perhaps [x]"),
        ("names: 3", "1:8: names: should be a list, is the number 3; perhaps [3]"),
        ("names: a b", "1:8: names: should be a list, is the string 'a b'"),
        ("names:", "1:7: names: should be a list, is empty; leave the key out, or write []"),
        ("names:\n  a: b",
         "2:3: names: should be a list, is a mapping; each entry of a list begins with '- '"),
        ("names: [a, 3]",
         '1:12: names[1]: should be a string, is the number 3; put it in quotes: "3"'),
        ("text: true", '1:7: text: should be a string, is true; put it in quotes: "true"'),
        ("given: {X: 3}",
         '1:12: given.X: should be a string, is the number 3; put it in quotes: "3"'),
        ("given: {X: {value: [a]}}", "1:20: given.X.value: should be a string, is a list"),
        ("number: x", "1:9: number: should be a whole number, is the string 'x'"),
        ("real: x", "1:7: real: should be a number, is the string 'x'"),
        ("flag: maybe", "1:7: flag: should be true or false, is the string 'maybe'"),
        ("flag: [a]", "1:7: flag: should be true or false, is a list"),
        ("files: [a]", "1:8: files: should be a mapping, is a list"),
        ("files: x:1",
         "1:8: files: should be a mapping, is the string 'x:1'; " + BLANK),
        ("pair: [1, 2]",
         '1:11: pair[1]: should be a string, is the number 2; put it in quotes: "2"'),
        # values
        ("kind: cdua", "1:7: kind: unknown kind 'cdua'; perhaps you meant 'cuda'"),
        ("kind: tpu", "1:7: kind: unknown kind 'tpu'; known here: cuda, rocm"),
        ("listed: gc", "1:9: listed: unknown listed 'gc'; perhaps you meant 'gcc'"),
        ("shaped: ab", "1:9: shaped: 'ab' does not fit the pattern ^[a-z]-[a-z]$"),
        ("text: bad", "1:7: text: 'bad' is not good; perhaps 'good'"),
        ("some: []", "1:7: some: should have at least 1 entry, has 0"),
        ("some: [1, 2, 3]", "1:7: some: should have at most 2 entries, has 3"),
        # whole models
        ("text: whole", "1:1: text and number belong together"),
        ("hello", "1:1: should be a mapping, is the string 'hello'"),
        ("[a]", "1:1: should be a mapping, is a list"),
    ],
)  # fmt: skip
def test_each_way_of_being_wrong_has_its_words_and_its_place(text: str, problem: str) -> None:
    assert problems(text + "\n") == [f"f.yaml:{problem}"]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("inner: {path: a, mod: r}",
         "1:18: inner: unknown key 'mod'; perhaps you meant 'mode'"),
        ("inner: {link: a, targt: r}",
         "1:18: inner: unknown key 'targt'; perhaps you meant 'target'"),
        ("inner: {link: a}", "1:1: inner: required key 'target' is missing"),
        ("inner: {path: a, mode: x}", "1:24: inner.mode: unknown mode 'x'; known here: r, w"),
        ("inner: 3", "1:8: inner: should be a mapping, is the number 3"),
        ("either: 3",
         '1:9: either: should be a list or a string, is the number 3; put it in quotes: "3"'),
        ("either: [a, 3]",
         '1:13: either[1]: should be a string, is the number 3; put it in quotes: "3"'),
        ("thing: {tree: 1, leef: 2}",
         "1:18: thing: unknown key 'leef'; perhaps you meant 'leaf'"),
        ("thing: {tre: 1}",
         "1:1: thing: is no thing: it needs tree or rock; perhaps 'tre' should be 'tree'"),
        ("thing: {tree: x}", "1:15: thing.tree: should be a whole number, is the string 'x'"),
        ("pets: [{pet: cat, lifes: 9}]",
         "1:19: pets[0]: unknown key 'lifes'; perhaps you meant 'lives'"),
    ],
)  # fmt: skip
def test_of_a_union_only_the_branch_that_was_meant_is_told(text: str, problem: str) -> None:
    assert problems(text + "\n") == [f"f.yaml:{problem}"]


def test_what_a_validator_says_about_several_keys_is_told_where_they_stand() -> None:
    text = "text: alone\nfiles:\n  x.y:\n    path: a\n  z:\n    path: b\n"
    assert problems(text) == [
        "f.yaml:4:11: files.x.y.path: is alone; so it is",
        "f.yaml:5:3: files.z: has no friend",
    ]


def test_every_problem_of_a_recipe_is_told_in_the_order_of_the_file() -> None:
    text = f"""\
package: Demo!
python: 3.10
env: {{"A B": x, JOBS: 4}}
versions:
  1.0.0:
    source: {{git: "https://example.org/x", comit: abc}}
  2.0.0:
    source: {{sdist: {SHA}}}
    patches: [{{fil: x.patch}}]
variants:
  cuda:
    toolchain: cuda-12.9
    achs: [sm_86]
  rocm:
"""
    assert problems(text, Recipe) == [
        f"f.yaml:1:10: package: 'Demo!' is not {NAME}",
        "f.yaml:2:9: python: should be a list, is the string '3.10'; perhaps [3.10]",
        "f.yaml:3:7: env.'A B': 'A B' is not an environment variable's name",
        'f.yaml:3:23: env.JOBS: should be a string, is the number 4; put it in quotes: "4"',
        "f.yaml:6:44: versions.1.0.0.source: unknown key 'comit'; perhaps you meant 'commit'",
        "f.yaml:9:16: versions.2.0.0.patches[0]: unknown key 'fil'; perhaps you meant 'file'",
        "f.yaml:13:5: variants.cuda: unknown key 'achs'; perhaps you meant 'archs'",
        "f.yaml:14:8: variants.rocm: should be a mapping, is empty",
    ]


JSON = st.recursive(
    st.text(st.characters(categories=["L", "N"]), max_size=5)
    | st.integers(-9, 9) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from([*Everything.model_fields, *Recipe.model_fields, "value", "[key]", "x",
                         "pet", "cat", "tree", "rock", "path", "link", "sdist", "toolchain"]),
        inner, max_size=5,
    ),
    max_leaves=25,
)  # fmt: skip


@given(
    st.dictionaries(st.sampled_from([*Everything.model_fields, *Recipe.model_fields]), JSON),
    st.sampled_from([Everything, Recipe, Toolchain, Base]),
)
def test_whatever_stands_in_a_file_is_a_model_or_problems_inside_of_it(
    data: dict[str, object], model: type[BaseModel]
) -> None:
    text = json.dumps(data, ensure_ascii=False, indent=1)
    try:
        validate(model, parse(text, "f.yaml"))
    except RecipeError as error:
        lines = text.split("\n")
        told = error.problems
    else:
        return
    assert told
    for problem in told:
        assert problem.what
        assert problem.place is not None
        assert problem.place.line is not None
        assert problem.place.column is not None
        assert problem.place.line <= len(lines)
        assert problem.place.column <= len(lines[problem.place.line - 1]) + 1
