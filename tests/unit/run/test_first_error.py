"""The first real error, in logs of builds that were broken on purpose and run for real.

``build_logs/`` holds what gcc, ld, CMake, ninja, make, Python, setuptools, pip, build,
scikit-build-core, setuptools-rust, cargo, patch and git said (only paths were shortened);
``expected.json`` names the line that a person would point at.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.run.error_lines import clean
from farm.run.first_error import first_error
from farm.run.starved import looks_out_of_memory

LOGS = Path(__file__).parent / "build_logs"

EXPECTED: dict[str, str | None] = json.loads((LOGS / "expected.json").read_text("utf-8"))


def read(name: str) -> list[str]:
    return (LOGS / f"{name}.log").read_text(encoding="utf-8").split("\n")


def test_every_log_has_an_expectation() -> None:
    assert {path.stem for path in LOGS.glob("*.log")} == set(EXPECTED)


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_first_real_error_of_a_real_log_is_found(name: str) -> None:
    found = first_error(read(name))
    assert (found.line if found else None) == EXPECTED[name]


@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_the_farms_own_stamps_change_nothing(name: str) -> None:
    plain = first_error(read(name))
    for stamp in ("2026-11-22T05:12:00.123Z ", "2026-11-22T05:12:00.123Z [compile] "):
        assert first_error([stamp + line for line in read(name)]) == plain


def test_context_holds_the_command_the_caret_and_the_line() -> None:
    found = first_error(read("torch_like"))
    assert found is not None
    assert found.context == (
        "FAILED: x.o",
        r"g++ -Werror -DNAME=\"a:1:2:error\" -c ../x.cpp -o x.o",
        '../x.cpp:1:2: error: #error "needs SM80"',
        '    1 | #error "needs SM80"',
        "      |  ^~~~~",
    )


@pytest.mark.parametrize(
    "line",
    [
        # nvcc 12 and its tools, ROCm's clang and lld, from their documented forms
        'kernel.cu(12): error: identifier "half2" is undefined',
        "kernel.cu(12): error #20: identifier is undefined",
        "attention.cuh(3): fatal error: cannot open source file",
        'x.h(3): error: #error directive: "need sm_80"',
        "nvcc fatal   : Unsupported gpu architecture 'compute_999'",
        "ptxas fatal   : Unresolved extern function '__nv_x'",
        "ptxas /tmp/x.ptx, line 12; error   : Feature needs .target sm_90 or higher",
        "nvlink error   : Undefined reference to 'f' in 'x.o'",
        "ld.lld: error: undefined hidden symbol: f",
        "lld: error: undefined hidden symbol: f",
        "clang++-19: error: unsupported option '--offload-arch=gfx9999'",
        "x.hip:3:10: fatal error: 'hip/missing.h' file not found",
        "/usr/bin/x86_64-linux-gnu-g++-13: error: unrecognized command-line option '-z9'",
        "x.cc:9:1: internal compiler error: Segmentation fault",
        "src/meson.build:4:0: ERROR: Dependency not found",
        "farm: error: patch 0001-x.patch: setup.py: line 3 is not what it says",
        "/usr/bin/ld: x.o: relocation R_X86_64_32 against `y' can not be used; use -fPIC",
        "Makefile:2: *** missing separator.  Stop.",
        "LLVM ERROR: Cannot select: intrinsic %llvm.x",
    ],
)
def test_what_a_tool_says_of_its_input_wins_over_what_came_before(line: str) -> None:
    log = ["error: something without a place", "gmake: *** [x] Error 2", line, "more"]
    found = first_error(log)
    assert found is not None
    assert (found.line, found.number) == (line, 3)


@pytest.mark.parametrize(
    "line",
    [
        "[1/9] Building CXX object error_handling.cpp.o",
        "g++ -Werror -Werror=return-type -c fatal_error.cpp",
        "src/error.cpp:12:3: warning: unused variable 'error' [-Wunused]",
        "0 errors, 0 warnings",
        "-- Performing Test HAVE_ERROR - Failed",
        "copying vllm/errors.py -> build/lib/vllm",
        "checking for error_at_line... yes",
        "adding 'pkg/error: odd name.py'",
        "error: subprocess-exited-with-error",
        "  error: metadata-generation-failed",
        "ERROR: Failed building wheel for vllm",
        "ERROR: Could not build wheels for vllm, which is required",
        "ERROR Backend subprocess exited when trying to invoke build_wheel",
        "FAILED: [code=1] x.o ",
        "ninja: build stopped: subcommand failed.",
        "CMake Warning at CMakeLists.txt:3 (message):",
        "x.c:1:1: note: in expansion of macro 'error'",
        "/usr/bin/ld: warning: x.o: missing .note.GNU-stack section not found",
        "ptxas info    : 0 bytes gmem",
        'DEFINES = -DTEXT="x:1:2: error: no"',
        "1 error detected in the compilation of kernel.cu.",
        "test_error_paths PASSED",
    ],
)
def test_a_line_that_only_sounds_like_an_error_is_none(line: str) -> None:
    assert first_error([line]) is None


@pytest.mark.parametrize(
    ("message", "line", "number"),
    [
        (["  It fails with:", "", "    g++: error: no"], "g++: error: no", 5),
        # What is not indented CMake wraps, in the midst of a line.
        (["  In file included from", "  a.h:1,", "", "  x/host.h:137:2:", "  error: #error -- no",
          "  way", "", "    137 | #error"], "x/host.h:137:2: error: #error -- no way", 6),
        (["  1", *("  #$ x" for _ in range(200)), "  nvcc fatal   : n"], "nvcc fatal   : n", 204),
        (["  CMake Error at inner:1 (b):", "    its own words.", ""],
         "CMake Error at inner:1 (b): its own words.", 3),
        # Only what stands in the message; and what follows from something is nothing new.
        (["  No.", "", "Call Stack (most recent call first):", "g++: error: x"],
         "CMake Error at CMakeLists.txt:3 (message): No.", 2),
        (["  No.", "    make: *** [x] Error 2", "    error: some"],
         "CMake Error at CMakeLists.txt:3 (message): No. make: *** [x] Error 2 error: some", 2),
    ],
)  # fmt: skip
def test_what_cmake_quotes_of_a_tool_is_the_error(
    message: list[str], line: str, number: int
) -> None:
    found = first_error(["-- Check", "CMake Error at CMakeLists.txt:3 (message):", *message])
    assert found is not None
    assert (found.line, found.number) == (line, number)


def test_an_ignored_exception_is_not_the_error() -> None:
    log = [
        "Exception ignored in: <function Pool.__del__ at 0x7f>",
        "Traceback (most recent call last):",
        '  File "x.py", line 1, in __del__',
        "OSError: [Errno 9] Bad file descriptor",
        "x.c:1:1: error: the real one",
    ]
    found = first_error(log)
    assert found is not None
    assert found.line == "x.c:1:1: error: the real one"


def test_lines_of_other_jobs_within_a_traceback_do_not_hide_its_end() -> None:
    log = [
        "Traceback (most recent call last):",
        '  File "x.py", line 1, in <module>',
        "[3/9] Building CXX object x.o",
        "    raise RuntimeError(1)",
        "RuntimeError: Unknown runtime environment",
    ]
    found = first_error(log)
    assert found is not None
    assert (found.line, found.number) == ("RuntimeError: Unknown runtime environment", 5)


def test_of_a_line_drawn_over_the_last_state_counts() -> None:
    found = first_error(["10 %\r20 %\rx.c:1:2: error: late\r\n"])
    assert found is not None
    assert found.line == "x.c:1:2: error: late"


PIECES = st.sampled_from(
    [
        "Traceback (most recent call last):",
        "  File",
        "ValueError: x",
        "error: ",
        "x.c:1:2: ",
        "CMake Error at a:1 (b):",
        "  text",
        "  x.c:1:2:",
        "  error: z",
        "    g++: error: y",
        "",
        "FAILED: x",
        "[1/2] ",
        "\r",
        "\x1b[31m",
        "\0",
        "make: *** ",
        "Error 1",
        "thread 'a' panicked at b:",
        " --> x",
        "= note: ",
        "\t",
        "é",
        "2026-11-22T05:12:00.123Z [compile] ",
        "ninja: build stopped: x",
    ]
)
LINES = st.lists(st.lists(PIECES | st.text(max_size=8), max_size=4).map("".join), max_size=14)


@given(LINES)
def test_number_and_line_agree_whatever_the_log_holds(lines: list[str]) -> None:
    found = first_error(lines)
    looks_out_of_memory(lines, found)
    if found is not None:
        own = clean(lines[found.number - 1]).strip().removeprefix("= note: ")
        assert own
        assert found.line.startswith(own)
        assert any(own in line for line in found.context)
