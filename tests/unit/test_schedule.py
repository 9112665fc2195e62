"""How the tests are shared out among workers."""

from __future__ import annotations

from pathlib import Path

from tests.support.schedule import BY_PARAMETER, LONGEST_FIRST, ONE_BY_ONE, rank, together

TESTS = Path(__file__).parents[1]


def test_every_file_that_is_named_is_there() -> None:
    there = {path.stem for path in TESTS.rglob("test_*.py")}
    assert {*LONGEST_FIRST, *ONE_BY_ONE, *BY_PARAMETER} <= there


def test_unit_tests_begin_after_all_others() -> None:
    names = ("unit/load/test_yaml.py", "integration/test_new.py", "integration/test_rust.py")
    ordered = sorted((TESTS / name for name in names), key=rank)
    assert [path.stem for path in ordered] == ["test_rust", "test_new", "test_yaml"]


def test_a_file_stays_together_unless_its_tests_share_nothing_or_a_parameter() -> None:
    assert together("a/test_new.py::test_a") == together("a/test_new.py::test_b[x]")
    one = "a/test_private_engine.py::test_a"
    assert together(one) == one
    ids = [f"a/test_user_docker.py::{test}" for test in ("test_a[1]", "test_b[1]", "test_a[2]")]
    assert together(ids[0]) == together(ids[1]) != together(ids[2])
