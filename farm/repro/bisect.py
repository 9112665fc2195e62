"""Which of several changes breaks a wheel: builds of states between a good and a bad one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from farm.errors import CancelledError, EngineError, ExitCode, FarmError, UsageError
from farm.host.programs import MissingProgramError, run
from farm.inside.again import FAILED
from farm.model.look import Look
from farm.plan.plan import Plan
from farm.repro.changes import changes, hybrid
from farm.repro.minimal import minimal
from farm.repro.tries import Tries, Try, Verdict
from farm.run.runs import list_runs
from farm.run.session import build
from farm.store.results import STATE, result_folder

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from farm.events import Sink
    from farm.model.unit import Unit
    from farm.repro.changes import Change
    from farm.run.options import BuildOptions, Workplace

_UNTESTABLE = 125
"""What a check ends with that cannot tell, as for ``git bisect run`` (git-bisect(1))."""
_NOT_RUN = 126
"""From here on a shell tells that it could not run a command, or that a signal ended it."""
_OF_CONTENT = frozenset(
    {
        ExitCode.BUILD,
        ExitCode.CHECK,
        ExitCode.PATCH,
        ExitCode.OUT_OF_MEMORY,
        ExitCode.SMOKE_TEST,
    }
)
"""Failures that tell of what was built; the others tell of the machine that built it."""


_OBJECT = re.compile(r"[\w.+@,=/-]{1,300}\.o")
"""What `Look` can make by itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """A unit, with all units that it needs, each after those that it needs itself."""

    unit: Unit
    needed: tuple[Unit, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The changes that break it, none of which can be left out, and what was tried."""

    guilty: tuple[Change, ...]
    tries: tuple[Try, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """How states are built and judged.

    ``check`` is a program with its arguments.  It finds a wheel's path in ``FARM_WHEEL``,
    its folder in ``FARM_RESULT``, and ends with 0 (good), 125 (cannot tell) or another
    number up to 124 (bad).  Without one, the build and its smoke test judge.  ``sink``
    gets what happens in the builds, ``on_try`` each try.
    """

    check: tuple[str, ...]
    options: BuildOptions
    sink: Sink
    on_try: Callable[[Try], None]
    cancel: threading.Event


class Bisection:
    """Looks for what breaks a wheel between two states; what was tried once is remembered.

    What it builds is kept like every result, and never shown in the project's ``out/``.

    Raises:
        UsageError: the states are of two packages, or nothing differs.
    """

    def __init__(self, good: State, bad: State, place: Workplace, means: Means) -> None:
        if good.unit.key.package != bad.unit.key.package:
            raise UsageError(f"{good.unit.label} and {bad.unit.label} are different packages")
        self.good = good
        self.bad = bad
        self.means = means
        self.changes = changes(good.unit, bad.unit)
        if not self.changes:
            raise UsageError(
                "nothing differs that could decide how "
                f"{good.unit.label} and {bad.unit.label} are built or tried",
                hint="what a check finds outside of wheels is not compared",
            )
        self.folder = place.out / STATE / "bisect" / self._digest()
        self.place = replace(place, out=self.folder)
        self.tries = Tries(self.folder)
        self.only = ""

    def run(self) -> Found:
        """Build and judge states until the guilty changes are known.

        Raises:
            UsageError: the good state is not good, the bad one not bad, or the check cannot run.
            CancelledError: a later run goes on from there.
            FarmError: a state could not be built for a reason that lies in the machine.
        """
        for remembered in self.tries.all:
            self.means.on_try(remembered)
        names = [change.name for change in self.changes]
        self._require("the first state", self._judged(frozenset()), Verdict.GOOD)
        bad = self._judged(frozenset(names))
        self._require("the second state", bad, Verdict.BAD)
        self._narrow(bad)
        found = minimal(names, lambda chosen: self._judged(chosen).verdict is Verdict.BAD)
        guilty = tuple(change for change in self.changes if change.name in found)
        return Found(guilty=guilty, tries=tuple(self.tries.all))

    def _require(self, name: str, tried: Try, wanted: Verdict) -> None:
        if tried.verdict is not wanted:
            raise UsageError(
                f"{name} is not {wanted}: {tried.message or 'nothing is wrong with it'}",
                hint="name what works first, and what is broken second",
            )

    def _narrow(self, bad: Try) -> None:
        """Where one object is what breaks, make only that from now on, if it can be made alone."""
        if self.means.check or not bad.broken:
            return
        self.only = bad.broken
        if self._judged(frozenset()).verdict is not Verdict.GOOD:
            self.only = ""

    def _judged(self, chosen: frozenset[str]) -> Try:
        known = self.tries.of(chosen, self.only)
        if known is None and len(chosen) == len(self.changes):
            known = self.tries.of(chosen)
        if known is None:
            known = self._try(chosen)
            self.tries.add(known)
            self.means.on_try(known)
        return known

    def _try(self, chosen: frozenset[str]) -> Try:
        started = time.time()
        unit = hybrid(self.good.unit, self.bad.unit, chosen)
        plan = Plan(units=(*self._needed(unit), unit), requested=frozenset({unit.label}))
        means = self.means
        look = Look(only=(self.only,)) if self.only else None
        options = replace(means.options, look=look)
        outcomes = build(plan, self.place, options, means.sink, means.cancel)
        code = next(each.exit_code for each in outcomes.reports if each.unit == unit.label)
        broken = broken_object(self.place.out, unit) if code == ExitCode.BUILD else ""
        if code == ExitCode.OK:
            verdict, message = self._built(unit)
        else:
            verdict, message = self._failed(code, chosen, broken)
        return Try(
            changes=tuple(change.name for change in self.changes if change.name in chosen),
            verdict=verdict,
            exit_code=code,
            message=message,
            seconds=round(time.time() - started, 3),
            only=self.only,
            broken=broken,
        )

    def _needed(self, unit: Unit) -> tuple[Unit, ...]:
        """The units that one needs, and those that they need, in the order of a plan."""
        known = {each.label: each for each in (*self.good.needed, *self.bad.needed)}
        wanted: set[str] = set()
        waiting = [unit]
        while waiting:
            labels = {need.label for need in waiting.pop().needs} - wanted
            wanted |= labels
            waiting += [known[label] for label in labels]
        return tuple(each for label, each in known.items() if label in wanted)

    def _failed(self, code: int, chosen: frozenset[str], broken: str) -> tuple[Verdict, str]:
        """A state that does not build is bad where the bad one fails alike, else no answer."""
        if code not in _OF_CONTENT:
            raise _of_machine(code, self.folder)
        message = f"it cannot be built (exit code {code})"
        bad = self.tries.of(frozenset(change.name for change in self.changes))
        is_bad_one = len(chosen) == len(self.changes)
        alike = bad is not None and (bad.exit_code, bad.broken) == (code, broken)
        return (Verdict.BAD if is_bad_one or alike else Verdict.UNTESTED), message

    def _built(self, unit: Unit) -> tuple[Verdict, str]:
        """What the check says of a wheel."""
        if not self.means.check:
            return Verdict.GOOD, ""
        folder = result_folder(self.place.out, unit.key)
        (wheel,) = folder.glob("*.whl")
        env = {**os.environ, "FARM_WHEEL": str(wheel), "FARM_RESULT": str(folder)}
        try:
            ended = run(self.means.check, env=env, merged=True, cancel=self.means.cancel)
        except (MissingProgramError, OSError) as error:
            raise UsageError(f"the check cannot be run: {error}") from error
        lines = [line for line in ended.text.splitlines() if line.strip()]
        said = lines[-1][:200] if lines else f"the check ended with {ended.status}"
        if ended.status == _UNTESTABLE:
            return Verdict.UNTESTED, said
        if not 0 <= ended.status < _NOT_RUN:
            raise UsageError(f"the check did not judge, it ended with {ended.status}: {said}")
        return (Verdict.BAD if ended.status else Verdict.GOOD), said

    def _digest(self) -> str:
        """Names the bisection: the same states and check go on from where they were left."""
        parts = [asdict(self.good.unit), asdict(self.bad.unit), self.means.check]
        # Files count by their digests: a commit's lie elsewhere each time.
        text = json.dumps(parts, sort_keys=True, default=lambda path: path.name)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def broken_object(out: Path, unit: Unit) -> str:
    """The object that the last run's compile of a unit could not make, as ninja tells it."""
    for last in list_runs(out)[:1]:
        with suppress(OSError):
            text = (last.unit_folder(unit.key) / "compile.log").read_text(errors="replace")
            told = filter(None, (FAILED.fullmatch(line.strip()) for line in text.splitlines()))
            return next((each[1] for each in told if _OBJECT.fullmatch(each[1])), "")
    return ""


def _of_machine(code: int, folder: Path) -> FarmError:
    """Why a bisection ends whose state could not be built: a failure of the same kind."""
    if code == ExitCode.CANCELLED:
        return CancelledError("cancelled; the same command goes on from here")
    kinds = {kind.code: kind for kind in FarmError.__subclasses__()}
    return kinds.get(ExitCode(code), EngineError)(
        f"a state could not be built, which is not its own fault (exit code {code})",
        hint=f"see the logs below {folder / STATE / 'runs'}; the same command goes on from here",
    )
