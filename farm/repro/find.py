"""Which bundle a word of the command line means: a file, a run, or a unit's last build."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import UsageError
from farm.run.runs import list_runs
from farm.store.bundle import NAME
from farm.store.record import NAME as RECORD

if TYPE_CHECKING:
    from collections.abc import Iterator


def find_bundle(word: str, out: Path | None) -> Path:
    """The bundle that is meant; ``out`` holds runs and results, where there is a project.

    A bundle, the ``record.json`` or folder beside which one lies, the name of a run
    (``latest``), or a unit's label or a part of it: of the last run that has it, failures first.

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
    if word == "latest" and runs:
        word = runs[0].name
    named = [run for run in runs if run.name == word]
    if named:
        return _only(word, sorted(named[0].folder.glob(f"*/*/{NAME}")))
    for folder in (*(run.folder for run in runs), out):
        found = [*_labelled(folder, word, exactly=True)]
        found = found or [*_labelled(folder, word, exactly=False)]
        if found:
            return _only(word, found)
    raise UsageError(
        f"{word[:200]!r} is no bundle, no run, and no unit that was built or failed here",
        hint="'farm status' shows the runs; one that failed before it came to build has no bundle",
    )


def _only(word: str, found: list[Path]) -> Path:
    if not found:
        raise UsageError(
            f"nothing of run {word} can be reproduced: no build of it failed",
            hint="name a unit, or a bundle",
        )
    if len(found) > 1:
        units = ", ".join(_label(path) for path in found)
        raise UsageError(f"{word} means several builds", hint=f"name one of: {units}")
    return found[0]


def _labelled(folder: Path, word: str, *, exactly: bool) -> Iterator[Path]:
    for path in sorted(folder.glob(f"*/*/{NAME}")):
        label = _label(path)
        package, variant = label.partition("@")[0], label.rpartition(":")[2]
        if word in {label, f"{package}:{variant}"} if exactly else word in label:
            yield path


def _label(path: Path) -> str:
    """The unit's label, from where its bundle lies."""
    package, _, version = path.parent.parent.name.rpartition("-")
    return f"{package}@{version}:{path.parent.name}"
