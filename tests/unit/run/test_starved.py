"""Out of memory told apart: by its signs in real logs, with the file, and with fewer jobs."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.errors import OutOfMemoryError
from farm.plan.jobs import Budget, JobPlan
from farm.run.first_error import first_error
from farm.run.logs import CALLS
from farm.run.starved import ALONE, compiled_file, fewer, is_sign, looks_out_of_memory
from tests.support.calls import call, write_calls

LOGS = Path(__file__).parent / "build_logs"
OUT_OF_MEMORY = {
    # What real programs said in a cgroup of 80 MiB, or under "ulimit -v"; the crate's
    # command line was made as long as it is with thirty others.
    "ninja_silent_kill": "out",
    "oom_address_space": "heavy.cpp",
    "oom_called_process": "",
    "oom_cargo": "tiny",
    "oom_cc1plus": "x.cpp",
    "oom_make": "all",
    "oom_make_cxx": "heavy.cpp",
    "oom_ninja": "heavy.cpp",
    "oom_setuptools": "heavy.cpp",
    "oom_shell": "",
}
"""The file that each is about."""


def seen(lines: list[str]) -> bool:
    return looks_out_of_memory(lines, first_error(lines))


@pytest.mark.parametrize("log", sorted(LOGS.glob("*.log")), ids=lambda log: log.stem)
def test_out_of_memory_is_seen_where_it_was_and_nowhere_else(log: Path) -> None:
    assert seen(log.read_text(encoding="utf-8").split("\n")) == (log.stem in OUT_OF_MEMORY)


@pytest.mark.parametrize(("name", "file"), OUT_OF_MEMORY.items())
def test_the_file_is_told_that_was_compiled(name: str, file: str) -> None:
    log = LOGS / f"{name}.log"
    assert compiled_file(log, first_error(log.read_text(encoding="utf-8").split("\n"))) == file


def test_of_two_that_were_compiled_at_once_the_one_that_failed_is_told(tmp_path: Path) -> None:
    log = tmp_path / "compile.log"
    log.write_text(
        "g++ -c heavy.cpp -o heavy.o\ng++ -c light.cpp -o light.o\n"
        "g++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.\n"
        "make: *** [Makefile:3: heavy.o] Error 1\n"
    )
    with log.open(encoding="utf-8") as lines:
        assert compiled_file(log, first_error(lines)) == "heavy.cpp"


@pytest.mark.parametrize("more", ["", "{", '{"source": 1}', "[]", '"x"'])
def test_the_gates_word_on_what_was_killed_is_the_surest(tmp_path: Path, more: str) -> None:
    log = tmp_path / "compile.log"
    log.write_text("FAILED: x.o\ng++ -c x.cpp -o x.o\nKilled\n")
    told = [call("a.cpp"), call("b.cpp", status=137), call("c.cpp", status=1)]
    calls = write_calls(log.with_name(CALLS), told)
    calls.write_text(f"{more}\n{calls.read_text()}{more}\n")
    assert compiled_file(log, None) == "b.cpp"


@pytest.mark.parametrize(
    "line",
    [
        "c++: fatal error: Killed signal terminated program cc1plus",
        "FAILED: [code=137] x.o ",
        "FAILED: [code=9] x.o ",
        "subprocess.CalledProcessError: Command '['ninja']' returned non-zero exit status 137.",
        "Command '['nvcc']' died with <Signals.SIGKILL: 9>.",
        "  process didn't exit successfully: `rustc …` (signal: 9, SIGKILL: kill)",
        "/bin/sh: line 1:  4711 Killed                  nvcc -c x.cu",
        "cc1plus: out of memory allocating 65536 bytes after a total of 900 bytes",
        "LLVM ERROR: out of memory",
        "make: *** [Makefile:2: x.o] Killed",
        "collect2: fatal error: ld terminated with signal 9 [Killed]",
        "nvcc error   : 'cicc' died due to signal 9 (Kill signal)",
        "g++: internal compiler error: Killed (program cc1plus)",
        "clang-19: error: unable to execute command: Killed",
        "error: command '/usr/bin/g++' failed with exit code -9",
        "/usr/bin/ld: final link failed: memory exhausted",
        "memory allocation of 4096 bytes failed",
        "farm: error: a.cu: memory ran out at 3.1 GiB although nothing else was compiled; all …",
        "terminate called after throwing: what():  std::bad_alloc",
    ],
)
def test_signs_of_missing_memory_are_seen(line: str) -> None:
    assert seen(["[1/2] x", line])


@pytest.mark.parametrize(
    "log",
    [
        ["FAILED: [code=1] x.o ", "g++ x", "ninja: build stopped: subcommand failed."],
        ["FAILED: x.o", "g++ x", "x.c:1:1: error: y", "ninja: build stopped: cannot make"],
        ["ninja: build stopped: interrupted by user."],
        ["x.c:1:1: error: y", "make: *** [Makefile:2: x.o] Error 1", "Killed"],
        ["Building killed_process.o", "test Killed Process", "code=90"],
        [],
    ],
)
def test_other_ends_are_not_blamed_on_memory(log: list[str]) -> None:
    assert not seen(log)


def test_a_sign_at_the_end_of_a_line_of_any_length_is_seen() -> None:
    line = "  process didn't exit successfully: `rustc" + " --extern x=/y" * 2000
    assert is_sign(f"{line}` (signal: 9, SIGKILL: kill)\n")
    assert not is_sign(f"{line}` (exit status: 1)\n")


def jobs(max_jobs: int, cores: int | None) -> JobPlan:
    budget = Budget(cores=cores, memory_bytes=1 << 30, call_bytes=1 << 20) if cores else None
    return JobPlan(max_jobs=max_jobs, nvcc_threads=1, arithmetic="", budget=budget)


@pytest.mark.parametrize(
    ("had", "max_jobs", "cores"),
    [
        (jobs(8, 8), 4, 4),
        (jobs(3, None), 1, None),
        (jobs(5, 16), 2, 2),  # a package with a -j of its own is held to them, too
        (jobs(1, 16), 1, 1),
    ],
)
def test_the_next_try_has_half_as_many_jobs(
    had: JobPlan, max_jobs: int, cores: int | None
) -> None:
    left = fewer(had, OutOfMemoryError("x"))
    assert left is not None
    assert left.max_jobs == max_jobs
    assert (left.budget.cores if left.budget else None) == cores
    assert "memory ran out" in left.arithmetic


@pytest.mark.parametrize("had", [jobs(1, None), jobs(1, 1)])
def test_where_one_job_is_left_nothing_is_tried_again(had: JobPlan) -> None:
    assert fewer(had, OutOfMemoryError("x")) is None


def test_what_was_compiled_alone_is_not_tried_again() -> None:
    assert fewer(jobs(8, 8), OutOfMemoryError(f"a.cu: memory ran out at 3 GiB {ALONE}")) is None
