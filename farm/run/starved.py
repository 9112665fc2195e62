"""Whether memory ran out in a build, at which file, and with how many jobs it may go better."""

from __future__ import annotations

import re
from collections import deque
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from farm.run.error_lines import LINE_CHARACTERS, clean, rank
from farm.run.logs import CALLS
from farm.store.calls import CallLog

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from farm.errors import OutOfMemoryError
    from farm.plan.jobs import JobPlan
    from farm.run.first_error import FirstError

KILLED = 137
"""Exit status of what SIGKILL ended, as shells and engines count: 128 and the signal's number."""
ALONE = "although nothing else was compiled"
"""What the gate says of a compiler for which there is not enough, whatever waits (gate.c)."""
_END_CHARACTERS = 200  # cargo names the signal after a command line of any length
_SIGNS = re.compile(
    r"\bKilled signal terminated program\b|(?:^|[\s:])Killed$|\bline \d+: +\d+ Killed\b"
    r"|^FAILED: \[code=(?:9|137)\]|\breturned non-zero exit status (?:-9|9|137)\b"
    r"|\bdied with <Signals\.SIGKILL: 9>|\(signal: 9, SIGKILL\b|\b[Ee]xit (?:code|status):? -9\b"
    r"|\bexit (?:code|status):? 137\b"
    r"|\b(?:terminated (?:by|with)|died due to) signal 9\b|: Killed \(program \w+\)$"
    r"|\*\*\* .*\bError (?:137|-9)\b|: (?:fatal error: |error: )?out of memory allocating \d"
    r"|^virtual memory exhausted\b|^LLVM ERROR: out of memory|^(?:\S+: )?std::bad_alloc\b"
    r"|what\(\): +std::bad_alloc|^MemoryError\b|\b[Cc]annot allocate memory\b"
    r"|\bmemory allocation of \d+ bytes failed\b|: memory exhausted$|: memory ran out at "
)
_STOPPED = re.compile(r"ninja: build stopped: (?!interrupted)")
_SOURCE = re.compile(
    r"(?:^|\s)([^\s'\"=]+\.(?:c|cc|cpp|cxx|c\+\+|cu|hip|m|mm|s|S|f|f90|F90))(?=\s|$)"
)
_OF_GATE = re.compile(rf"farm: error: (?P<file>.+): memory ran out at .*{ALONE}")
_TARGET = re.compile(
    r"^FAILED: (?:\[code=\d+\] )?(?P<file>\S+)"
    r"|\*\*\* \[(?:\S+:\d+: )?(?P<made>\S+)\] (?:Error|Killed)"
    r"|^error: could not compile `(?P<crate>[^`]+)`"
)
_BEFORE, _AFTER = 4, 6


def is_sign(line: str) -> bool:
    """Whether a line of a log says that the kernel, or a failed allocation, ended something."""
    text = clean(line)
    if len(text) <= LINE_CHARACTERS:
        return bool(_SIGNS.search(text.strip()))
    ends = text[:LINE_CHARACTERS], "…" + line.rstrip()[-_END_CHARACTERS:]
    return any(_SIGNS.search(end) for end in ends)


def looks_out_of_memory(lines: Iterable[str], first: FirstError | None) -> bool:
    """Whether memory seems to have ended the build whose first error is ``first``.

    What a tool says of its input is believed; else any sign counts.  Besides these there
    is one in what is missing: ninja stops because a command failed, and that command said
    nothing (and did not exit with a code of its own, which ninja prints since 1.13).
    """
    if first is not None and rank(first.line) == 1:
        return is_sign(first.line)
    stopped, own_code = False, False
    for line in lines:
        if is_sign(line):
            return True
        text = clean(line).strip()
        stopped = stopped or bool(_STOPPED.match(text))
        own_code = own_code or text.startswith("FAILED: [code=")
    return first is None and stopped and not own_code


def compiled_file(log: Path, first: FirstError | None) -> str:
    """What was being compiled when memory ran out; empty if nobody tells.

    The gate's word on a call that was killed, beside the log, is the surest.  Else a build
    tool names what it could not make, and a command nearby its source.
    """
    killed = ""
    with suppress(OSError):
        for call in CallLog(log.with_name(CALLS)):
            killed = call.source if call.status == KILLED else killed
    return killed or _named([clean(line).strip() for line in _around(log, first)])


def _around(log: Path, first: FirstError | None) -> list[str]:
    """The lines around the first error; around the first sign if no line tells of an error."""
    before: deque[str] = deque(maxlen=_BEFORE)
    with log.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            told = is_sign(line) or clean(line).startswith("FAILED: ")
            if (number == first.number) if first else told:
                return [*before, line, *islice(lines, _AFTER)]
            before.append(line)
    return []


def _named(lines: list[str]) -> str:
    """The source that lines around an error are about, else what should have come of it."""
    by_gate = next((found["file"] for line in lines if (found := _OF_GATE.search(line))), "")
    targets = (found for line in lines if (found := _TARGET.search(line)))
    target = next((next(filter(None, found.groups())) for found in targets), "")
    commands = [line for line in lines if target in line and not _TARGET.search(line)]
    sources = [found for line in commands for found in _SOURCE.findall(line)]
    return by_gate or (sources[-1] if sources else target)


def fewer(jobs: JobPlan, error: OutOfMemoryError) -> JobPlan | None:
    """Half as many jobs, also of a package that chooses its own: the gate holds it to the cores.

    None where that would not help: one is left, or the compiler was alone.
    """
    cores = jobs.budget.cores if jobs.budget else 1
    if ALONE in error.message or max(jobs.max_jobs, cores) <= 1:
        return None
    half = max(1, jobs.max_jobs // 2)
    return replace(
        jobs,
        max_jobs=half,
        arithmetic=f"MAX_JOBS={half}, half of {jobs.max_jobs}, with which memory ran out",
        budget=jobs.budget and replace(jobs.budget, cores=min(half, cores)),
    )
