"""Which bundle a word of the command line means: a file, a run, or a unit's last build."""

from __future__ import annotations

from pathlib import Path

from farm.errors import UsageError
from farm.run.runs import list_runs
from farm.store.bundle import NAME
from farm.store.record import NAME as RECORD


def find_bundle(word: str, out: Path | None) -> Path:
    """The bundle that is meant; ``out`` holds runs and results, where there is a project.

    A bundle, the ``record.json`` or folder beside which one lies, the name of a run
    (``latest``), with ``/UNIT`` where it has several, or a unit's label or a part of it: of the
    last run that has it, failures first.

    Raises:
        UsageError: there is none, or there are several.
    """
    path = Path(word)
    if path.name == RECORD and path.is_file():
        path = path.parent
    if path.is_dir() and (path / NAME).is_file():
        return path / NAME
    if path.is_file():
        return path
    if out is None:
        raise UsageError(
            f"there is no bundle {word[:200]!r}, and no project here whose runs could be meant",
            hint="name a bundle, or the project with --root",
        )
    return _of_runs(word, out)


def _of_runs(word: str, out: Path) -> Path:
    runs = list_runs(out)
    name, _, unit = word.partition("/")
    for run in runs:
        if name in {run.name, "latest"}:
            return _only(word, _meant(run.folder, unit))
    for folder in (*(run.folder for run in runs), out):
        found = _meant(folder, word)
        if found:
            return _only(word, found)
    raise UsageError(
        f"{word[:200]!r} is no bundle, no run, and no unit that was built or failed here",
        hint="'farm status' shows the runs; one that failed before it came to build has no bundle",
    )


def _only(word: str, found: list[Path]) -> Path:
    if not found:
        raise UsageError(
            f"nothing of run {word} can be reproduced: no unit of it failed while it was built",
            hint="name a unit (its result has a bundle), or a bundle",
        )
    if len(found) > 1:
        units = ", ".join(_label(path) for path in found)
        raise UsageError(
            f"{word} means several builds", hint=f"RUN/UNIT names one; there are {units}"
        )
    return found[0]


def _meant(folder: Path, word: str) -> list[Path]:
    """Bundles of the unit with that label, else of those whose label holds the word."""
    labels = {path: _label(path) for path in sorted(folder.glob(f"*/*/{NAME}"))}
    exactly = [
        path
        for path, label in labels.items()
        if word in {label, f"{label.partition('@')[0]}:{label.rpartition(':')[2]}"}
    ]
    return exactly or [path for path, label in labels.items() if word in label]


def _label(path: Path) -> str:
    """The unit's label, from where its bundle lies."""
    package, _, version = path.parent.parent.name.rpartition("-")
    return f"{package}@{version}:{path.parent.name}"
