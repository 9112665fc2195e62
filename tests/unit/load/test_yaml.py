from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml as pyyaml
from hypothesis import example, given
from hypothesis import strategies as st

from farm.errors import ExitCode, Problem, RecipeError
from farm.load import values
from farm.load import yaml as loader
from farm.load.places import MAX_PROBLEMS, dotted
from farm.load.values import MAX_VALUES
from farm.load.yaml import MAX_BYTES, Document
from tests.support.documents import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

RECIPE = """\
package: demo
versions:
  1.0:
    archs: [sm_86, sm_90]
variants:
  cuda:
    archs:
      - sm_86
    note:
"""

TAG_HINT = "leave it out; quotes make text, and bare words the rest"
STAR_HINT = "a value that begins with '*' wants quotes"


def problems_of(text: bytes | str) -> tuple[Problem, ...]:
    with pytest.raises(RecipeError) as caught:
        parse(text, "f.yaml")
    assert caught.value.code is ExitCode.RECIPE
    return caught.value.problems


def only(text: bytes | str) -> str:
    (problem,) = problems_of(text)
    return str(problem)


@pytest.fixture(params=["fast", "pure"], autouse=True, scope="module")
def either_parser(request: pytest.FixtureRequest) -> Iterator[None]:
    """Every claim holds with libyaml and without it."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "pure":
            patch.setattr(loader, "_Parser", pyyaml.SafeLoader)
        yield


@pytest.mark.parametrize(
    "text",
    ["on", "off", "yes", "No", "y", "3.10", "1e5", "010", "0x1f", "1_000", "12:30", "2026-05-16",
     ".inf", "=", "0123456789012345678901234567890123456789", "1234567890123456789012"],
)  # fmt: skip
def test_what_looks_like_something_else_stays_what_was_typed(text: str) -> None:
    assert parse(f"key: {text}\n", "f").value == {"key": text}
    assert parse(f"- {text}\n", "f").value == [text]


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("FALSE", False), ("null", None), ("~", None), ("", None), ("0", 0),
     ("42", 42), ("-7", -7), ("'42'", "42"), ('"true"', "true"), ("''", "")],
)  # fmt: skip
def test_a_few_words_and_plain_integers_are_more_than_text(text: str, value: object) -> None:
    found = parse(f"key: {text}\n", "f").value
    assert isinstance(found, dict)
    assert found["key"] == value
    assert type(found["key"]) is type(value)


@pytest.mark.parametrize("key", ["on", "yes", "3.10", "12:30", '"true"', '"3"', "sm_86"])
def test_a_key_that_looks_like_something_else_is_text(key: str) -> None:
    assert parse(f"{key}: x\n", "f").value == {key.strip('"'): "x"}


@pytest.mark.parametrize("key", ["true", "3", "null"])
def test_a_key_that_is_not_text_is_refused_with_the_remedy(key: str) -> None:
    expected = f'f.yaml:2:3: a: a key must be text, and {key} is not; put it in quotes: "{key}"'
    assert only(f"a:\n  {key}: x\n") == expected


def test_a_list_or_mapping_as_key_is_refused() -> None:
    assert only("[1, 2]: x\n") == "f.yaml:1:1: a key must be text, and this is a list"
    assert only("? {a: b}\n: x\n") == "f.yaml:1:3: a key must be text, and this is a mapping"


def test_every_part_has_a_place_and_so_has_its_key() -> None:
    document = parse(RECIPE, "f.yaml")
    assert str(document.place(())) == "f.yaml:1:1"
    assert str(document.place(("package",))) == "f.yaml:1:10"
    assert str(document.place(("package",), key=True)) == "f.yaml:1:1"
    assert str(document.place(("versions", "1.0", "archs", 1))) == "f.yaml:4:20"
    assert str(document.place(("variants", "cuda"), key=True)) == "f.yaml:6:3"
    assert str(document.place(("variants", "cuda", "archs", 0))) == "f.yaml:8:9"
    assert str(document.place(("variants", "cuda", "note"))) == "f.yaml:9:10"


def test_a_path_that_is_not_there_gives_the_place_of_what_encloses_it() -> None:
    document = parse(RECIPE, "f.yaml")
    assert document.place(("variants", "rocm", "archs")) == document.place(("variants",))
    assert document.place(("variants", "cuda", "archs", 7)) == document.place(
        ("variants", "cuda", "archs")
    )


def test_a_duplicate_key_is_told_with_both_places() -> None:
    assert only("a:\n  x: 1\n  y: 2\n  x: 3\n") == (
        "f.yaml:4:3: a: duplicate key 'x', first at f.yaml:2:3"
    )


def test_all_that_is_refused_is_told_at_once() -> None:
    text = 'a: 1\na: 2\nb: {c: 1, c: 2}\nd: !!python/name:x y\n<<: {}\ne: ["\\0"]\n'
    assert [str(problem) for problem in problems_of(text)] == [
        "f.yaml:2:1: duplicate key 'a', first at f.yaml:1:1",
        "f.yaml:3:11: b: duplicate key 'c', first at f.yaml:3:5",
        "f.yaml:4:4: d: the tag '!!python/name:x' is not accepted; " + TAG_HINT,
        "f.yaml:5:1: merge keys ('<<') are not accepted; write the settings out",
        "f.yaml:6:5: e[0]: holds the control character U+0000",
    ]


def test_an_alias_stands_for_its_anchor_and_what_is_wrong_in_it_is_told_once() -> None:
    assert parse("a: &x [1, 2]\nb: *x\n", "f").value == {"a": [1, 2], "b": [1, 2]}
    assert only("a: &x {k: 1, k: 2}\nb: *x\nc: *x\n").startswith("f.yaml:1:14: a: duplicate key")


def test_aliases_that_swell_are_refused() -> None:
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for name, inner in zip("bcdefghij", "abcdefghi", strict=True):
        lines.append(f"{name}: &{name} [{', '.join([f'*{inner}'] * 9)}]")
    assert f"holds more than {MAX_VALUES:,} values" in only("\n".join(lines))


def test_an_alias_that_holds_itself_is_refused() -> None:
    told = "'*x' is an alias of what it stands in"
    assert only("a: &x [*x]\n") == f"f.yaml:1:8: a[0]: {told}"
    assert only("a: &x {b: *x}\n") == f"f.yaml:1:11: a.b: {told}"


def test_an_alias_nests_as_deep_as_what_it_stands_for() -> None:
    deep = f"&x {'[' * 25}{']' * 25}"
    assert parse(f"[{deep}, {'[' * 24}*x{']' * 24}]", "f")
    assert "nested more than 50 levels" in only(f"[{deep}, {'[' * 25}*x{']' * 25}]")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a: *b", "f.yaml:1:4: a: '*b' is an alias of nothing before it; " + STAR_HINT),
        ("a: &x 1\nb: &x 2\n", "f.yaml:2:4: b: an anchor of the name 'x' was defined before"),
        ("- &x [1]\n- {*x : 1}\n",
         'f.yaml:2:4: [1]: a key must be text, and *x is not; put it in quotes: "*x"'),
        ("! a: 1", "f.yaml:1:1: the tag '!' is not accepted; " + TAG_HINT),
    ],
)  # fmt: skip
def test_anchors_and_tags_that_do_not_fit_are_told(text: str, told: str) -> None:
    assert only(text) == told


def test_the_last_that_is_taken_is_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    deepest = "[" * 50 + "]" * 50
    assert parse(deepest, "f")
    assert "nested more than 50 levels deep" in only(f"[{deepest}]")
    monkeypatch.setattr(values, "MAX_VALUES", 5)
    assert parse("{a: 1, b: 2}", "f").value == {"a": 1, "b": 2}
    for text in ("{a: 1, b: [2]}", "[1, 2, 3, 4, 5]", "{a: 1, b: 2, c: 3}", "[&x [1], *x, 2]"):
        assert "holds more than 5 values" in only(text)


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "{a: " * 60, "? " * 60])
def test_bottomless_nesting_is_refused(text: str) -> None:
    assert "nested more than 50 levels deep" in str(problems_of(text)[-1])


def test_too_many_values_are_refused() -> None:
    assert f"holds more than {MAX_VALUES:,} values" in only("- a\n" * (2 * MAX_VALUES + 10))


def test_a_large_file_is_refused_with_its_size_before_it_is_read() -> None:
    expected = "f.yaml: the file is too large: 10,000,000 bytes, and at most 1,048,576 are read"
    assert only(b"x" * 10_000_000) == expected
    assert only("x" * 10_000_000) == expected
    assert "too large" in only("é" * (MAX_BYTES // 2 + 1))


@pytest.mark.parametrize("text", ["", "\n", "# only words\n", "---\n", "\ufeff", b""])
def test_an_empty_file_is_a_problem(text: bytes | str) -> None:
    assert "the file is empty" in only(text)


def test_more_than_one_document_is_a_problem() -> None:
    assert only("a: 1\n---\nb: 2\n").startswith("f.yaml:2:1: holds more than one document")


def test_bytes_that_are_not_utf8_are_told_with_their_place() -> None:
    assert only("a: 1\né: ".encode() + b"\xff\n") == (
        "f.yaml:2:4: byte 0xff is not UTF-8; save the file as UTF-8"
    )
    assert "is not UTF-8" in only("a: 1".encode("utf-16"))


@pytest.mark.parametrize(
    ("character", "code"),
    [("\0", "0000"), ("\x1b", "001B"), ("\x7f", "007F"), ("\x85", "0085"), ("\u2028", "2028"),
     ("\u202e", "202E"), ("\ufeff", "FEFF"), ("\r", "000D")],
)  # fmt: skip
def test_a_character_that_nobody_sees_is_told_with_its_place(character: str, code: str) -> None:
    assert only(f"a: 1\nb: x{character}y\n") == (
        f"f.yaml:2:5: holds the control character U+{code}"
    )


@pytest.mark.parametrize("text", ["\ta: 1\n", "a:\n\tb: 1\n"])
def test_a_tab_as_indentation_is_told_as_such(text: str) -> None:
    assert "a tab cannot indent or begin a value; use spaces" in only(text)


def test_windows_line_ends_and_a_byte_order_mark_are_no_matter() -> None:
    document = parse(b"\xef\xbb\xbfa: 1\r\nb:\r\n  c: x\r\n", "f.yaml")
    assert document.value == {"a": 1, "b": {"c": "x"}}
    assert str(document.place(("b", "c"))) == "f.yaml:3:6"


@pytest.mark.parametrize(
    "text",
    ["a: b: c", "a: [1", "a: 'x", "a:\n  b: 1\n c: 2\n", "a: *b", "x: @foo", "{a: 1}}",
     "a: &x 1\nb: &x 2\n", '"\\ud800"', "%YAML 3.0\n---\na: 1", "a\nb: c", "!<tag"],
)  # fmt: skip
def test_a_syntax_error_is_one_problem_with_a_place(text: str) -> None:
    (problem,) = problems_of(text)
    assert problem.place is not None
    assert problem.place.line is not None


def test_problems_without_end_are_cut_short() -> None:
    told = problems_of("".join(f"k{i}: !x y\n" for i in range(MAX_PROBLEMS + 50)))
    assert len(told) == MAX_PROBLEMS + 1
    assert str(told[-1]) == "f.yaml: and 50 more problems"


def test_a_path_reads_as_people_write_it() -> None:
    assert dotted(("variants", "cuda", "archs", 0)) == "variants.cuda.archs[0]"
    assert dotted(("env", "A B", "x")) == "env.'A B'.x"
    assert dotted(()) == ""


def test_reading_yaml_does_not_import_pydantic() -> None:
    code = "import sys, farm.load.yaml; raise SystemExit('pydantic' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def check_places(error: RecipeError, text: str) -> None:
    assert error.problems
    lines = text.removeprefix("\ufeff").split("\n")
    for problem in error.problems:
        assert problem.place is not None
        if problem.place.line is not None:
            assert 1 <= problem.place.line <= len(lines)
            assert problem.place.column is not None
            assert 1 <= problem.place.column <= len(lines[problem.place.line - 1]) + 1


def parsed(text: bytes | str) -> Document | None:
    try:
        return parse(text, "f.yaml")
    except RecipeError as error:
        check_places(error, text if isinstance(text, str) else text.decode("utf-8", "replace"))
        return None


NOISE = st.text() | st.text(alphabet="ab0 \n\t\r:-?[]{},&*!|>'\"%@#<~\\\ufeff\x85é", max_size=60)


@given(NOISE)
@example("&a [*a]")
@example("a: &b [&b 1]")
@example("? [&a 1]\n: *a")
@example(";\t:")  # of which libyaml and PyYAML think differently
def test_any_text_is_a_document_or_a_recipe_error(text: str) -> None:
    document = parsed(text)
    if document is not None:
        assert str(document.place(())).startswith("f.yaml:")


@given(st.binary(max_size=60))
def test_any_bytes_are_a_document_or_a_recipe_error(text: bytes) -> None:
    parsed(text)


CLEAN = st.text(
    st.characters(
        exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Cn"], include_characters="\n\t"
    ),
    max_size=20,
)
SCALARS = CLEAN | st.integers(-(10**17), 10**17) | st.booleans() | st.none()
STRUCTURES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(CLEAN, inner, max_size=4)
)


def paths(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    items: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    return [path, *(each for key, inner in items for each in paths(inner, (*path, key)))]


@given(STRUCTURES.filter(lambda value: value is not None), st.sampled_from([None, 2]))
def test_what_json_writes_is_read_as_it_was(value: object, indent: int | None) -> None:
    document = parse(json.dumps(value, ensure_ascii=False, indent=indent), "f.json")
    assert document.value == value
    assert type(document.value) is type(value)
    places = [document.place(path) for path in paths(value)]
    # Each value begins where no sibling does, and never before what encloses it.
    assert places == sorted(places, key=lambda place: (place.line or 0, place.column or 0))
