"""SVG, page and trace: whole, bounded, and names in them are never anything but text."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.timeline import axis
from farm.timeline.page import MOST_CALLS, data, page
from farm.timeline.spans import laid_out
from farm.timeline.svg import MOST_BARS, WIDTH, bars, svg
from farm.timeline.trace import trace
from tests.support.calls import T0, call

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.store.calls import Call
    from farm.timeline.spans import Timeline

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = (
    "</script><script>document.title='run'</script>",
    "</title></style><img src=x onerror=alert(1)>",
    "--><!-- <!--<script>",
    "]]>&amp;&#x3c;\"'` onload=alert(1)",
    "@data@ @script@ @policy@",
    "\x1b[31m\0\u202e\u2028 \ufffe",
    "ß/ü/𝄞.cpp",
)


def pool(count: int, *, slots: int = 64, seed: int = 1) -> Iterator[Call]:
    """Calls that follow one another in slots, as a pool makes them."""
    chance = random.Random(seed)  # noqa: S311 - not for secrets
    free = [0.0] * slots
    for number in range(count):
        slot = free.index(min(free))
        begin, wall = free[slot] + chance.random() / 5, chance.lognormvariate(0, 1)
        free[slot] = begin + wall
        yield call(
            f"/build/src/file-{number}.cpp", at=begin, wall=wall, slot=slot,
            peak_bytes=chance.randrange(1 << 20, 1 << 31), asked_s=T0 + begin / 2,
            cache=chance.choice(["hit", "miss"]), status=int(number % 500 == 3),
        )  # fmt: skip


def drawn(*calls: Call, **more: Any) -> Timeline:
    return laid_out("Compiles of run r", {"demo@1.0:cpu": calls}, **more)


@pytest.fixture(scope="module")
def large() -> Timeline:
    calls = list(pool(10_000))
    units = {f"demo@1.0:{name}": calls[n::3] for n, name in enumerate(("cpu", "cuda", "rocm"))}
    return laid_out("Compiles of run r", units, budget_bytes=64 << 30, cores=64)


def test_a_picture_has_lanes_bars_waiting_memory_and_budget() -> None:
    made = drawn(
        call("src/a.cpp", at=0, wall=4, peak_bytes=3_000_000_000),
        call("b.cpp", at=5, wall=4, asked_s=T0 + 1, status=1),
        budget_bytes=4_000_000_000,
    )
    root = ET.fromstring(svg(made))  # noqa: S314 - our own
    assert root.findtext(f"{SVG}title") == "Compiles of run r"
    texts = [each.text for each in root.iter(f"{SVG}text")]
    assert {"slot 0", "demo@1.0:cpu", "waiting: at most 1", "budget", "4 GB"} <= set(texts)
    assert "memory: at most 3 GB of 4 GB, each call at its peak" in texts
    tips = [each.text or "" for each in root.iter(f"{SVG}title")][1:]
    assert [tip.splitlines()[0] for tip in tips] == ["src/a.cpp", "b.cpp"]
    assert "waited 4.00 s, status 1" in tips[1]
    kinds = [each.get("class") for each in root.iter(f"{SVG}rect")]
    assert {"wait", "failed"} <= set(kinds)


def test_ten_thousand_calls_make_a_picture_of_bounded_size(large: Timeline) -> None:
    text = svg(large)
    assert len(text) < 3_000_000
    ET.fromstring(text)  # noqa: S314 - our own
    found = bars(large, lambda when: (when - large.started_s) / 1000)
    assert len(found) <= MOST_BARS
    assert sum(bar.spans for bar in found) == 10_000


@pytest.mark.parametrize("most", [1, 64, 1000])
def test_however_few_bars_there_may_be_no_call_is_lost(large: Timeline, most: int) -> None:
    span = large.ended_s - large.started_s
    found = bars(large, lambda when: (when - large.started_s) / span * WIDTH, most)
    assert sum(bar.spans for bar in found) == 10_000
    assert len(found) <= max(most, 64)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text_in_a_picture(name: str) -> None:
    made = laid_out(name, {name: [call(name, compiler=name, kind=name)]})
    root = ET.fromstring(svg(made))  # noqa: S314 - our own
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {
        "svg", "title", "style", "rect", "text", "line", "g", "path",
    }  # fmt: skip
    tip = [each.text or "" for each in root.iter(f"{SVG}title")][-1]
    assert tip.startswith(made.title)
    attributes = {key for each in root.iter() for key in each.attrib}
    assert not any(key.startswith("on") or "href" in key for key in attributes)


class Elements(HTMLParser):
    """What a browser would find in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.policy = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        found = dict(attrs)
        assert not {"src", "href", "onclick", "onload", "onerror", "style"} & found.keys()
        if found.get("http-equiv") == "Content-Security-Policy":
            self.policy = found["content"] or ""
        if tag in {"script", "style"}:
            self.scripts.append((found, ""))

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1] in {"script", "style"} and self.scripts:
            kept, text = self.scripts[-1]
            self.scripts[-1] = (kept, text + data)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_data_in_a_page(name: str) -> None:
    plain = Elements(page(drawn(call("a"))))
    made = laid_out(name, {name: [call(name, compiler=name, kind=name)]})
    found = Elements(page(made))
    assert found.tags == plain.tags
    assert found.policy == plain.policy
    (_, text) = next(each for each in found.scripts if each[0].get("id") == "data")
    assert json.loads(text)["units"] == [made.title]


def test_a_page_runs_its_own_script_alone_and_fetches_nothing() -> None:
    text = page(drawn(call("a")))
    found = Elements(text)
    hashes = {
        f"'sha256-{base64.b64encode(hashlib.sha256(each.encode()).digest()).decode()}'"
        for about, each in found.scripts
        if about.get("id") != "data"
    }
    assert set(re.findall(r"'sha256-[^']+'", found.policy)) == hashes
    assert found.policy.startswith("default-src 'none'; base-uri 'none'; form-action 'none'; ")
    assert "unsafe" not in found.policy
    assert re.findall(r"https?://", text) == []


def test_of_too_many_calls_a_page_has_those_that_took_longest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert MOST_CALLS >= 100_000
    monkeypatch.setattr("farm.timeline.page.MOST_CALLS", 3)
    made = data(drawn(*(call(str(n), at=n, wall=5 - abs(n - 4), slot=n) for n in range(9))))
    assert made["leftOut"] == 6
    assert [row[-1] for row in made["calls"]] == ["3", "4", "5"]


def test_ten_thousand_calls_make_a_small_page(large: Timeline) -> None:
    assert len(page(large)) < 2_000_000


def test_a_trace_has_what_its_format_demands(large: Timeline) -> None:
    whole = json.loads(trace(large))
    events = whole["traceEvents"]
    by_phase: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        assert {"ph", "name", "pid"} <= event.keys()
        by_phase.setdefault(event["ph"], []).append(event)
    assert set(by_phase) == {"M", "X", "C", "b", "e"}
    assert len(by_phase["X"]) == 10_000
    assert all(each["dur"] >= 0 and each["ts"] >= 0 for each in by_phase["X"])
    names = {each["args"]["name"] for each in by_phase["M"] if each["name"] == "thread_name"}
    assert names == set(large.lanes)
    assert len(by_phase["b"]) == len(by_phase["e"])
    memory = [each for each in by_phase["C"] if each["name"] == "memory (bytes)"]
    assert set(memory[-1]["args"].values()) == {0}
    assert whole["otherData"]["budget_bytes"] == 64 << 30


@given(st.floats(0.001, 1e7), st.integers(2, 20))
def test_an_axis_has_a_few_round_marks(span_s: float, most: int) -> None:
    marks = list(axis.seconds(span_s, most))
    assert marks[0] == 0
    assert len(marks) <= 2 * most + 2
    assert all(mark <= span_s for mark in marks)
    assert all(axis.clock(mark, span_s) for mark in marks)


@given(st.floats(1, 1e13), st.integers(1, 8))
def test_an_axis_of_bytes_too(most: float, count: int) -> None:
    marks = list(axis.amounts(most, count))
    assert len(marks) <= count
    assert all(mark <= most for mark in marks)


def test_an_axis_of_memory_ends_above_the_budget_unless_far_less_was_used() -> None:
    assert axis.top(9e9, 10e9) == 10e9 * 1.08
    assert axis.top(1e9, 10e9) == axis.top(1e9, None) == 1e9 * 1.08
    few = drawn(call(peak_bytes=1_000_000), budget_bytes=10**9)
    assert ">budget<" not in svg(few)
    assert "at most 1 MB of 1 GB" in svg(few)


def test_times_are_as_short_as_their_axis_needs() -> None:
    assert axis.clock(3.5, 10) == "3.5 s"
    assert axis.clock(125, 600) == "2:05"
    assert axis.clock(125, 36000) == "0:02:05"
