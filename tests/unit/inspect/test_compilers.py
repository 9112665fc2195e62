"""Which compiler was really used, against the one that is pinned."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from farm.inspect.compilers import check_compilers, parse_compilers
from farm.model.compiler import Compiler

GCC = ("gcc", "14")
CLANG = ("clang", "21")


def used(language: str, family: str, version: str) -> Compiler:
    return Compiler(
        folder="/build/x/build", language=language, path="/usr/bin/cc", family=family,
        version=version,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("compiler", "pinned"),
    [
        (used("C", "GNU", "14.2.0"), GCC),
        (used("CXX", "GNU", "14"), GCC),
        (used("CUDA host", "GNU", "14.2.0"), GCC),
        (used("CUDA", "NVIDIA", "13.0.88"), GCC),  # the toolkit's own, not the host compiler
        (used("HIP", "Clang", "19.1.7"), GCC),
        (used("CXX", "Clang", "21.1.8"), CLANG),
        (used("HIP", "Clang", "21.1.8"), CLANG),
    ],
)
def test_the_pinned_compiler_is_no_finding(compiler: Compiler, pinned: tuple[str, str]) -> None:
    assert list(check_compilers([compiler], pinned)) == []


@pytest.mark.parametrize(
    ("compiler", "pinned", "called"),
    [
        (used("C", "GNU", "13.3.0"), GCC, "GNU 13.3.0"),
        (used("CXX", "GNU", "1.4"), GCC, "GNU 1.4"),
        (used("CXX", "Clang", "14.0.6"), GCC, "Clang 14.0.6"),
        (used("CUDA host", "GNU", "12.4.0"), GCC, "GNU 12.4.0"),
        (used("CUDA host", "", ""), GCC, "an unknown compiler"),
        (used("HIP", "Clang", "17.0.6"), CLANG, "Clang 17.0.6"),
    ],
)
def test_another_compiler_is_one(compiler: Compiler, pinned: tuple[str, str], called: str) -> None:
    (finding,) = check_compilers([compiler], pinned)
    assert finding.code == "host-compiler"
    assert f"({called}); the toolchain pins {'-'.join(pinned)}" in finding.message


def test_what_the_container_writes_is_read() -> None:
    found = used("C", "GNU", "14.2.0")
    assert parse_compilers([asdict(found)]) == (found,)
    assert parse_compilers([]) == ()


@pytest.mark.parametrize(
    "data",
    [None, {}, "x", [1], [{"folder": "x"}], [{**asdict(used("C", "", "")), "more": ""}],
     [{**asdict(used("C", "", "")), "version": 14}]],
)  # fmt: skip
def test_anything_else_is_refused(data: object) -> None:
    with pytest.raises(ValueError, match=r"[cC]ompiler"):
        parse_compilers(data)
