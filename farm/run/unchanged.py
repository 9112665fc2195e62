"""Builds that had nothing to do, remembered by all that was read for them.

A plan follows from the arguments and from files: recipes, patches, templates,
bases, the farm itself.  Where all of these are as they were when everything
was found built, the identities are what they were, and only the results have
to be looked at, each wheel by its hash.  So a build that has nothing to do
costs no more than reading these files.  It is what ccache calls its direct
mode.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import farm
from farm.model.key import UnitKey
from farm.store.results import find_result, result_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from farm.events import Sink
    from farm.load.project import Project
    from farm.store.record import Record

MOST_BYTES = 64 * 2**20
"""Projects whose recipes and source trees hold more than this are not remembered."""
MOST_KEPT = 200
"""Answers that are kept; the oldest go."""
_VARIABLES = ("MAX_JOBS", "NVCC_THREADS")
_NAMES = ("utf-8", "surrogateescape")  # names of files are bytes
_FOLDERS = ("recipes", "patches", "dockerfiles")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What was asked for, and the digest of all that the answer follows from."""

    digest: str
    cache: Path

    @property
    def file(self) -> Path:
        """Where the answer is kept; what is in ``tmp`` may go at any time."""
        return self.cache / "tmp" / "unchanged" / f"{self.digest}.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """Units that were all built, each with its identity; where, and how that was shown."""

    out: Path
    progress: str
    units: tuple[tuple[UnitKey, str], ...]

    def results(self) -> tuple[tuple[UnitKey, Record], ...] | None:
        """The units with their records; None if a result is no longer whole."""
        found = [(key, find_result(self.out, key, identity)) for key, identity in self.units]
        whole = tuple((key, result.record) for key, result in found if result)
        return whole if len(whole) == len(found) else None


def report(results: Iterable[tuple[UnitKey, Record]], out: Path, sink: Sink) -> None:
    """Say of each unit that its result stands."""
    from farm.events import Outcome, RunFinished, UnitFinished

    for key, record in results:
        folder = result_folder(out, key)
        sink(
            UnitFinished(
                unit=key.label,
                outcome=Outcome.UNCHANGED,
                seconds=0.0,
                wheels=tuple(str(folder / wheel.filename) for wheel in record.wheels),
                log=str(folder / "logs" / "build.log"),
            )
        )
    sink(RunFinished(exit_code=0, seconds=0.0))


def question(
    arguments: list[str], project: Project, cache: Path, environ: Mapping[str, str]
) -> Question | None:
    """Digest the arguments and the content of everything that a plan can be made from.

    None where that is too much, or cannot be read.
    """
    variables = sorted(
        (name, value)
        for name, value in environ.items()
        if name.startswith("FARM_") or name in _VARIABLES
    )
    asked = [arguments, str(Path.cwd()), str(cache), [str(root) for root in project.roots]]
    digest = hashlib.sha256(json.dumps([asked, variables, _installed()]).encode())
    budget = MOST_BYTES
    try:
        for path in _inputs(project, cache):
            found = path.stat()
            budget -= found.st_size
            if budget < 0 or not stat.S_ISREG(found.st_mode):  # reading a pipe would never end
                return None
            named = f"\0{path}\0{path.lstat().st_mode}\0{found.st_size}\0"
            digest.update(named.encode(*_NAMES))
            digest.update(path.read_bytes())
    except OSError:
        return None
    return Question(digest=digest.hexdigest(), cache=cache)


def _installed() -> list[object]:
    """Python, the machine, and the libraries beside this one by name and version."""
    folders = [Path(folder) for folder in sys.path if folder.endswith("-packages")]
    found = (path.name for folder in folders if folder.is_dir() for path in folder.iterdir())
    return [sys.version, os.uname().machine, sorted(found)]


def _inputs(project: Project, cache: Path) -> Iterator[Path]:
    """Every file that a plan can be made from, and the program that makes it."""
    for root in project.roots:
        for name in _FOLDERS:
            yield from _files(root / name)
    yield from _files(Path(farm.__file__).parent)
    yield from sorted(cache.glob("bases/*.json"))


def _files(folder: Path) -> Iterator[Path]:
    """Files below a folder, in an order of their own.

    Raises:
        OSError: a folder is a link: what it leads to would be passed over.
    """
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if name != "__pycache__")
        here = Path(parent)
        if any((here / name).is_symlink() for name in folders):
            raise OSError(f"{parent} holds a link to a folder")
        yield from (here / name for name in sorted(files))


def remember(asked: Question, answer: Answer) -> None:
    """Keep an answer; that it cannot be kept is no failure."""
    units = [[key.package, key.version, key.variant, identity] for key, identity in answer.units]
    text = json.dumps({"out": str(answer.out), "progress": answer.progress, "units": units})
    temporary = asked.file.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        asked.file.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(asked.file)
        _forget(asked.file.parent)


def _forget(folder: Path) -> None:
    """Remove the oldest answers, for every change of a file leaves one behind."""
    kept = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in kept[MOST_KEPT:]:
        path.unlink(missing_ok=True)


def recall(asked: Question) -> Answer | None:
    """The answer to a question, if it was answered before."""
    try:
        kept = json.loads(asked.file.read_text(encoding="utf-8"))
        units = tuple(
            (UnitKey(package=package, version=version, variant=variant), str(identity))
            for package, version, variant, identity in kept["units"]
        )
        return Answer(out=Path(kept["out"]), progress=str(kept["progress"]), units=units)
    except (OSError, ValueError, LookupError, TypeError):
        return None
