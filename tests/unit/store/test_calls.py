"""``calls.jsonl``: what the gate wrote is read, and whatever else stands there is counted."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.store import calls
from farm.store.calls import CallLog, call_of
from tests.support.calls import call, line, write_calls

if TYPE_CHECKING:
    from pathlib import Path

GATE = (
    '{"compiler":"x86_64-linux-gnu-g++-14","kind":"compile","source":"/build/pkg/a.cpp",'
    '"asked_s":1764334000.123,"began_s":1764334001.000,"wall_s":1.234,"cpu_s":1.1,'
    '"peak_bytes":123456789,"predicted_bytes":200000000,"tries":1,"status":0,'
    '"cache":"miss","slot":3}\n'
)


def changed(**values: object) -> bytes:
    return json.dumps(json.loads(GATE) | values).encode()


def test_a_line_of_the_gates_is_a_call() -> None:
    found = call_of(GATE.encode())
    assert found is not None
    assert (found.source, found.slot, found.cache) == ("/build/pkg/a.cpp", 3, "miss")
    assert found.ended_s == pytest.approx(1764334002.234)


def test_what_older_gates_did_not_write_has_a_default() -> None:
    said = json.loads(GATE)
    del said["cache"], said["slot"]
    found = call_of(json.dumps(said).encode())
    assert found is not None
    assert (found.cache, found.slot) == ("none", None)
    assert call_of(changed(slot=-1)) == found.__class__(
        **{name: getattr(found, name) for name in found.__slots__} | {"cache": "miss"}
    )


def test_names_are_bytes_that_are_read_as_utf_8() -> None:
    named = changed(source="/build/gr\u00c3\u00bc\u00c3\u009fe.cpp")  # as the gate writes bytes
    assert getattr(call_of(named), "source", "") == "/build/grüße.cpp"
    assert getattr(call_of(changed(source="\ud800x")), "source", "") == "?x"
    assert getattr(call_of(changed(source="\u00ff.c")), "source", "") == "\ufffd.c"


@pytest.mark.parametrize(
    "wrong",
    [
        b"", b"\n", b"null", b"[]", b"{}", b"{", b"\xff\xfe", b"[" * 8000, GATE.encode()[:-20],
        changed(wall_s=float("nan")), changed(wall_s=float("inf")), changed(wall_s=-1),
        changed(wall_s=1e300), changed(wall_s="1"), changed(wall_s=True), changed(wall_s=None),
        changed(peak_bytes=1.5), changed(peak_bytes=-1), changed(peak_bytes=2**80),
        changed(peak_bytes=False), changed(source=1), changed(source="x" * 5000),
        changed(slot="0"), changed(slot=[]), changed(slot=10**9), changed(cache="maybe"),
        changed(cache={}), changed(status=-1), changed(began_s=10**400), changed(tries=None),
    ],
)  # fmt: skip
def test_anything_else_is_none(wrong: bytes) -> None:
    assert call_of(wrong) is None


ODD = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)


@given(st.dictionaries(st.sampled_from(list(json.loads(GATE))), ODD, max_size=4))
def test_no_value_is_too_odd(values: dict[str, Any]) -> None:
    found = call_of(changed(**values))
    assert found is None or (found.wall_s >= 0 and found.source.encode() is not None)


def test_a_file_is_read_line_by_line_and_damage_is_counted(tmp_path: Path) -> None:
    path = write_calls(tmp_path / "calls.jsonl", [call("a.c"), call("b.c")])
    with path.open("a") as file:
        file.write(
            'nonsense\n{"compiler":"' + "x" * 100_000 + '"}\n' + line(call("c.c")) + "\n{\n"
        )
    log = CallLog(path)
    assert [each.source for each in log] == ["a.c", "b.c", "c.c"]
    assert (log.skipped, log.whole) == (3, True)
    assert len(list(log)) == 3  # as often as one likes
    assert log.skipped == 3


def test_a_line_that_was_cut_is_one_damaged_line(tmp_path: Path) -> None:
    path = write_calls(tmp_path / "calls.jsonl", [call(), call()])
    os.truncate(path, path.stat().st_size - 30)
    log = CallLog(path)
    assert len(list(log)) == 1
    assert log.skipped == 1


def test_no_more_of_a_file_is_read_than_its_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_calls(tmp_path / "calls.jsonl", [call()] * 100)
    monkeypatch.setattr(calls, "MOST_BYTES", 10 * len(line(call())) + 15)
    log = CallLog(path)
    assert len(list(log)) == 10
    assert not log.whole


def test_no_file_no_calls_and_no_link_is_followed(tmp_path: Path) -> None:
    assert list(CallLog(tmp_path / "calls.jsonl")) == []
    (tmp_path / "link").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "fifo")
    assert list(CallLog(tmp_path / "link")) == list(CallLog(tmp_path / "fifo")) == []
