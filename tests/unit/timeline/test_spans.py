"""Lanes, waiting and memory of calls."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.run.compiles import at_once
from farm.timeline.spans import MOST_LANES, colour, laid_out, memory, visible, waiting
from tests.support.calls import T0, call

CPU, CUDA = "demo@1.0:cpu", "demo@1.0:cuda"


def test_a_call_has_the_lane_of_its_slot_and_its_unit() -> None:
    made = laid_out(
        "t",
        {CPU: [call("a", at=0, slot=7), call("b", at=2, slot=0)], CUDA: [call("c", at=1, slot=7)]},
    )
    assert made.lanes == ("slot 0", "slot 7")
    assert [(s.call.source, s.unit, s.lane) for s in made.spans] == [
        ("a", 0, 1), ("c", 1, 1), ("b", 0, 0),
    ]  # fmt: skip
    assert (made.started_s, made.ended_s) == (T0, T0 + 3)


def test_a_slot_that_is_free_while_a_call_waits_is_idle_for_it() -> None:
    """Whichever slot that call gets in the end."""
    calls = [call("a", at=0, wall=9), call("b", at=0, wall=4, slot=1)]
    made = laid_out("t", {CPU: calls, CUDA: [call("c", at=9, asked_s=T0 + 1)]})
    assert [s.waited_s for s in made.spans] == [0, 0, 8]
    (idle,) = made.idle
    assert (idle.lane, idle.unit) == (1, 1)
    assert idle.begin_s == pytest.approx(T0 + 4, abs=0.01)
    assert idle.end_s == pytest.approx(T0 + 9, abs=0.01)


def test_no_more_slots_are_idle_than_calls_wait() -> None:
    calls = [call(str(n), at=0, wall=2, slot=n) for n in range(4)]
    made = laid_out("t", {CPU: [*calls, call("x", at=8, asked_s=T0 + 1, slot=3)]})
    assert [(each.lane, each.unit) for each in made.idle] == [(0, 0)]


def test_another_try_waits_since_the_one_before() -> None:
    calls = [
        call("a", at=0, wall=4, tries=1),
        call("a", at=6, wall=4, tries=2, asked_s=T0, slot=1),
    ]
    assert [s.waited_s for s in laid_out("t", {CPU: calls}).spans] == [0, 2]


def test_calls_without_a_slot_share_a_few_lanes_of_their_own() -> None:
    calls = [call(str(n), at=n / 10, wall=1, slot=None, cache="hit") for n in range(20)]
    made = laid_out("t", {CPU: [*calls, call("x", slot=3)]})
    assert made.lanes == ("slot 3", "cache", "cache", "cache", "cache")
    few = laid_out("t", {CPU: [call("a", slot=None), call("b", at=2, slot=None)]})
    assert few.lanes == ("cache",)


def test_a_build_that_invents_slots_makes_no_endless_picture() -> None:
    made = laid_out("t", {CPU: [call(slot=n) for n in range(3000)]})
    assert len(made.lanes) == len(made.spans) == MOST_LANES


def test_memory_and_waiting_change_with_each_call() -> None:
    made = laid_out(
        "t",
        {
            CPU: [call("a", at=0, wall=4, peak_bytes=10)],
            CUDA: [call("b", at=2, wall=4, peak_bytes=5, asked_s=T0 + 1, slot=1)],
        },
    )
    assert memory(made).amounts == ((10, 0), (10, 5), (0, 5), (0, 0))
    assert waiting(made).amounts == ((0, 1), (0, 0))
    assert waiting(made).times_s == (T0 + 1, T0 + 2)


Spans = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 20), st.integers(0, 99)), min_size=1)


@given(Spans)
def test_memory_is_what_the_summary_says(spans: list[tuple[int, int, int]]) -> None:
    calls = [call(at=at, wall=wall, peak_bytes=peak) for at, wall, peak in spans]
    steps = memory(laid_out("t", {CPU: calls[::2], CUDA: calls[1::2]}))
    assert steps.most == at_once(calls)
    assert not steps.amounts or set(steps.amounts[-1]) == {0}


def test_who_begins_as_another_ends_in_a_file_of_rounded_times_is_not_beside_it() -> None:
    calls = [call(at=0, wall=2.0006, peak_bytes=7), call(at=2, wall=2, peak_bytes=5)]
    assert memory(laid_out("t", {CPU: calls})).most == at_once(calls) == 7


def test_colours_are_colours_and_differ() -> None:
    colours = [colour(number) for number in range(60)]
    assert len(set(colours)) == 60
    assert all(len(each) == 7 and int(each[1:], 16) >= 0 for each in colours)


def test_what_cannot_be_seen_or_turns_text_round_is_replaced() -> None:
    assert visible("a\x1b[31m\u202eb\nc\0\ufffe é") == "a\ufffd[31m\ufffdb\ufffdc\ufffd\ufffd é"
