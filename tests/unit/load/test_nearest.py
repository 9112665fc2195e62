from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.load.nearest import nearest, perhaps

ARCHS = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90", "sm_100")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("sm_68", "sm_86"),
        ("SM_86", "sm_86"),
        ("sm-86", "sm_86"),
        ("sm86", "sm_86"),
        ("sm_09", "sm_90"),
        ("sm_1000", "sm_100"),
    ],
)
def test_a_slip_leads_to_the_name_that_was_meant(typed: str, meant: str) -> None:
    assert nearest(typed, ARCHS) == meant


def test_something_quite_different_leads_to_nothing() -> None:
    assert nearest("gfx1150", ARCHS) is None
    assert nearest("", ARCHS) is None
    assert nearest("x" * 100_000, ["x" * 100_000]) is None
    assert nearest("sm_86", []) is None


def test_the_answer_does_not_depend_on_the_order() -> None:
    assert nearest("sm_8", ARCHS) == nearest("sm_8", reversed(ARCHS))


def test_perhaps_is_a_phrase_or_nothing() -> None:
    assert perhaps("sm_68", ARCHS) == "perhaps you meant 'sm_86'"
    assert perhaps("gfx1150", ARCHS) == ""


@given(st.text(max_size=120), st.lists(st.text(max_size=20), max_size=8))
def test_the_answer_is_always_a_candidate(name: str, candidates: list[str]) -> None:
    found = nearest(name, candidates)
    assert found is None or found in candidates


@given(st.lists(st.text(min_size=1, max_size=20), min_size=1, max_size=8, unique=True))
def test_an_exact_name_is_never_far(candidates: list[str]) -> None:
    found = nearest(candidates[0], candidates)
    assert found is not None
    assert found.casefold().replace("-", "_").replace(".", "_") == candidates[
        0
    ].casefold().replace("-", "_").replace(".", "_")
