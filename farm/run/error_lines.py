"""What lines of a build log say, each by itself: whose error it is, and how near to the cause.

Three ranks sort them out:

1. what a tool says of its input: a compiler, a linker, CMake, a Python traceback;
2. an error without a place, and failures that follow from others;
3. last words (``make: *** … Error 1``), and what a command that ninja ran said.

What pip and its kind say of their children is never the error.
"""

from __future__ import annotations

import re

LINE_CHARACTERS = 2000
"""What is beyond this of a line is a command's arguments, and is not looked at."""

RUST_NOTE = "= note: "  # before what a linker said, as rustc quotes it

_CONTROL = re.compile(
    r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|[\0-\x08\x0a-\x0c\x0e-\x1f\x7f]"
)
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (?:\[[A-Za-z][\w.-]*\] )?")

_TOOLS = (
    r"(?:[\w-]+-)?(?:cc1|cc1plus|cc1obj|gcc|g\+\+|c\+\+|cc|cpp|clang|clang\+\+|amdclang|"
    r"amdclang\+\+|flang|gfortran|f951|hipcc|icpx|icx|as|lto1|lto-wrapper|lld|ld\.lld|ld\.gold|"
    r"ld\.bfd|ld|mold|rustc|ccache|sccache|protoc|swig|ninja)(?:-[\d.]+)?"
)
_LINKER = (
    r"(?:\S*/)?(?:[\w-]+-)?ld(?:\.\w+)?: (?!.*\bwarning: |skipping |.*: in function )"
    r".*(?:cannot find |: relocation R_|multiple definition of|undefined symbol"
    r"|hidden symbol|file format not recognized|No such file|not found)"
)
_ERROR = r"(?:fatal |catastrophic |internal compiler )?error"

_CONSEQUENCE = re.compile(
    r".*(?:: error: (?:ld returned \d+ exit status|linker command failed)|: final link failed)"
)
_PLACED = re.compile(
    # gcc, clang, gas, meson: file:12:3: error: …; nvcc: file.cu(12): error: …
    r"(?:<[\w .-]+>|[^\s:()\"'|][^:()\"'|]*)"
    rf"(?::\d+(?::\d+)?|\(\d+(?:,\s*\d+)?\))\s?: (?i:{_ERROR})(?: #[\w-]+)?: ?\S"
)
_FIRST_RANK = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:\S*/)?{_TOOLS}: (?:{_ERROR}|fatal): \S",
        # nvcc's tools: "nvcc fatal   : …", "ptxas /tmp/x.ptx, line 12; error   : …"
        r"(?:nvcc|ptxas|nvlink|fatbinary|cicc|cudafe\+\+)(?: [^;]*;)? +(?:fatal|error) *: ",
        r".*\bundefined reference to \W",
        _LINKER,
        r".*: multiple definition of \W",
        r"error\[E\d{4}\]: ",
        r"(?:g?make(?:\[\d+\])?|[^\s:]*(?i:makefile|\.mk|\.make)[^\s:]*:\d+): \*\*\* .*Stop\.$",
        r"farm: error: ",
        r"LLVM ERROR: ",
        r"error: patch failed: |Hunk #\d+ FAILED at ",
    )
)
_HEADINGS = (  # lines whose message stands on the lines that follow
    re.compile(r"CMake (?:Internal )?Error(?: \(dev\))?(?: at .+:\d+ \(.*\)| in .+|: .*|):?$"),
    re.compile(r"thread '.*' (?:\(\d+\) )?panicked at .+:$"),
)
_WORTH_A_LOOK = re.compile(  # most lines of a log are ruled out at once
    r"[Ee]rror(?:[:\[]| #| +:| at | in | \(| -?\d|$)|ERROR|fatal|FATAL|xception|undefined"
    r"|definition of|ld(?:\.\w+)?: |\*\*\*|Killed|not found|denied|No such|panicked|FAILED"
)
_NOISE = re.compile(
    r"error: (?:subprocess-exited-with-error|metadata-generation-failed"
    r"|legacy-install-failure|failed-wheel-build-for-install)\b"
    r"|ERROR:? (?:Failed building|Could not build wheels|Failed to build|Backend subprocess)"
    r"|ERROR:? .*exited with .*(?:status|code)|ERROR: pip's dependency resolver"
)
_SECOND_RANK = tuple(
    re.compile(pattern)
    for pattern in (
        r"(?:error|Error|ERROR|fatal error|FATAL ERROR): ?\S",
        r"ERROR [A-Z]\w+ \w",  # pypa/build: "ERROR Missing dependencies:"
        r"(?:[A-Za-z_]\w*\.)*[A-Z]\w*(?:Error|Exception): \S",  # a traceback whose head was lost
        r"(?:\S*/)?[\w.+-]+: (?:fatal )?error: \S",
        r"(?:\S*/)?(?:ba|da|z|k)?sh: .*(?:not found|Permission denied|No such file or directory)$",
        r"(?:\S*/)?env: .*No such file or directory$",
        r"\S+: (?:line )?\d+: .*(?:: not found|: command not found|: Permission denied)$",
        r"(?:.*\s)?Killed$",
    )
)
_THIRD_RANK = (
    re.compile(r"g?make(?:\[\d+\])?: \*\*\* .*(?:Error -?\d+|Killed)"),
    re.compile(r"fatal: \S"),  # git, whose answer most builds shrug off
)

_BOUNDARY = re.compile(
    r"\[\s*\d+(?:/\d+|%)\] |g?make(?:\[\d+\])?: |ninja: |-- |farm: |\s*Compiling \S+ v\d"
    r"|During handling of the above|The above exception was|\[end of output\]|stack backtrace:"
    r"|error: could not compile "
)


def clean(line: str) -> str:
    """Return a log's line as it would be read.

    Escape sequences, control characters and the farm's own time stamp are taken
    away; of a line overwritten with carriage returns the last state is kept.
    """
    text = _CONTROL.sub("", line[: 4 * LINE_CHARACTERS])
    stamp = _STAMP.match(text)
    text = text[stamp.end() :] if stamp else text
    if "\r" in text:
        text = next((part for part in reversed(text.split("\r")) if part.strip()), "")
    return text.rstrip()


def rank(line: str) -> int:
    """Return how likely a line, cleaned and not indented, is the error: 1, 2, 3, or 0 for no."""
    if not _WORTH_A_LOOK.search(line) or _NOISE.match(line):
        return 0
    if _CONSEQUENCE.match(line):
        return 2
    if any(heading.match(line) for heading in _HEADINGS):
        return 1
    if _PLACED.match(line) or any(pattern.match(line) for pattern in _FIRST_RANK):
        return 1
    if any(pattern.match(line) for pattern in _SECOND_RANK):
        return 2
    return 3 if any(pattern.match(line) for pattern in _THIRD_RANK) else 0


def is_heading(line: str) -> bool:
    """Whether the message of a line, cleaned and not indented, stands on those that follow."""
    return any(heading.match(line) for heading in _HEADINGS)


def is_boundary(line: str) -> bool:
    """Whether a line, cleaned and not indented, begins something else than what came before."""
    return bool(_BOUNDARY.match(line))


def is_noise(line: str) -> bool:
    """Whether a line, cleaned and not indented, only says that a child failed."""
    return bool(_NOISE.match(line))
