"""BuildKit's stream, as recorded and as it might come."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.engine.rawjson import LINE_BYTES, Progress, progress, readable, seconds
from farm.events import Compiling, Event, StepFinished, StepOutput, StepProgress, StepStarted

STREAMS = Path(__file__).parent / "streams"
RECORDED = (  # the same failing build by buildx 0.29, and by 0.13
    STREAMS / "failed-step.rawjson",
    STREAMS / "failed-step-indented.rawjson",
)


def at(second: float) -> str:
    return f"2026-11-22T05:00:{second:012.9f}Z"


def vertex(name: str, *, start: float = 0, end: float | None = None, **more: object) -> bytes:
    item: dict[str, object] = {"digest": f"sha256:{name}", "name": name, **more}
    item["started"] = at(start)
    if end is not None:
        item["completed"] = at(end)
    return line({"vertexes": [item]})


def log(name: str, data: bytes) -> bytes:
    entry = {"vertex": f"sha256:{name}", "stream": 1, "data": base64.b64encode(data).decode()}
    return line({"logs": [entry]})


def line(message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


def shapes(events: list[Event]) -> list[tuple[str, str]]:
    return [(type(event).__name__, getattr(event, "step", "")) for event in events]


def outputs(events: list[Event]) -> list[str]:
    return [event.line for event in events if isinstance(event, StepOutput)]


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
def test_a_recorded_failure_becomes_steps_lines_and_an_error(recorded: Path) -> None:
    stream = Progress("a@1:cpu")
    events = [*stream.feed(recorded.read_bytes()), *stream.close()]
    assert shapes(events) == [
        ("StepStarted", "base"),
        ("StepFinished", "base"),
        ("StepStarted", "source"),
        ("StepOutput", "source"),
        ("StepFinished", "source"),
        ("StepStarted", "compile"),
        ("StepOutput", "compile"),
        ("StepProgress", "compile"),
        ("StepOutput", "compile"),
        ("StepProgress", "compile"),
        ("StepOutput", "compile"),
        ("StepOutput", "compile"),
        ("StepFinished", "compile"),
    ]
    assert outputs(events)[1:4] == [
        "[ 42%] Building CXX object a.o",
        "[3/14] half a line",
        "café \ufffd",
    ]
    assert stream.farm_errors == ["patch 0001-x.patch: hunk 1 does not fit a.c at line 3"]
    assert stream.error().startswith('failed to solve: process "/bin/sh -c echo')
    assert stream.error().endswith("did not complete successfully: exit code: 3")
    assert [step.name for step in stream.steps()][1:] == ["base", "source", "compile", "result"]
    failed = stream.steps()[3]
    assert not failed.cached
    assert failed.error.endswith("exit code: 3")


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
@given(sizes=st.lists(st.integers(min_value=1, max_value=2000), min_size=1))
def test_where_the_bytes_are_cut_changes_nothing(recorded: Path, sizes: list[int]) -> None:
    data = recorded.read_bytes()
    whole, cut = Progress("u"), Progress("u")
    expected = [*whole.feed(data), *whole.close()]
    events: list[Event] = []
    position, turn = 0, 0
    while position < len(data):
        size = sizes[turn % len(sizes)]
        events += cut.feed(data[position : position + size])
        position, turn = position + size, turn + 1
    events += cut.close()
    assert shapes(events) == shapes(expected)
    assert outputs(events) == outputs(expected)
    assert cut.error() == whole.error()


@given(st.binary())
def test_no_stream_breaks_the_parser(data: bytes) -> None:
    stream = Progress("u")
    stream.feed(data)
    stream.close()
    stream.error()


@given(
    st.recursive(
        st.none() | st.integers() | st.text(),
        lambda v: (
            st.lists(v)
            | st.dictionaries(
                st.sampled_from(["vertexes", "logs", "digest", "name", "started", "data"]), v
            )
        ),
    )
)
def test_no_json_breaks_the_parser(value: object) -> None:
    stream = Progress("u")
    stream.feed(line(value) + line({"vertexes": value, "logs": value}))
    stream.close()


def test_a_character_split_between_two_messages_is_put_together() -> None:
    name = "[compile 1/1] RUN x"
    stream = Progress("u")
    stream.feed(vertex(name))
    first = stream.feed(log(name, "gr\u00f6".encode()[:-1]))
    assert first == []
    assert outputs(stream.feed(log(name, "\u00f6".encode()[1:] + b"sser\n"))) == ["gr\u00f6sser"]


def test_a_last_line_without_newline_comes_at_the_end() -> None:
    name = "[compile 1/1] RUN x"
    stream = Progress("u")
    stream.feed(vertex(name) + log(name, b"no newline"))
    assert outputs(stream.close()) == ["no newline"]


def test_a_line_of_megabytes_is_shown_cut() -> None:
    name = "[compile 1/1] RUN x"
    stream = Progress("u")
    stream.feed(vertex(name))
    for _ in range(100):
        stream.feed(log(name, b"x" * 50_000))
    shown = outputs(stream.feed(log(name, b"\nnext\n")))
    assert [len(text) for text in shown] == [LINE_BYTES + 2, 4]


@pytest.mark.parametrize(
    ("name", "step"),
    [
        ("[compile 2/3] RUN make", "compile"),
        ("[compile  2/10] RUN make", "compile"),
        ("[linux/amd64 compile 2/3] RUN make", "compile"),
        ("[internal] load build definition from Dockerfile", "engine"),
        ("[context wheels] load from client", "engine"),
        ("exporting to client directory", "engine"),
        ("[1/3] FROM base", "engine"),
    ],
)
def test_the_stage_is_the_step(name: str, step: str) -> None:
    stream = Progress("u")
    stream.feed(vertex(name, end=1.5))
    assert [(told.name, told.seconds) for told in stream.steps()] == [(step, 1.5)]


def test_a_step_is_cached_when_all_but_its_image_is() -> None:
    stream = Progress("u")
    stream.feed(vertex("[source 1/3] FROM base", end=1))
    stream.feed(vertex("[source 2/3] COPY a b", end=1, cached=True))
    events = stream.feed(vertex("[source 3/3] RUN x", end=1, cached=True))
    assert [event.cached for event in events if isinstance(event, StepFinished)] == [True]


def test_a_step_ends_when_its_last_operation_does() -> None:
    stream = Progress("u")
    first = stream.feed(vertex("[compile 1/2] COPY a b", end=1))
    assert shapes(first) == [("StepStarted", "compile")]
    assert stream.feed(vertex("[compile 2/2] RUN x", start=1)) == []
    (ended,) = stream.feed(vertex("[compile 2/2] RUN x", start=1, end=5))
    assert isinstance(ended, StepFinished)
    assert (ended.seconds, ended.cached, ended.error) == (5.0, False, "")


def test_a_step_that_was_cut_off_ends_with_the_stream() -> None:
    stream = Progress("u")
    (started,) = stream.feed(vertex("[compile 1/1] RUN x"))
    assert isinstance(started, StepStarted)
    assert shapes(stream.close()) == [("StepFinished", "compile")]


def test_the_failing_step_is_told_from_the_ones_cancelled_for_it() -> None:
    stream = Progress("u")
    stream.feed(vertex("[a 1/1] RUN x", end=1, error="context canceled"))
    stream.feed(vertex("[b 1/1] RUN y", end=1, error="exit code: 1"))
    assert stream.error() == "exit code: 1"


def test_a_full_disk_is_noticed() -> None:
    name = "[compile 1/1] RUN x"
    stream = Progress("u")
    stream.feed(vertex(name) + log(name, b"ld: final link failed: No space left on device\n"))
    assert stream.no_space


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[3/14] Building CXX object a.o", (3, 14)),
        ("  [14/14] Linking", (14, 14)),
        ("[  5%] Building C object", (5, 100)),
        ("[100%] Built target x", (100, 100)),
        ("[150%] of nonsense", None),
        ("[9/3] not progress", None),
        ("[0/0] nothing", None),
        ("see [3/14]", None),
    ],
)
def test_progress_is_read_from_the_start_of_a_line(
    text: str, expected: tuple[int, int] | None
) -> None:
    assert progress(text) == expected


def test_progress_becomes_an_event() -> None:
    name = "[compile 1/1] RUN x"
    stream = Progress("u")
    stream.feed(vertex(name))
    _, counted = stream.feed(log(name, b"[1/2] cc\n"))
    assert isinstance(counted, StepProgress)
    assert (counted.step, counted.done, counted.total) == ("compile", 1, 2)


def test_a_line_cannot_steer_the_terminal() -> None:
    assert readable(b"\x1b[31mred\x1b[0m \x1b]0;title\x07a\x08\x00b\tc\r") == "red ab\tc"
    assert readable(b"10%\r50%\r100%") == "100%"


def test_time_stamps_of_nanoseconds_are_read() -> None:
    assert seconds("2026-11-22T05:03:24.975385123Z") == pytest.approx(1795323804.975385)
    assert seconds("2026-11-22T05:03:24Z") == 1795323804


def test_how_the_budget_is_used_is_an_event_and_no_line_of_the_log() -> None:
    stream = Progress("a@1:cpu")
    stream.feed(vertex("[compile 1/1] RUN x"))
    said = b"farm: pool: running=3 bytes=4123 of=8589934592 calls=120 hits=37\n"
    events = stream.feed(log("[compile 1/1] RUN x", b"one\n" + said + b"two\n"))
    assert outputs(events) == ["one", "two"]
    (told,) = [event for event in events if isinstance(event, Compiling)]
    assert (told.unit, told.running, told.memory_bytes) == ("a@1:cpu", 3, 4123)
    assert (told.budget_bytes, told.calls, told.hits) == (8589934592, 120, 37)


@pytest.mark.parametrize(
    "line",
    ["farm: pool: running=3", "farm: pool: ", "farm: pool: running=3 bytes=-1 of=2 calls=1 hits=1",
     "farm: pool: running=3 bytes=" + "9" * 30 + " of=2 calls=1 hits=1"],
)  # fmt: skip
def test_what_only_looks_like_it_is_a_line_of_the_log(line: str) -> None:
    stream = Progress("a@1:cpu")
    stream.feed(vertex("[compile 1/1] RUN x"))
    assert outputs(stream.feed(log("[compile 1/1] RUN x", line.encode() + b"\n"))) == [line]
