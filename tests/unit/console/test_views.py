"""The views, shown the same short run: one unit is built, one fails, one needs that one."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from rich.console import Console

from farm.console.json_lines import JsonView
from farm.console.live import LiveView
from farm.console.plain import PlainView
from farm.console.quiet import QuietView
from farm.console.summary import Summary, failure_block
from farm.events import (
    Compile,
    Compiled,
    CompilerCalls,
    Compiling,
    Event,
    Notice,
    Outcome,
    RunFinished,
    RunStarted,
    StepFinished,
    StepOutput,
    StepProgress,
    StepStarted,
    TaskProgress,
    UnitFinished,
    UnitStarted,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T0 = 1_800_000_000.0  # 2027-01-15 08:00:00 UTC
LLAMA = "llama-cpp-python@0.2.44:cpu"
VLLM = "vllm@0.22.0:rocm-gfx942"
NEEDY = "needy@1.0:cpu"
LOG = "out/.farm/runs/20270115-080000-ab12/vllm-0.22.0/rocm-gfx942/build.log"
ERROR = "csrc/attention.hip:812:19: error: use of undeclared identifier 'mfma'"

FAILURE = UnitFinished(
    unit=VLLM,
    outcome=Outcome.FAILED,
    seconds=72.1,
    exit_code=9,
    step="compile",
    message=f"compile: {ERROR}",
    details=("In file included from csrc/x.hip:1:", ERROR, "  812 |   auto acc = mfma(a, b);"),
    log=LOG,
    hint="build with fewer jobs",
    repeat=f"farm build {VLLM}",
    reproduce="farm reproduce bundle.tar",
    time_s=T0 + 73,
)


def run(wheel: str = "out/llama_cpp_python-0.2.44-py3-none-linux_x86_64.whl") -> list[Event]:
    return [
        RunStarted(
            run="20270115-080000-ab12", units=(LLAMA, VLLM, NEEDY), folder="out/r", time_s=T0
        ),
        Notice(text="docker 20.10 is passed over", time_s=T0),
        TaskProgress(task="torch.whl", done=0, total=9_000_000, time_s=T0),
        TaskProgress(task="torch.whl", done=4_500_000, total=9_000_000, time_s=T0 + 0.5),
        UnitStarted(unit=LLAMA, max_jobs=2, time_s=T0 + 1),
        StepStarted(unit=LLAMA, step="requirements", time_s=T0 + 1),
        StepFinished(unit=LLAMA, step="requirements", seconds=0, cached=True, time_s=T0 + 1),
        StepStarted(unit=LLAMA, step="compile", time_s=T0 + 1),
        StepOutput(unit=LLAMA, step="compile", line="[12/34] Building C x.c.o", time_s=T0 + 2),
        StepProgress(unit=LLAMA, step="compile", done=12, total=34, time_s=T0 + 2),
        UnitStarted(unit=VLLM, max_jobs=1, time_s=T0 + 1),
        TaskProgress(
            task="torch.whl", done=9_000_000, total=9_000_000, finished=True, time_s=T0 + 3
        ),
        StepFinished(unit=LLAMA, step="compile", seconds=36, cached=False, time_s=T0 + 37),
        UnitFinished(
            unit=LLAMA, outcome=Outcome.BUILT, seconds=37.2, wheels=(wheel,), time_s=T0 + 38
        ),
        StepStarted(unit=VLLM, step="compile", time_s=T0 + 40),
        FAILURE,
        UnitFinished(
            unit=NEEDY,
            outcome=Outcome.BLOCKED,
            seconds=0,
            exit_code=15,
            message=f"needs {VLLM}, which failed",
            time_s=T0 + 73,
        ),
        RunFinished(exit_code=9, seconds=73, time_s=T0 + 73),
    ]


def paper(width: int = 80, **options: Any) -> Console:
    """Return a console that writes to memory; its ``file`` is an `io.StringIO`."""
    return Console(file=io.StringIO(), width=width, height=24, highlight=False, **options)


def written(console: Console) -> str:
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "UTC")
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TERM"):
        monkeypatch.delenv(name, raising=False)
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def plain(events: list[Event], **options: Any) -> list[str]:
    console = paper()
    view = PlainView(console, **options)
    for event in events:
        view(event)
    return written(console).splitlines()


def test_plain_lines_bear_time_unit_and_step() -> None:
    lines = plain(run())
    assert lines[:10] == [
        "08:00:00  run 20270115-080000-ab12: 3 units",
        "08:00:00  docker 20.10 is passed over",
        "08:00:01  llama-cpp-python@0.2.44:cpu  begins, MAX_JOBS=2",
        "08:00:01  llama-cpp-python@0.2.44:cpu  requirements  …",
        "08:00:01  llama-cpp-python@0.2.44:cpu  requirements  cached",
        "08:00:01  llama-cpp-python@0.2.44:cpu  compile       …",
        "08:00:02  llama-cpp-python@0.2.44:cpu  compile       [12/34] Building C x.c.o",
        "08:00:01  vllm@0.22.0:rocm-gfx942      begins, MAX_JOBS=1",
        "08:00:03  torch.whl: done, 9.0 MB",
        "08:00:37  llama-cpp-python@0.2.44:cpu  compile       done in 36.0s",
    ]
    assert "08:01:13  vllm@0.22.0:rocm-gfx942      ✗ failed after 1m 12s" in lines


def test_plain_progress_comes_every_ten_per_cent_or_ten_seconds() -> None:
    start: list[Event] = [StepStarted(unit=LLAMA, step="compile", time_s=T0)]
    fast: list[Event] = [
        StepProgress(unit=LLAMA, step="compile", done=n, total=1000, time_s=T0 + n / 1000)
        for n in range(1001)
    ]
    slow: list[Event] = [
        StepProgress(unit=LLAMA, step="compile", done=n, total=1000, time_s=T0 + n)
        for n in range(61)
    ]
    shown = [line.split()[-1] for line in plain(start + fast)]
    assert shown == ["…", *(f"[{n}/1000]" for n in range(100, 1001, 100))]
    shown = [line.split()[-1] for line in plain(start + slow)]
    assert shown == ["…", *(f"[{n}/1000]" for n in range(10, 61, 10))]


def test_plain_repeats_nothing_that_steps_print() -> None:
    assert plain([StepOutput(unit=LLAMA, step="compile", line="cc [red]-c[/red] x.c")]) == []


def test_quiet_says_only_why_a_unit_failed() -> None:
    console = paper()
    view = QuietView(console)
    for event in run():
        view(event)
    assert written(console) == "".join(f"{text.plain}\n" for text in failure_block(FAILURE))


def test_a_failure_names_step_error_log_and_command() -> None:
    assert [text.plain for text in failure_block(FAILURE)] == [
        "✗ vllm@0.22.0:rocm-gfx942 failed in compile after 1m 12s (exit code 9)",
        "",
        "    In file included from csrc/x.hip:1:",
        f"    {ERROR}",
        "      812 |   auto acc = mfma(a, b);",
        "",
        f"  log:       {LOG}",
        "  hint:      build with fewer jobs",
        f"  repeat:    farm build {VLLM}",
        "  reproduce: farm reproduce bundle.tar",
    ]


def test_an_error_that_is_not_among_the_details_stands_before_them() -> None:
    event = UnitFinished(
        unit=LLAMA, outcome=Outcome.FAILED, seconds=0, message="disk full", details=("a", "b\nc")
    )
    texts = [text.plain for text in failure_block(event, step="fetch")]
    assert texts == [
        f"✗ {LLAMA} failed in fetch",
        "",
        "  disk full",
        "    a",
        "    b",
        "    c",
        "",
    ]


def summary(events: list[Event], width: int) -> list[str]:
    made = Summary()
    for event in events:
        made(event)
    return [text.plain for text in made.lines(width)]


def test_the_summary_has_every_unit_in_plan_order(tmp_path: Path) -> None:
    wheel = tmp_path / "x-1-py3-none-any.whl"
    wheel.write_bytes(b"x" * 12_345)
    assert summary(run(str(wheel)), 140) == [
        f"✓ {LLAMA}  built     37.2s  x-1-py3-none-any.whl  12.3 kB",
        f"✗ {VLLM}      failed   1m 12s  exit 9  compile: {ERROR}",
        f"– {NEEDY}                blocked       –  needs {VLLM}, which failed",
        "",
        "1 built, 1 failed, 1 blocked in 1m 13s  out/r",
    ]


def test_the_end_of_a_run_stands_beside_its_forecast_where_that_is_worth_it() -> None:
    def total(seconds: float, forecast_s: float | None) -> str:
        over = RunFinished(exit_code=0, seconds=seconds, forecast_s=forecast_s)
        return summary([*run("x.whl")[:-1], over], 140)[-1]

    assert " in 1m 40s (forecast: 1m 30s)  out/r" in total(100, 90)
    assert "forecast" in total(5, 90)
    assert "forecast" not in total(100, None)
    assert "forecast" not in total(9, 3)


def test_in_80_columns_results_stand_below_their_units_and_wheels_stay_whole() -> None:
    lines = summary(run("/elsewhere/" + "long_name_" * 9 + ".whl"), 80)
    assert lines[1] == "    " + "long_name_" * 9 + ".whl"
    assert lines[3] == f"    exit 9  compile: {ERROR}"[:79] + "…"
    assert lines[5] == f"    needs {VLLM}, which failed"


def test_a_run_of_nothing_has_no_summary() -> None:
    assert summary([RunStarted(run="r", units=(), folder="f")], 80) == []


def compiled(unit: str, *calls: tuple[str, float, int], **more: Any) -> Compiled:
    made = [
        Compile(compiler="g++", source=source, wall_s=wall, cpu_s=wall, peak_bytes=peak)
        for source, wall, peak in calls
    ]
    given: dict[str, Any] = {
        "wall_s": 36.0,
        "cpu_s": 70.2,
        "peak_bytes": 1,
        "at_once_bytes": 1_500_000_000,
    }
    return Compiled(
        unit=unit,
        **{"count": len(made), "hits": 0, "misses": 0, "retried": 0} | given | more,
        longest=tuple(sorted(made, key=lambda call: -call.wall_s)),
        largest=tuple(sorted(made, key=lambda call: -call.peak_bytes)),
    )


CALLS = (
    compiled(LLAMA, ("/b/vendor/llama.cpp/llama.cpp", 30, 900_000_000), ("ggml.c", 6, 200_000)),
    compiled(
        VLLM,
        ("csrc/attention/paged.hip", 60, 300_000_000),
        ("csrc/quantization/gptq/a-kernel-with-a-name-that-has-no-end.hip", 20, 1_000_000_000),
        count=120,
        hits=30,
        misses=10,
        retried=2,
        compilers=(
            CompilerCalls(compiler="hipcc", count=80, cpu_s=9, hits=10, misses=10),
            CompilerCalls(compiler="g++", count=40, cpu_s=9, hits=20, misses=0),
        ),
    ),
)


TOOK = """\
  compiled                     calls   wall     CPU    peak  hits
  llama-cpp-python@0.2.44:cpu      2  36.0s  1m 10s  1.5 GB     –
  vllm@0.22.0:rocm-gfx942        120  36.0s  1m 10s  1.5 GB  75 %  hipcc 50 %, g++ 100 %, 2 retried

  longest                                          largest
  ━━━━━━━━  1m 00s  paged.hip  rocm-gfx942         ━━━━━━━━  1.0 GB  a-ke…end.hip  rocm-gfx942
  ━━━━       30.0s  llama.cpp/llama.cpp  cpu       ━━━━━━━   900 MB  llama.cpp/llama.cpp  cpu
  ━━━        20.0s  a-ke…end.hip  rocm-gfx942      ━━        300 MB  paged.hip  rocm-gfx942
  ━           6.0s  ggml.c  cpu                    ━         200 kB  ggml.c  cpu

1 built, 1 failed, 1 blocked in 1m 13s  out/r"""


def test_the_summary_has_what_compilers_took_and_the_longest_and_largest_of_all() -> None:
    lines = summary([*run()[:-1], *CALLS, run()[-1]], 92)
    assert "\n".join(line.rstrip() for line in lines[lines.index("") + 1 :]) == TOOK


def test_in_80_columns_the_largest_stand_below_the_longest_and_nothing_is_wider() -> None:
    lines = summary([*run()[:-1], *CALLS, run()[-1]], 80)
    assert lines.index("  longest") < lines.index("  largest")
    begin = lines.index("  longest")
    assert max(map(len, lines[begin:])) <= 80


def test_of_one_unit_no_call_says_whose_it_is() -> None:
    lines = summary([*run()[:-1], CALLS[0], run()[-1]], 80)
    assert "  ━━━━━━━━  30.0s  llama.cpp/llama.cpp" in lines


def compiling(unit: str, **more: int) -> Compiling:
    given = {"running": 2, "memory_bytes": 3_100_000_000, "budget_bytes": 20_000_000_000}
    return Compiling(unit=unit, **given | {"calls": 60, "hits": 0} | more, time_s=T0 + 3)


def test_how_compilers_use_their_budget_has_a_row_while_they_do() -> None:
    events = [*run()[:11], compiling(LLAMA, calls=20), compiling(VLLM, running=4, hits=7)]
    lines = drawn(events, width=100).splitlines()
    assert re.fullmatch(r". 4 compilers  ━+─+  3\.1 of 20\.0 GB +7 of 80 from the cache", lines[1])
    assert lines[2].split()[1] == LLAMA
    assert "1 compiler " in drawn([*run()[:11], compiling(LLAMA, running=1)], width=60)
    assert "compilers" not in drawn([*run()[:11], compiling(LLAMA), *run()[12:14]], width=80)


def test_plain_lines_of_progress_say_it_too() -> None:
    events = [*run()[:9], compiling(LLAMA, hits=3), *run()[9:10]]
    line = "08:00:02  llama-cpp-python@0.2.44:cpu  compile       [12/34] Building C x.c.o"
    assert plain(events)[-1] == f"{line}  (2 compilers, 3.1 of 20.0 GB, 3 hits)"


def test_json_is_one_object_an_event_with_all_fields() -> None:
    stream = io.StringIO()
    view = JsonView(stream)
    for event in [*run(), StepOutput(unit=LLAMA, step="c", line="bad \udcff\nbyte")]:
        view(event)
    objects = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [each["event"] for each in objects[:3]] == ["RunStarted", "Notice", "TaskProgress"]
    assert objects[0] == {
        "event": "RunStarted",
        "folder": "out/r",
        "run": "20270115-080000-ab12",
        "time_s": T0,
        "units": [LLAMA, VLLM, NEEDY],
    }
    failed = next(each for each in objects if each.get("outcome") == "failed")
    assert set(failed) == {
        "details",
        "event",
        "exit_code",
        "file",
        "hint",
        "line",
        "log",
        "message",
        "outcome",
        "repeat",
        "reproduce",
        "seconds",
        "step",
        "time_s",
        "unit",
        "wheels",
    }
    assert objects[-1]["line"] == "bad ?\nbyte"


@pytest.mark.parametrize("make", [PlainView, QuietView, LiveView])
def test_a_view_survives_that_nobody_reads_it(make: Any) -> None:
    full = Console(file=open("/dev/full", "w", encoding="utf-8"), width=80)  # noqa: SIM115, PTH123 - closed below
    view = make(full)
    for event in run():
        view(event)
    with pytest.raises(OSError, match="No space"):
        full.file.close()
    for event in run():
        view(event)
    JsonView(full.file)(run()[0])  # type: ignore[arg-type]  # a console's file is a text stream


def drawn(events: list[Event], *, width: int, height: int = 24, now_s: float = T0 + 100) -> str:
    """Return what is on the screen after some events, notices and failures left out."""
    console = Console(
        file=io.StringIO(), width=width, height=height, force_terminal=True, color_system=None
    )
    view = LiveView(console, clock=lambda: now_s)
    for event in events:
        view(event)
    with console.capture() as captured:
        console.print(view)
    return captured.get()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_row_is_wider_than_the_window(width: int) -> None:
    long = StepOutput(unit=VLLM, step="compile", line="全角" * 200)
    for count in range(len(run())):
        lines = drawn([*run()[:count], long], width=width).splitlines()
        assert all(Console().render_str(line).cell_len <= width for line in lines)


def test_each_unit_has_a_row_with_step_bar_count_and_time() -> None:
    lines = drawn(run()[:11], width=80).splitlines()
    assert lines[2] == "  [12/34] Building C x.c.o"
    assert lines[4] == f"· {NEEDY}                waiting"
    assert re.fullmatch(r". torch\.whl +━+─+ +4\.5 MB of 9\.0 MB  9\.0 MB/s", lines[0])
    assert re.fullmatch(rf". {LLAMA}  compile +━+─+  12/34 +1:39", lines[1])
    assert re.fullmatch(rf". {VLLM} +starting +1:39", lines[3])
    assert len(lines[0]) == len(lines[1]) == len(lines[3]) == 80


def test_in_60_columns_the_count_is_left_where_the_bar_has_no_room() -> None:
    row = drawn(run()[:11], width=60).splitlines()[1]
    assert re.fullmatch(rf". {LLAMA}  compile +12/34 +1:39", row)
    assert len(row) == 60


def test_finished_units_keep_their_row_with_sign_and_time() -> None:
    lines = drawn(run()[:-1], width=80).splitlines()
    assert [line.split() for line in lines] == [
        ["✓", LLAMA, "built", "37.2s"],
        ["✗", VLLM, "failed", "1m", "12s"],
        ["–", NEEDY, "blocked"],
    ]


def test_more_units_than_the_window_holds_are_counted() -> None:
    labels = tuple(f"p{n}@1:cpu" for n in range(300))
    events: list[Event] = [RunStarted(run="r", units=labels, folder="f")]
    events += [UnitStarted(unit=label, max_jobs=1, time_s=T0) for label in labels[:53]]
    built = [UnitFinished(unit=u, outcome=Outcome.BUILT, seconds=1) for u in labels[:50]]
    lines = drawn([*events, *built], width=80, height=10).splitlines()
    assert [line.split()[1] for line in lines[:3]] == list(labels[50:53])
    assert lines[3].split("  ") == ["", "50 built", "247 waiting"]
    crowded = drawn(events, width=80, height=10).splitlines()
    assert crowded[-1].split("  ") == ["", "47 more running", "247 waiting"]
    assert len(crowded) == 7


CHILD = """
import sys, threading
from farm.console.choose import make_view
from farm.events import *
units = ("a@1:cpu", "b@1:cpu")
with make_view("auto", env={"TERM": "xterm"}) as view:
    view(RunStarted(run="r", units=units, folder="f"))
    view(Notice(text="take note " * 9))
    def build(unit):
        view(UnitStarted(unit=unit, max_jobs=1))
        view(StepStarted(unit=unit, step="compile"))
        for n in range(20000):
            view(StepOutput(unit=unit, step="compile", line=f"[{n}/20000] cc " + "x" * 100))
            view(StepProgress(unit=unit, step="compile", done=n, total=20000))
        view(UnitFinished(unit=unit, outcome=Outcome.BUILT, seconds=1))
    threads = [threading.Thread(target=build, args=(unit,)) for unit in units]
    [t.start() for t in threads]
    [t.join() for t in threads]
    view(RunFinished(exit_code=0, seconds=1))
"""


def read_all(descriptor: int, into: list[bytes]) -> None:
    while True:
        try:
            data = os.read(descriptor, 1 << 16)
        except OSError:  # how Linux tells that the other end of a terminal is closed
            return
        if not data:
            return
        into.append(data)


def test_on_a_real_terminal_a_flood_of_lines_costs_only_a_few_drawings() -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 60, 0, 0))
    chunks: list[bytes] = []
    reader = threading.Thread(target=read_all, args=(ours, chunks))
    reader.start()
    env = {name: value for name, value in os.environ.items() if name not in {"CI", "NO_COLOR"}}
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env={**env, "TERM": "xterm"},
        check=False,
    )
    os.close(theirs)
    reader.join()
    os.close(ours)
    text = b"".join(chunks).decode()
    assert done.returncode == 0, text
    assert len(text) < 40_000 * 100 / 10  # the lines themselves would be ten times as much
    assert "Traceback" not in text
    assert text.count("\x1b[?25l") == text.count("\x1b[?25h") == 1  # the cursor is back
    end = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).split("take note")[-1]
    assert "✓ a@1:cpu  built  1.0s" in end
    assert "2 built in 1.0s  f" in end
