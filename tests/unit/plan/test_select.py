"""Selectors: what may be typed, and that a unit's label means the unit again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import ExitCode, UsageError
from farm.plan.select import (
    MAX_LENGTH,
    Selector,
    parse_selector,
    parse_variant,
    variant_label,
    whole_archs,
)

NAMES = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
ARCHS = st.from_regex(r"(?!py3)[a-z][a-z0-9_]{1,10}", fullmatch=True)
PACKAGES = st.from_regex(r"[a-z0-9](?:-?[a-z0-9]){0,20}", fullmatch=True)
VERSIONS = st.from_regex(r"[0-9][0-9a-z.+!]{0,10}", fullmatch=True)
PYTHONS = st.integers(0, 99).map(lambda minor: f"3.{minor}")

HOSTILE = [
    "",
    " ",
    "vllm ",
    "-x",
    ".hidden",
    "../../etc/passwd",
    "vllm/../x",
    "vllm:cuda; rm -rf /",
    "vllm@1.0 :cpu",
    "vllm@:cpu",
    "vllm:",
    "vllm@1@2:cpu",
    "vllm:cpu:cpu",
    "vllm\n",
    "vllm:cpu\n",
    "vl\0lm",
    "\uff56llm",
    "a" * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_no_selector_is_a_usage_error_that_shows_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="is no selector") as caught:
        parse_selector(text)
    assert caught.value.code is ExitCode.USAGE
    assert "package[@version][:variant]" in caught.value.hint
    assert len(caught.value.message) < 400


@pytest.mark.parametrize(
    "text",
    [
        "",
        "CUDA",
        "cuda-",
        "cuda--sm_86",
        "cuda+",
        "cuda+~x",
        "cuda-py3",
        "cuda-py3133",
        "cuda-py313-sm_86",
        "../cuda",
        "cuda;id",
        "$(id)",
        "`id`",
        "cuda\n",
        "a" * (MAX_LENGTH + 1),
    ],
)
def test_what_is_no_variant_is_a_usage_error_that_shows_the_form(text: str) -> None:
    with pytest.raises(UsageError, match="is no variant") as caught:
        parse_variant(text)
    assert "name[-arch…]" in caught.value.hint


@pytest.mark.parametrize("text", ["empty+rust~rust", "empty+rust+rust", "a~x+y~x"])
def test_a_feature_is_named_once(text: str) -> None:
    with pytest.raises(UsageError, match="twice"):
        parse_variant(text)


@pytest.mark.parametrize("name", ["Llama_CPP.python", "llama-cpp-python", "llama__cpp--PYTHON"])
def test_package_names_are_normalized_as_the_index_does(name: str) -> None:
    assert parse_selector(name) == Selector(package="llama-cpp-python")


def test_3_10_is_not_3_1() -> None:
    assert parse_variant("cpu-py310").python == "3.10"
    assert parse_variant("cpu-py31").python == "3.1"
    labels = {
        variant_label("cpu", archs=None, features=(), python=python)
        for python in ("3.1", "3.10", "3.11", None)
    }
    assert labels == {"cpu-py31", "cpu-py310", "cpu-py311", "cpu"}


@given(PACKAGES, st.none() | VERSIONS, st.none() | NAMES)
def test_a_selector_is_read_back_from_its_text(
    package: str, version: str | None, variant: str | None
) -> None:
    text = package + (f"@{version}" if version else "") + (f":{variant}" if variant else "")
    assert parse_selector(text) == Selector(package=package, version=version, variant=variant)


@given(
    NAMES,
    st.lists(ARCHS, max_size=4, unique=True),
    st.dictionaries(NAMES, st.booleans(), max_size=4),
    st.none() | PYTHONS,
)
def test_a_variants_label_is_read_back_and_is_the_same_in_any_order(
    name: str, archs: list[str], features: dict[str, bool], python: str | None
) -> None:
    label = variant_label(
        name, archs=tuple(archs), features=tuple(features.items()), python=python
    )
    read = parse_variant(label)
    assert (read.name, dict(read.features), read.python) == (name, features, python)
    assert read.archs == tuple(sorted(archs))
    again = variant_label(read.name, archs=read.archs, features=read.features, python=read.python)
    assert again == label
    backwards = tuple(reversed(features.items()))
    assert label == variant_label(
        name, archs=tuple(reversed(archs)), features=backwards, python=python
    )
    assert parse_selector(f"demo@1:{label}").variant == label


@given(st.text(max_size=40))
def test_whatever_is_typed_is_a_selector_or_a_usage_error(text: str) -> None:
    try:
        selector = parse_selector(text)
        if selector.variant is not None:
            parse_variant(selector.variant)
    except UsageError:
        return
    assert "/" not in selector.package
    assert not selector.package.startswith((".", "-"))


def test_architectures_that_hold_a_dash_are_put_together_again() -> None:
    known = ("gfx9-generic", "gfx9-4-generic", "gfx942", "gfx9")
    parts = parse_variant("rocm-gfx9-generic-gfx942-gfx9-4-generic-gfx9-other").archs
    found = whole_archs(parts, known)
    assert found == ("gfx9-generic", "gfx942", "gfx9-4-generic", "gfx9", "other")


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_]{1,4}(-[a-z0-9]{1,3}){0,2}", fullmatch=True)))
def test_no_part_of_an_architecture_is_lost(archs: list[str]) -> None:
    parts = tuple("-".join(archs).split("-")) if archs else ()
    assert "-".join(whole_archs(parts, tuple(archs))) == "-".join(archs)
