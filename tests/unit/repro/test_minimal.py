"""The smallest set of changes that breaks something."""

from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from farm.repro.minimal import minimal


def _count(changes: list[str], guilty: tuple[str, ...]) -> int:
    """How often it is asked until the guilty ones are found."""
    asked: list[frozenset[str]] = []

    def breaks(chosen: frozenset[str]) -> bool:
        asked.append(chosen)
        return set(guilty) <= chosen

    assert minimal(changes, breaks) == guilty
    assert len(asked) == len(set(asked)), "nothing is asked twice"
    return len(asked)


def test_any_pair_of_six_takes_at_most_eleven() -> None:
    """With the two ends, which the caller tries first: thirteen."""
    six = ["a", "b", "c", "d", "e", "f"]
    assert max(_count(six, pair) for pair in combinations(six, 2)) <= 11


def test_one_of_sixteen_takes_at_most_eight() -> None:
    names = [f"c{number}" for number in range(16)]
    assert max(_count(names, (name,)) for name in names) <= 8


@given(
    st.integers(1, 12).flatmap(
        lambda n: st.tuples(st.just(n), st.sets(st.integers(0, n - 1), min_size=1))
    )
)
def test_whatever_is_guilty_is_found(drawn: tuple[int, set[int]]) -> None:
    names = [f"c{number}" for number in range(drawn[0])]
    _count(names, tuple(names[number] for number in sorted(drawn[1])))


@given(
    st.integers(2, 6).flatmap(
        lambda n: st.tuples(
            st.just(n),
            st.sets(st.frozensets(st.integers(0, n - 1), min_size=1, max_size=n - 1)),
        )
    )
)
def test_what_is_found_breaks_and_nothing_of_it_can_be_left_out(
    drawn: tuple[int, set[frozenset[int]]],
) -> None:
    """Also where a larger set works although a smaller one is broken, or cannot be tried."""
    names = [f"c{number}" for number in range(drawn[0])]
    broken = {frozenset(names), *(frozenset(names[n] for n in each) for each in drawn[1])}

    found = frozenset(minimal(names, lambda chosen: chosen in broken))

    assert found in broken
    assert not any(found - {name} in broken for name in found)
