"""What two words of the command line mean that are to be compared: records, runs, wheels."""

from __future__ import annotations

import json
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from farm.errors import UsageError
from farm.run.acceptance import contents_of
from farm.run.runs import list_runs
from farm.store.record import NAME, read_record

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.run.options import Workplace
    from farm.store.record import Record

MANIFEST = "manifest.json"
_IDENTITY = re.compile(r"[0-9a-f]{8,64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One of two things that are compared.

    ``record`` is None for a wheel alone; ``wheel`` is None where there is none, or it is
    no longer there; ``contents`` say what the wheel holds, as a record does.
    """

    name: str
    record: Record | None = None
    dockerfile: str = ""
    wheel: Path | None = None
    contents: dict[str, Any] = field(default_factory=dict)


def find_side(word: str, place: Workplace | None) -> Side:
    """What a word means.

    A wheel; a ``record.json``, or the folder in which one lies (below ``out/`` or ``kept/``,
    or a run's); a bundle; where there is a project also the name of a run, or ``latest``,
    with ``/UNIT`` where it has several; a unit's label; the beginning of an identity.

    Raises:
        UsageError: it means nothing, or several things.
        CheckError: a wheel is no whole zip file.
        IntegrityError: a bundle was cut or changed.
    """
    if not word:
        raise UsageError("what is to be compared has no name", hint=_FORMS)
    path = Path(word)
    if path.suffix == ".whl" and path.is_file():
        return _of_wheel(word, path)
    if path.suffix == ".tar" and path.is_file():
        return _of_bundle(word, path)
    if path.name == NAME and path.is_file():
        path = path.parent
    if (path / NAME).is_file():
        return _of_folder(word, path, place)
    if path.is_dir():
        return _of_folder(word, _only(word, sorted(path.glob(f"*/*/{NAME}"))), place)
    if path.exists():
        raise UsageError(f"{word[:200]!r} is neither wheel nor record nor bundle", hint=_FORMS)
    if place is None:
        raise UsageError(
            f"there is no {word[:200]!r}, and no project here whose runs could be meant",
            hint=_FORMS,
        )
    return _of_folder(word, _only(word, list(_known(word, place))), place)


_FORMS = (
    "a wheel, a record.json or its folder, a bundle, a run ('latest', 'RUN/UNIT'), a unit's "
    "label, or the beginning of an identity"
)


def _only(word: str, found: list[Path]) -> Path:
    if not found:
        raise UsageError(
            f"{word[:200]!r} means nothing that was built or failed here", hint=f"name {_FORMS}"
        )
    if len(found) > 1:
        named = ", ".join(str(path.parent) for path in found[:4])
        raise UsageError(f"{word[:200]!r} means {len(found)} records", hint=f"name one: {named}")
    return found[0].parent


def _known(word: str, place: Workplace) -> Iterator[Path]:
    """Records of the project that a word may mean."""
    name, _, label = word.partition("/")
    for run in list_runs(place.out):
        if name in {run.name, "latest"}:
            found = sorted(run.folder.glob(f"*/*/{NAME}"))
            yield from (path for path in found if not label or label == _label(path))
            return
    if _IDENTITY.fullmatch(word):
        yield from sorted((place.cache / "kept").glob(f"*/*/{word}*/{NAME}"))
        return
    found = sorted(place.out.glob(f"*/*/{NAME}"))
    yield from [p for p in found if _label(p) == word] or [p for p in found if word in _label(p)]


def _label(path: Path) -> str:
    package, _, version = path.parent.parent.name.rpartition("-")
    return f"{package}@{version}:{path.parent.name}"


def _of_folder(word: str, folder: Path, place: Workplace | None) -> Side:
    record = read_record(folder)
    if record is None:
        raise UsageError(
            f"{folder / NAME} is no record of a build, or of another farm's format",
            hint="'farm build' writes it anew",
        )
    return Side(
        name=word,
        record=record,
        dockerfile=_dockerfile(folder / MANIFEST),
        wheel=_wheel(record, folder, place),
        contents=record.contents,
    )


def _dockerfile(manifest: Path) -> str:
    try:
        return str(json.loads(manifest.read_text(encoding="utf-8"))["dockerfile"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return ""


def _wheel(record: Record, folder: Path, place: Workplace | None) -> Path | None:
    """A record's wheel: beside it, else where results of its identity are kept."""
    if not record.wheels:
        return None
    name = Path(record.wheels[0].filename).name
    kept = f"kept/{record.package}-{record.version}/{record.variant}/{record.identity}"
    places = [folder, *([place.cache / kept] if place and _is_plain(record) else [])]
    return next((path for each in places if (path := each / name).is_file()), None)


def _is_plain(record: Record) -> bool:
    words = (record.package, record.version, record.variant, record.identity)
    return not any("/" in word or word.startswith(".") for word in words)


def _of_wheel(word: str, path: Path) -> Side:
    from farm.inspect.wheel import read_wheel

    return Side(name=word, wheel=path, contents=contents_of(read_wheel(path)))


def _of_bundle(word: str, path: Path) -> Side:
    """Record and manifest of a bundle.

    Raises:
        UsageError: it is none, or has no record.
        IntegrityError: it was cut or changed.
    """
    from farm.store.bundle import unpack_bundle

    with tempfile.TemporaryDirectory(prefix="farm-diff-") as name:
        folder = Path(name)
        if not unpack_bundle(path, folder).has(NAME):
            raise UsageError(f"{path} has no record: its build never ran to an end", hint=_FORMS)
        return _of_folder(word, folder, None)
