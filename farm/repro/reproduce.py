"""Build again just what a bundle holds, and say whether it ends as it did."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import ExitCode, FetchError, OtherwiseError
from farm.events import Outcome, RunStarted, UnitFinished
from farm.host.files import sha256_of
from farm.load.project import Project, shipped_root
from farm.plan.plan import Plan
from farm.render.context import Wheel
from farm.run.options import Again, Workplace
from farm.run.session import build
from farm.source.inputs import inputs_of
from farm.source.kinds import Tree
from farm.store.bundle import NAME, Ended, plain, read_contents
from farm.store.record import read_record
from farm.store.results import result_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.events import Event, Sink
    from farm.inspect.compare import Difference
    from farm.render.context import Entry
    from farm.repro.grounds import Setting
    from farm.repro.opening import Opened
    from farm.run.replay import Replay
    from farm.store.bundle import Surroundings

FOLDER = "reproduced"
"""Of the cache folder: runs and results of what was built again, served to nobody."""
_OF_BUILDS = frozenset(
    {ExitCode.BUILD, ExitCode.CHECK, ExitCode.OUT_OF_MEMORY, ExitCode.PATCH, ExitCode.SMOKE_TEST}
)
"""Failures of what is built; by any other it did not come to be tried."""
_PASSING = re.compile(r"(?<=/tmp/)[\w.+-]+|\b0x[0-9a-f]+")
"""What is another at each try: names of temporary files, addresses."""


class Verdict(StrEnum):
    """How it ended, seen from how it had ended."""

    SAME = "same"
    ANOTHER = "another failure"
    BUILT = "built"
    OTHER_BYTES = "other bytes"
    NOT_TRIED = "not tried"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reproduced:
    """A build that was done again.

    ``differs`` are the surroundings that are others now, in words; ``folder`` holds logs and
    record of this build, and its own bundle.  ``causes`` say why its wheel has other bytes,
    as far as both wheels are there.
    """

    unit: str
    identity: str
    verdict: Verdict
    then: Ended
    now: Ended
    differs: tuple[str, ...]
    folder: Path
    causes: tuple[Difference, ...] = ()

    def require_same(self) -> None:
        """Say by an error that it ended otherwise.

        Raises:
            OtherwiseError: it was tried, and ended otherwise.
        """
        if self.verdict not in {Verdict.SAME, Verdict.NOT_TRIED}:
            raise OtherwiseError(
                f"{self.unit} came out otherwise: {self.verdict}",
                details=[f"then: {said(self.then)}", f"now:  {said(self.now)}"],
            )


def said(ended: Ended) -> str:
    """How a build ended, in one line."""
    if not ended.exit_code:
        return ended.outcome
    where = f" in {ended.step}" if ended.step else ""
    return f"{ended.outcome}{where} (exit code {ended.exit_code}): {ended.message}"


class _Witness:
    """A sink that remembers how the one unit of a run ended, and where its files are."""

    def __init__(self, sink: Sink) -> None:
        self.folder = ""
        self.ended: UnitFinished | None = None
        self._sink = sink

    def __call__(self, event: Event, /) -> None:
        """Take note of an event, and pass it on."""
        match event:
            case RunStarted(folder=folder):
                self.folder = folder
            case UnitFinished():
                self.ended = event
        self._sink(event)


def reproduce(opened: Opened, setting: Setting) -> Reproduced:
    """Build what a bundle holds; nothing of a project is used or changed.

    Raises:
        FetchError: the bundle lacks a file that only the machine of its build has.
        StorageError: the cache folder cannot be written at all.
    """
    unit, witness = opened.unit, _Witness(setting.sink)
    place = workplace(setting.cache)
    outcomes = build(
        Plan(units=(unit,), requested=frozenset({unit.label})),
        place,
        replace(setting.options, again=Again.REBUILD, locked=True, parallel=1),
        witness,
        setting.cancel,
        engine=setting.engine,
        replay=completed(opened, setting.cache),
    )
    (report,) = outcomes.reports
    now = Ended(outcome=report.outcome.value, exit_code=report.exit_code)
    if witness.ended:
        now = replace(now, step=witness.ended.step, message=witness.ended.message)
    folder = Path(witness.folder) / unit.key.folder
    made = result_folder(place.out, unit.key) if report.ok else folder
    return Reproduced(
        unit=unit.label,
        identity=opened.contents.identity,
        verdict=_verdict(opened, now, made),
        then=opened.contents.ended,
        now=now,
        differs=tuple(_differing(opened.contents.surroundings, made / NAME)),
        folder=folder,
    )


def workplace(cache: Path) -> Workplace:
    """Where bundles are built: with the templates that farm ships, and results of its own."""
    folder = cache / FOLDER
    project = Project(root=folder, roots=(shipped_root(),))
    return Workplace(project=project, out=folder, cache=cache)


def completed(opened: Opened, cache: Path) -> Replay:
    """What to build, with wheels of needed units that the bundle was too small for.

    Raises:
        FetchError: a file is neither in the bundle nor here, and nobody gives it by hash.
    """
    replay = opened.replay
    held = dict(replay.held)
    brought = {i.digest for i in inputs_of(opened.unit) if not isinstance(i, Tree)}
    for entry in replay.identified.manifest.context:
        if entry.digest in held or entry.digest in brought:
            continue
        found = _kept(cache, entry)
        if found is None:
            raise FetchError(
                f"the bundle lacks {entry.target} ({entry.digest}), which nobody gives by hash",
                hint="ask for one that 'farm bundle' made where it was built: that one is whole",
            )
        held[entry.digest] = found
    needed = tuple(
        Wheel(filename=each.filename, sha256=each.sha256, path=held[f"sha256:{each.sha256}"])
        for each in opened.contents.needed
    )
    return replace(replay, held=held, needed=needed)


def _kept(cache: Path, entry: Entry) -> Path | None:
    """A wheel among the results that are kept here."""
    name = entry.target.rpartition("/")[2]
    for path in cache.glob("kept/*/*/*/*.whl"):
        if path.name == name and f"sha256:{sha256_of(path)}" == entry.digest:
            return path
    return None


def _verdict(opened: Opened, now: Ended, made: Path) -> Verdict:
    then = opened.contents.ended
    if now.outcome == Outcome.BUILT:
        if then.outcome != Outcome.BUILT:
            return Verdict.BUILT
        wheels = [record.wheels if record else () for record in (opened.record, read_record(made))]
        return Verdict.SAME if wheels[0] == wheels[1] else Verdict.OTHER_BYTES
    if (then.exit_code, then.step) == (now.exit_code, now.step) and _same_error(then, now, made):
        return Verdict.SAME
    return Verdict.ANOTHER if now.exit_code in _OF_BUILDS else Verdict.NOT_TRIED


def _same_error(then: Ended, now: Ended, made: Path) -> bool:
    """Whether the first error is the same; or the log has it too, where many jobs fail at once."""
    wanted = _lasting(then.message)
    if wanted == _lasting(now.message):
        return True
    with suppress(OSError), (made / "compile.log").open(errors="replace") as lines:
        return bool(wanted) and any(_lasting(line.strip()) == wanted for line in lines)
    return False


def _lasting(message: str) -> str:
    return _PASSING.sub("…", plain(message))


def _differing(then: Surroundings, bundle: Path) -> Iterator[str]:
    """What of the surroundings is otherwise now, as the bundle of the new build has it."""
    if not bundle.is_file():
        return
    now = read_contents(bundle).surroundings
    for name in ("farm", "engine", "kernel", "cores", "max_jobs"):
        was, becomes = getattr(then, name), getattr(now, name)
        if was != becomes:
            yield f"{name}: {was} → {becomes}"
    gib = [round(each.memory_bytes / 2**30, 1) for each in (then, now)]
    if gib[0] != gib[1]:
        yield f"memory: {gib[0]} → {gib[1]} GiB"
