"""What happens during a run, as values.

Executing code only emits these; the live console, the plain lines, the JSON
stream, the log files and the run record subscribe.  ``unit`` is the unit's
label (``llama-cpp-python@0.2.44:cpu``); times are seconds since the epoch.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol


class Outcome(StrEnum):
    """How a unit ended."""

    BUILT = "built"
    UNCHANGED = "unchanged"
    STOPPED = "stopped"
    FAILED = "failed"
    BLOCKED = "blocked"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Base: when it happened."""

    time_s: float = field(default_factory=time.time)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(Event):
    """A run begins; units are in plan order."""

    run: str
    units: tuple[str, ...]
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """One line that the user should see (an engine passed over, say)."""

    text: str
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskProgress(Event):
    """Work outside a container: a download, a bootstrap.

    ``total`` is None while unknown; ``unit_of_measure`` is ``bytes`` or ``steps``.
    ``finished`` is True exactly once for each ``task``.
    """

    task: str
    done: int
    total: int | None
    unit_of_measure: str = "bytes"
    finished: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitStarted(Event):
    """A unit has left the queue."""

    unit: str
    max_jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepStarted(Event):
    """A step of a unit begins (``requirements``, ``patch``, ``compile`` …)."""

    unit: str
    step: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepOutput(Event):
    """One line that a step wrote, without its newline; undecodable bytes replaced."""

    unit: str
    step: str
    line: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProgress(Event):
    """``[done/total]`` as ninja or make print it."""

    unit: str
    step: str
    done: int
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiling(Event):
    """How compilers share their budget now, told every few seconds while a unit compiles.

    ``running`` compilers of all containers of the engine take ``memory_bytes`` of
    ``budget_bytes``; of ``calls`` that this unit has made, ``hits`` came from the compile cache.
    """

    unit: str
    running: int
    memory_bytes: int
    budget_bytes: int
    calls: int
    hits: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFinished(Event):
    """A step ended; ``error`` is empty unless it failed."""

    unit: str
    step: str
    seconds: float
    cached: bool
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compile:
    """One call of a compiler; ``source`` is what it compiled, or linked."""

    compiler: str
    source: str
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CompilerCalls:
    """The calls of one kind of compiler (``g++``, ``nvcc``), and what its compile cache did."""

    compiler: str
    count: int
    cpu_s: float
    hits: int
    misses: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled(Event):
    """What the compilers of a unit took, told when its compile step is over.

    ``wall_s`` is from the first call's beginning to the last one's end, ``peak_bytes`` what the
    largest call took, ``at_once_bytes`` the most of all together, each taken at its peak;
    ``retried`` runs were made because memory ran out.  ``longest`` and ``largest`` are five calls
    each.
    """

    unit: str
    count: int
    wall_s: float
    cpu_s: float
    peak_bytes: int
    at_once_bytes: int
    hits: int
    misses: int
    retried: int
    compilers: tuple[CompilerCalls, ...] = ()
    longest: tuple[Compile, ...] = ()
    largest: tuple[Compile, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitFinished(Event):
    """A unit ended.

    ``log`` is the path of its whole log, if there is one; ``step`` is the step
    that failed, and ``details`` the lines around the error that ``message`` names.
    Of a build that was stopped after configuring they say what it would have done.
    ``wheels`` are paths; ``repeat`` is the command that repeats a failure as recipes are
    now, ``reproduce`` the one that does it with what this build was made of, here or elsewhere;
    ``file`` and ``line`` are where to look for its cause: a patch, or the variant in its recipe.
    """

    unit: str
    outcome: Outcome
    seconds: float
    exit_code: int = 0
    wheels: tuple[str, ...] = ()
    log: str = ""
    step: str = ""
    message: str = ""
    hint: str = ""
    details: tuple[str, ...] = ()
    repeat: str = ""
    reproduce: str = ""
    file: str = ""
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(Event):
    """The run is over, with the code that the process will end with.

    ``forecast_s`` is how long it was to last by earlier builds of all its units; None where
    not all of them were built here before, or not all that was to be built now was.
    """

    exit_code: int
    seconds: float
    forecast_s: float | None = None


class Sink(Protocol):
    """Receives events, from any thread, in the order in which they were emitted."""

    def __call__(self, event: Event, /) -> None:
        """Take one event; must not raise and must not block for long."""
