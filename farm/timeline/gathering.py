"""Which calls a timeline is of: those of a run, of units, of folders."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import StorageError, UsageError
from farm.run.logs import CALLS
from farm.run.runs import list_runs
from farm.store.calls import CallLog
from farm.store.record import read_record
from farm.timeline.spans import Timeline, laid_out

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from farm.run.runs import Run
    from farm.store.calls import Call
    from farm.store.record import Record

_DEPTHS = ("", "logs/", "*/*/", "*/*/logs/")
"""Where calls lie below a folder: of a unit in a run, of a result, of a run, of all results."""
_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """The calls of one unit, and the record beside them."""

    unit: str
    path: Path
    record: Record | None


def gather(out: Path, what: Sequence[str]) -> Timeline:
    """The timeline of what is named: units, runs, folders; of nothing, the last run that compiled.

    Raises:
        UsageError: there is nothing of that name, or nothing was compiled.
        StorageError: a file cannot be read.
    """
    runs = list_runs(out)
    if what:
        named = [source for name in what for source in _named(name, out, runs)]
        sources = list({source.path.resolve(): source for source in named}.values())
        title = f"Compiles of {_called(what[0]) if len(what) == 1 else f'{len(sources)} units'}"
    else:
        run, sources = _last(out, runs)
        title = f"Compiles of run {run.name}"
    calls, skipped = _read(sources)
    if not any(calls.values()):
        raise UsageError(
            f"{sources[0].path} holds no call of a compiler",
            hint=f"{skipped} damaged lines were skipped" if skipped else "",
        )
    budgets = [source.record.compile.get("budget") for source in sources if source.record]
    return laid_out(
        title,
        {unit: found for unit, found in calls.items() if found},
        budget_bytes=_most(budgets, "memory_bytes"),
        cores=_most(budgets, "cores"),
        skipped=skipped,
    )


def _last(out: Path, runs: Iterable[Run]) -> tuple[Run, list[_Source]]:
    for run in runs:
        if sources := _below(run.folder):
            return run, sources
    raise UsageError(
        f"no run in {out} has compiled anything yet",
        hint="'farm build --rebuild' does, also where results are there",
    )


def _named(name: str, out: Path, runs: Sequence[Run]) -> list[_Source]:
    """The calls of a run or folder, else of units called so, in the last run that has any."""
    folders = [run.folder for run in runs if run.name == name]
    folders += [Path(name)] if not folders and Path(name).is_dir() else []
    if folders:
        if found := _below(folders[0]):
            return found
        raise UsageError(f"{name} holds no {CALLS}", hint="nothing was compiled there")
    for folder in (*(run.folder for run in runs), out):
        sources = _below(folder)
        found = [source for source in sources if source.unit == name]
        if found := found or [source for source in sources if name in source.unit]:
            return found
    known = sorted({source.unit for run in runs for source in _below(run.folder)})
    hint = f"such as {', '.join(known[:_NAMED])}" if known else "nothing was compiled here yet"
    raise UsageError(f"{name[:60]!r} is no folder, run or unit that was compiled", hint=hint)


def _called(name: str) -> str:
    """A name as it is shown to others: no path of this machine."""
    return Path(name).resolve().name if Path(name).is_dir() else name


def _below(folder: Path) -> list[_Source]:
    """All calls below a folder, but those of a build that the engine's cache answered."""
    paths = [path for depth in _DEPTHS for path in sorted(folder.glob(f"{depth}{CALLS}"))]
    sources = [_source(path) for path in paths]
    return [source for source in sources if not _is_old(source, folder)]


def _source(path: Path) -> _Source:
    folder = path.parent.parent if path.parent.name == "logs" else path.parent
    record = read_record(folder)
    package, _, version = folder.parent.name.rpartition("-")
    unit = record.unit if record else f"{package}@{version}:{folder.name}"
    return _Source(unit=unit, path=path, record=record)


def _is_old(source: _Source, asked: Path) -> bool:
    """Whether a run took these calls over from an earlier one."""
    of_a_run = source.path.parent.name != "logs" and source.path.parent != asked
    steps = source.record.steps if source.record and of_a_run else ()
    return any(step.cached for step in steps if step.name == "compile")


def _read(sources: Iterable[_Source]) -> tuple[dict[str, list[Call]], int]:
    """The calls by unit, and how many lines were damaged."""
    calls: dict[str, list[Call]] = {}
    skipped = 0
    for source in sources:
        log = CallLog(source.path)
        try:
            found = list(log)
        except OSError as error:
            raise StorageError(f"cannot read {source.path}: {error.strerror}") from error
        name, run = source.unit, source.record.run if source.record else ""
        while name in calls:
            name = f"{source.unit} ({run})" if run and run not in name else f"{name}'"
        calls[name] = found
        skipped += log.skipped
    return calls, skipped


def _most(budgets: Iterable[object], key: str) -> int | None:
    """The largest of the budgets that records tell of."""
    told = [budget.get(key) for budget in budgets if isinstance(budget, dict)]
    return max((each for each in told if type(each) is int and each > 0), default=None)
