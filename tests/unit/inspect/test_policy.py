"""Judging wheels: what is an error, what is not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from farm.inspect.device_policy import matches
from farm.inspect.facts import WheelFacts, WheelProblem
from farm.inspect.findings import Severity
from farm.inspect.policy import Asked, check
from farm.model.unit import Expected

ANY = Expected(extensions=None, tag=None)
FACTS = WheelFacts(
    path=Path("vllm-0.22.0-cp313-cp313-linux_x86_64.whl"),
    sha256="0" * 64,
    size_bytes=1,
    name="vllm",
    version="0.22.0",
    build="",
    tags=("cp313-cp313-linux_x86_64",),
    metadata_name="vllm",
    metadata_version="0.22.0",
    requires=(),
    wheel_tags=("cp313-cp313-linux_x86_64",),
    file_count=3,
    unpacked_bytes=10,
    shared_objects=("vllm/_C.abi3.so", "vllm/_moe_C.abi3.so"),
    problems=(),
    licences=("vllm-0.22.0.dist-info/licenses/LICENSE",),
)


def judged(
    facts: WheelFacts,
    expected: Expected = ANY,
    *,
    package: str = "vllm",
    version: str = "0.22.0",
    python: str = "3.13",
) -> dict[str, str]:
    asked = Asked(package=package, version=version, python=python, accelerator="cpu")
    return {finding.code: finding.message for finding in check(facts, expected, asked)}


def tagged(*tags: str, shared_objects: tuple[str, ...] = ()) -> WheelFacts:
    return replace(FACTS, tags=tags, wheel_tags=tags, shared_objects=shared_objects)


def versioned(version: str) -> WheelFacts:
    return replace(FACTS, version=version, metadata_version=version)


def test_nothing_is_found_in_the_wheel_that_was_asked_for() -> None:
    assert judged(FACTS) == {}


@pytest.mark.parametrize(
    ("got", "asked"),
    [
        ("0.22.0+empty", "0.22.0"),
        ("0.22.0+rocm7.2", "0.22.0+rocm7.2"),
        ("0.22.0+rocm7.2", "0.22.0+rocm7-2"),
        ("1.0", "1.0.0"),
        ("1.0rc1", "1.0.rc1"),
    ],
)
def test_versions_are_the_same_where_pep_440_says_so(got: str, asked: str) -> None:
    assert judged(versioned(got), version=asked) == {}


@pytest.mark.parametrize(
    ("got", "asked"),
    [
        ("0.22.1", "0.22.0"),
        ("0.22.0", "0.22.0+rocm7.2"),
        ("0.22.0+cpu", "0.22.0+rocm7.2"),
        ("0.22.0.dev1", "0.22.0"),
        ("0.22.0.post1+empty", "0.22.0"),
        ("0.22.0", "0.22.x"),
    ],
)
def test_another_version_is_an_error(got: str, asked: str) -> None:
    assert list(judged(versioned(got), version=asked)) == ["version"]


def test_another_package_is_an_error_and_spelling_is_not() -> None:
    assert judged(FACTS, package="torch") == {"name": "is a wheel of vllm, not of torch"}
    other = replace(FACTS, name="flash-attn", metadata_name="Flash_Attn")
    assert judged(other, package="flash-attn") == {}


def test_metadata_that_contradicts_the_file_name_is_an_error() -> None:
    wrong = replace(FACTS, metadata_name="torch", metadata_version="1", wheel_tags=())
    assert list(judged(wrong)) == ["metadata-name", "metadata-version", "wheel-tags"]
    assert list(judged(replace(FACTS, metadata_version="no version"))) == ["metadata-version"]


@pytest.mark.parametrize(
    "tags",
    [
        ("cp313-cp313-linux_x86_64",),
        ("cp313-cp313-manylinux_2_28_x86_64",),
        ("cp313-cp313-manylinux2014_x86_64", "cp313-cp313-manylinux_2_17_x86_64"),
        ("cp39-abi3-linux_x86_64",),
        ("cp313-abi3-linux_x86_64",),
        ("py3-none-linux_x86_64",),
        ("py3-none-any",),
        ("py2-none-any", "py3-none-any"),
        ("py311-none-any",),
        ("cp313-none-any",),
    ],
)
def test_tags_that_python_313_takes(tags: tuple[str, ...]) -> None:
    assert judged(tagged(*tags)) == {}


@pytest.mark.parametrize(
    "tag",
    [
        "cp312-cp312-linux_x86_64",
        "cp314-cp314-linux_x86_64",
        "cp313-cp313t-linux_x86_64",
        "cp314-abi3-linux_x86_64",
        "cp312-none-any",
        "py314-none-any",
        "py2-none-any",
        "pp311-pypy311_pp73-linux_x86_64",
    ],
)
def test_a_wheel_for_another_python_is_never_served(tag: str) -> None:
    assert list(judged(tagged(tag))) == ["tag-python"]


def test_the_python_is_the_units() -> None:
    older = tagged("cp312-cp312-linux_x86_64")
    assert judged(older, python="3.12") == {}
    assert list(judged(FACTS, python="3.12")) == ["tag-python"]


@pytest.mark.parametrize(
    "platform",
    ["linux_aarch64", "macosx_14_0_arm64", "win_amd64", "musllinux_1_2_x86_64", "linux_x86_64_v3"],
)
def test_another_platform_is_an_error(platform: str) -> None:
    assert list(judged(tagged(f"cp313-cp313-{platform}"))) == ["tag-platform"]


def test_a_tag_that_is_expected_must_be_the_whole_tag() -> None:
    expected = Expected(extensions=None, tag="py3-none-any")
    assert judged(tagged("py3-none-any"), expected) == {}
    assert list(judged(tagged("py2-none-any", "py3-none-any"), expected)) == ["tag-expected"]
    both = Expected(extensions=None, tag="py2.py3-none-any")
    assert judged(tagged("py2-none-any", "py3-none-any"), both) == {}


def test_native_code_in_a_wheel_for_any_platform_is_a_warning() -> None:
    facts = tagged("py3-none-any", shared_objects=("vllm/_C.abi3.so",))
    asked = Asked(package="vllm", version="0.22.0", python="3.13", accelerator="cpu")
    findings = check(facts, ANY, asked)
    assert [(f.code, f.severity) for f in findings] == [("tag-any", Severity.WARNING)]


def test_shared_objects_are_exactly_those_that_are_expected() -> None:
    assert judged(FACTS, Expected(extensions=FACTS.shared_objects, tag=None)) == {}
    assert judged(FACTS, Expected(extensions=("vllm/*.so",), tag=None)) == {}


def test_missing_and_unexpected_shared_objects_are_two_findings_with_names() -> None:
    expected = Expected(extensions=("vllm/_C.*.so", "vllm/_flash.*.so"), tag=None)
    assert judged(FACTS, expected) == {
        "extension-missing": "does not hold vllm/_flash.*.so, which the recipe expects",
        "extension-unexpected": "holds vllm/_moe_C.abi3.so, which the recipe does not expect",
    }


def test_an_optional_extension_that_was_silently_left_out_is_an_error() -> None:
    expected = Expected(extensions=("vllm/_C.abi3.so",), tag=None)
    assert list(judged(replace(FACTS, shared_objects=()), expected)) == ["extension-missing"]


def test_none_expected_means_none() -> None:
    none = Expected(extensions=(), tag=None)
    assert list(judged(FACTS, none)) == ["extension-unexpected"]
    assert judged(replace(FACTS, shared_objects=()), none) == {}


@pytest.mark.parametrize(
    ("path", "pattern", "same"),
    [
        ("vllm/_C.cpython-313-x86_64-linux-gnu.so", "vllm/_C.*.so", True),
        ("vllm/_C/hidden.so", "vllm/_C*.so", False),
        ("vllm/_C.so", "_C.so", False),
        ("vllm/_c.so", "vllm/_C.so", False),
    ],
)
def test_a_star_stays_within_one_name(path: str, pattern: str, *, same: bool) -> None:
    assert matches(path, pattern) is same


def test_what_the_wheel_contradicts_itself_in_is_an_error_with_a_few_names() -> None:
    names = tuple(f"a{number:02}.py" for number in range(20))
    problem = WheelProblem(code="record-unlisted", message="not listed in RECORD", members=names)
    message = judged(replace(FACTS, problems=(problem,)))["record-unlisted"]
    assert message.startswith("not listed in RECORD: a00.py, a01.py")
    assert message.endswith("a07.py and 12 more")


def test_what_was_not_read_is_not_judged() -> None:
    unread = replace(
        FACTS,
        problems=(WheelProblem(code="bomb", message="too much"),),
        metadata_name="",
        metadata_version="",
        wheel_tags=(),
        shared_objects=(),
    )
    expected = Expected(extensions=("vllm/_C.abi3.so",), tag=None)
    assert judged(unread, expected) == {"bomb": "too much"}
