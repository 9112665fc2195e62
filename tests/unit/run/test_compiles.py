"""What the calls of a unit come to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.events import CompilerCalls
from farm.run.compiles import at_once, compiled_of, driver, summed_up, totals
from tests.support.calls import call, write_calls

if TYPE_CHECKING:
    from pathlib import Path

UNIT = "demo@1.0:cpu"


@pytest.mark.parametrize(
    ("compiler", "name"),
    [
        ("x86_64-linux-gnu-g++-14", "g++"), ("gcc", "gcc"), ("gcc-13.2", "gcc"),
        ("nvcc", "nvcc"), ("clang++-17", "clang++"), ("amdclang++", "amdclang++"),
        ("rustc", "rustc"), ("gfortran-14", "gfortran"), ("x86_64-w64-mingw32-g++", "g++"),
        ("ld.lld", "ld.lld"), ("", ""), ("14", "14"), ("-" * 5000, "-" * 64),
    ],
)  # fmt: skip
def test_a_compiler_is_called_without_target_and_version(compiler: str, name: str) -> None:
    assert driver(compiler) == name


def test_calls_are_summed_up() -> None:
    calls = [
        call("a.cpp", at=0, wall=4, peak_bytes=300, cache="miss"),
        call("b.cpp", at=1, wall=2, peak_bytes=500, cache="hit"),
        call("k.cu", at=3, wall=9, peak_bytes=50, compiler="nvcc", cache="miss"),
        call("k.cu", at=12, wall=1, peak_bytes=90, compiler="nvcc", tries=2, cache="miss"),
    ]
    found = summed_up(UNIT, calls)
    assert (found.count, found.wall_s, found.cpu_s, found.retried) == (3, 13, 16, 1)
    assert (found.peak_bytes, found.at_once_bytes) == (500, 800)
    assert (found.hits, found.misses) == (1, 2)
    assert found.compilers == (
        CompilerCalls(compiler="nvcc", count=1, cpu_s=10, hits=0, misses=1),
        CompilerCalls(compiler="g++", count=2, cpu_s=6, hits=1, misses=1),
    )
    assert [each.source for each in found.longest] == ["k.cu", "a.cpp", "b.cpp", "k.cu"]
    assert [each.peak_bytes for each in found.largest] == [500, 300, 90, 50]
    assert totals(found) == {
        "count": 3, "wall_s": 13.0, "cpu_s": 16.0, "peak_bytes": 500, "at_once_bytes": 800,
        "hits": 1, "misses": 2, "retried": 1,
        "compilers": {
            "nvcc": {"count": 1, "cpu_s": 10.0, "hits": 0, "misses": 1},
            "g++": {"count": 2, "cpu_s": 6.0, "hits": 1, "misses": 1},
        },
    }  # fmt: skip


def test_five_are_told_and_a_build_that_invents_compilers_fills_no_record() -> None:
    found = summed_up(UNIT, [call(str(n), wall=n, compiler=f"c{'c' * n}") for n in range(30)])
    assert [each.wall_s for each in found.longest] == [29, 28, 27, 26, 25]
    assert len(found.compilers) == 9
    assert sum(each.count for each in found.compilers) == 30


def test_who_begins_as_another_ends_is_not_with_it() -> None:
    assert at_once([call(at=0, wall=2, peak_bytes=7), call(at=2, wall=2, peak_bytes=5)]) == 7


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20), st.integers(0, 99)), max_size=30)
)
def test_at_once_is_the_largest_sum_at_any_moment(spans: list[tuple[int, int, int]]) -> None:
    calls = [call(at=at, wall=wall, peak_bytes=peak) for at, wall, peak in spans]
    moments = [sum(p for at, wall, p in spans if at <= now < at + wall) for now in range(75)]
    assert at_once(calls) == max(moments)


def test_without_calls_there_is_nothing(tmp_path: Path) -> None:
    assert compiled_of(UNIT, tmp_path / "calls.jsonl") is None
    (tmp_path / "calls.jsonl").write_text("damage\n")
    assert compiled_of(UNIT, tmp_path / "calls.jsonl") is None
    write_calls(tmp_path / "calls.jsonl", [call()])
    assert compiled_of(UNIT, tmp_path / "calls.jsonl") is not None
