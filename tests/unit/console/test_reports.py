"""A run's reports: whole, within limits, and what they repeat is read as text alone."""

from __future__ import annotations

import html
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from farm.console.gathered import Gathered
from farm.console.junit import junit
from farm.console.markdown import MOST_BYTES, MarkdownReport, shown
from farm.events import (
    Compile,
    Compiled,
    Outcome,
    RunFinished,
    RunStarted,
    StepStarted,
    UnitFinished,
)
from farm.store.record import Record, WheelFile, write_record

if TYPE_CHECKING:
    from pathlib import Path

BUILT, FAILED, BLOCKED = (f"demo@1.0:{name}" for name in ("cuda", "cpu", "top"))
HOSTILE = (
    "| a | <script>x</script> **b** _c_ `d` [e](https://x.org) ![f](g) #1 @root :smile: "
    "https://x.org www.x.org &amp; ~~h~~ <!-- i --> $j$ \\| \x1b[31mred\x1b[0m \u202ek\n"
    "# heading\n| --- |\n::set-output name=a::b %0A"
)


def finished(unit: str, outcome: Outcome, **more: object) -> UnitFinished:
    return UnitFinished(unit=unit, outcome=outcome, seconds=75.0, **more)  # type: ignore[arg-type]


def run(*ends: UnitFinished) -> Gathered:
    gathered = Gathered()
    gathered(RunStarted(run="r", units=tuple(end.unit for end in ends), folder="out/r"))
    for end in ends:
        gathered(StepStarted(unit=end.unit, step="compile"))
        gathered(end)
    gathered(RunFinished(exit_code=0, seconds=90.0))
    return gathered


def failure(text: str) -> UnitFinished:
    return finished(
        FAILED, Outcome.FAILED, exit_code=9, message=text, details=(text, "context"), hint=text,
        repeat=text, log=text, step="compile",
    )  # fmt: skip


def report(here: Path, gathered: Gathered, **forecasts: float) -> MarkdownReport:
    return MarkdownReport(gathered=gathered, forecasts=forecasts, here=here)


def rendered(text: str) -> str:
    return str(MarkdownIt("commonmark").enable(["table", "strikethrough"]).render(text))


def cells(text: str) -> list[list[str]]:
    rows = re.findall(r"<tr>(.*?)</tr>", rendered(text), re.DOTALL)
    return [
        [html.unescape(cell) for cell in re.findall(r"<t[dh]>(.*?)</t[dh]>", row)] for row in rows
    ]


@pytest.fixture
def built(tmp_path: Path) -> UnitFinished:
    code = [
        {"arch": arch, "kind": kind}
        for arch, kind in (("sm_90", "machine code"), ("sm_86", "machine code"), ("x", "ptx"))
    ]
    folder = tmp_path / "out/demo-1.0/cuda"
    folder.mkdir(parents=True)
    wheel = WheelFile(filename="demo.whl", sha256="0", size_bytes=12_300_000)
    write_record(folder, Record(
        unit=BUILT, package="demo", version="1.0", variant="cuda", python="3.13",
        accelerator="cuda", archs=(), features=(), toolchain="t", host_compiler="gcc-14",
        identity="i", outcome="built", wheels=(wheel,),
        contents={"modules": [{"device_code": code}, {"device_code": []}]},
    ))  # fmt: skip
    log = str(folder / "logs/build.log")
    return finished(BUILT, Outcome.BUILT, wheels=(str(folder / "demo.whl"),), log=log)


def test_the_table_has_state_time_forecast_size_architectures_and_log(
    built: UnitFinished, tmp_path: Path
) -> None:
    blocked = replace(finished(BLOCKED, Outcome.BLOCKED), seconds=0)
    text = report(tmp_path, run(built, blocked), **{BUILT: 60.0}).text()
    assert text.startswith("### farm: 1 built, 1 blocked in 1m 30s\n")
    assert cells(text) == [
        ["unit", "state", "time", "forecast", "wheel", "architectures proved", "log"],
        [BUILT, "✓ built", "1m 15s", "1m 00s", "12.3 MB", "sm_86 sm_90",
         "out/demo-1.0/cuda/logs/build.log"],
        [BLOCKED, "– blocked", "", "", "", "", ""],
    ]  # fmt: skip


def test_a_failure_has_its_lines_log_hint_and_command(tmp_path: Path) -> None:
    end = replace(failure("x.c:1: error: no"), log=str(tmp_path / "l/build.log"))
    page = rendered(report(tmp_path, run(end)).text())
    assert "<h4>demo@1.0:cpu failed in compile (exit code 9)</h4>" in page
    assert "<pre>x.c:1: error: no\nx.c:1: error: no\ncontext</pre>" in page
    assert "<p>log: l/build.log</p>" in page
    assert "<p>repeat: x.c:1: error: no</p>" in page


def test_what_compilers_took_has_a_table_and_hostile_names_stay_text(tmp_path: Path) -> None:
    gathered = run(finished(BUILT, Outcome.BUILT))
    call = Compile(compiler="g++", source=HOSTILE, wall_s=61, cpu_s=60, peak_bytes=2_000_000_000)
    gathered(
        Compiled(
            unit=BUILT, count=7, wall_s=62, cpu_s=120, peak_bytes=1,
            at_once_bytes=2_500_000_000, hits=1, misses=3,
            retried=0, longest=(call,), largest=(call,),
        )
    )  # fmt: skip
    page = rendered(report(tmp_path, gathered).text())
    cells = re.findall(r"<td>(.*?)</td>", page)
    row = ["demo@1.0:cuda", "7", "1m 02s", "2m 00s", "2.5 GB", "25 %"]
    assert cells[7:13] == row
    assert html.unescape(cells[13]).startswith("| a | <script>x</script> **b**")
    assert cells[14:16] == ["1m 01s", "demo@1.0:cuda"]
    assert "<script>" not in page


@given(st.text() | st.just(HOSTILE))
def test_whatever_is_told_is_shown_as_text(text: str) -> None:
    page = rendered(f"| a | b |\n| --- | --- |\n| {shown(text)} | c |\n")
    (_, (cell, last)) = cells(f"| a | b |\n| --- | --- |\n| {shown(text)} | c |\n")
    assert last == "c"
    assert not re.search(r"<(?!/?(?:table|thead|tbody|tr|t[hd])>)", page)
    wanted = "".join(c for c in text if c.isprintable() or c in "\n\t")
    assert cell == " ".join(wanted.split())


def test_a_hostile_failure_brings_no_tag_of_its_own(tmp_path: Path) -> None:
    hostile = f"{HOSTILE}\n</pre><script>x</script>\n\n<b>"
    page = rendered(report(tmp_path, run(failure(hostile))).text())
    tags = set(re.findall(r"</?([a-z0-9]+)", page))
    assert tags <= {"h3", "h4", "table", "thead", "tbody", "tr", "td", "th", "pre", "p"}
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_a_page_is_cut_between_units_and_says_so(tmp_path: Path) -> None:
    many = run(*(replace(failure("x" * 3000), unit=f"demo@1.{n}:cpu") for n in range(600)))
    text = report(tmp_path, many).text()
    assert MOST_BYTES - 20_000 < len(text.encode()) <= MOST_BYTES
    assert text.endswith("The rest is left out: it would be longer than a page may be.\n")
    assert len(report(tmp_path, many).text(400)) <= 400


def test_junit_has_a_case_for_each_unit() -> None:
    skipped = finished(BLOCKED, Outcome.BLOCKED, message="not tried")
    end = replace(failure("x.c:1: error: no"), file="/p/recipes/demo.yaml")
    top = ET.fromstring(junit(run(finished(BUILT, Outcome.UNCHANGED), end, skipped)))  # noqa: S314 - our own
    (suite,) = top
    assert suite.attrib == {
        "name": "farm", "tests": "3", "failures": "1", "skipped": "1", "errors": "0",
        "time": "90.000",
    }  # fmt: skip
    good, bad, not_tried = suite
    assert good.attrib == {"classname": "demo@1.0", "name": "cuda", "time": "75.000"}
    assert [child.tag for child in good] == ["system-out"]
    found = bad.find("failure")
    assert found is not None
    assert found.attrib == {"type": "compile", "message": "x.c:1: error: no"}
    assert "context\nhint: x.c" in str(found.text)
    assert bad.attrib["file"] == "/p/recipes/demo.yaml"
    assert [child.tag for child in not_tried] == ["skipped", "system-out"]


@given(st.text(st.characters()) | st.just(HOSTILE))
def test_junit_holds_any_text_but_what_xml_cannot(text: str) -> None:
    document = junit(run(failure(text)))
    found = ET.fromstring(document.encode("utf-8")).find(".//failure")  # noqa: S314 - our own
    assert found is not None
    sayable = re.sub("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)
    message = found.attrib["message"]
    assert len(message) == len(text)
    assert all(a in {b, "\ufffd"} for a, b in zip(message, sayable, strict=True))
