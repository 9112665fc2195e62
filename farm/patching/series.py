"""What is done to one staged source: patches, then edits, by the code that runs inside."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from farm.errors import IntegrityError, UsageError
from farm.inside import edit as inside_edit
from farm.inside import patch as inside_patch
from farm.inside.unpack import RefusedError
from farm.inside.unpack import unpack as inside_unpack
from farm.model.unit import TextEdit

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from farm.model.unit import PatchFile, Source, Unit, UnitKey


class Fit(StrEnum):
    """What came of one patch or edit."""

    APPLIES = "applies"
    UNFIT = "does not fit"
    NOT_STAGED = "not staged"


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Patches and edits of one source, in order; ``units`` are all that have them so."""

    key: UnitKey
    source: Source
    patches: tuple[PatchFile, ...]
    edits: tuple[TextEdit, ...]
    units: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One patch or edit (``kind``) of a package, what it changes, and what came of it.

    ``detail`` names hunk, file and line of what does not fit, or where what is not
    staged would come from.
    """

    package: str
    version: str
    kind: str
    name: str
    source: str
    units: tuple[str, ...]
    fit: Fit
    detail: str = ""


def series_of(units: Iterable[Unit]) -> tuple[Series, ...]:
    """Each series of patches and edits once, in the order of the units."""
    found: dict[tuple[object, ...], Series] = {}
    for unit in units:
        for source in (unit.source, *unit.sources):
            patches = tuple(each for each in unit.patches if each.source == source.name)
            edits = tuple(each for each in unit.edits if each.source == source.name)
            if not patches and not edits:
                continue
            same = (unit.key.package, unit.key.version, source.digest, patches, edits)
            known = found.setdefault(
                same, Series(key=unit.key, source=source, patches=patches, edits=edits, units=())
            )
            found[same] = replace(known, units=(*known.units, unit.label))
    return tuple(found.values())


def require_patch_program() -> None:
    """Patches are applied here as in the container, by the program ``patch``.

    Raises:
        UsageError: this machine has none.
    """
    if shutil.which("patch") is None:
        raise UsageError(
            "this machine has no program 'patch', with which patches are applied",
            hint="install the package patch of your distribution",
        )


def unpack(archive: Path, folder: Path, source: Source) -> None:
    """Unpack a staged source as the container does.

    Raises:
        IntegrityError: it is not what its digest says, or holds what it may not.
    """
    try:
        inside_unpack(archive, folder, source.digest)
    except (RefusedError, OSError) as error:
        raise IntegrityError(f"the source {source.name} cannot be unpacked: {error}") from error


def apply(series: Series, root: Path) -> Iterator[Tried]:
    """Apply a series to an unpacked source, one by one.

    One that does not fit leaves the source as it was, and the next is tried without it.
    """
    for patch in series.patches:
        unfit = _apply_patch(patch.path, root)
        yield _tried(series, patch, Fit.UNFIT if unfit else Fit.APPLIES, unfit)
    for edit in series.edits:
        unfit = _apply_edit(edit, root)
        yield _tried(series, edit, Fit.UNFIT if unfit else Fit.APPLIES, unfit)


def not_staged(series: Series, origin: str) -> Iterator[Tried]:
    """The same rows for a source that is not there."""
    told = f"it would come from {origin}; bring it: farm fetch {series.units[0]}"
    untried: tuple[PatchFile | TextEdit, ...] = (*series.patches, *series.edits)
    for each in untried:
        yield _tried(series, each, Fit.NOT_STAGED, told)


def _tried(series: Series, what: PatchFile | TextEdit, fit: Fit, detail: str) -> Tried:
    """A row; an edit is named by its file and the beginning of what it replaces."""
    if isinstance(what, TextEdit):
        kind, name = "edit", f"{what.file}: {inside_edit.shown(what.replace)[:60]}"
    else:
        kind, name = "patch", what.path.name
    return Tried(
        package=series.key.package,
        version=series.key.version,
        kind=kind,
        name=name,
        source=series.source.name,
        units=series.units,
        fit=fit,
        detail=detail,
    )


def _apply_patch(patch: Path, root: Path) -> str:
    """Why a patch does not fit; empty if it does."""
    before = _kept(patch, root)
    status, said = inside_patch.apply(patch, root)
    if not status:
        return ""
    for path, content in before.items():
        if content is None:
            path.unlink(missing_ok=True)
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    return inside_patch.why(said)


def _kept(patch: Path, root: Path) -> dict[Path, bytes | None]:
    """The content of the files that a patch names; None where there is none."""
    lines = patch.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    names = [
        line[4:].split("\t")[0].strip().partition("/")[2]
        for line in lines
        if line.startswith(("--- ", "+++ "))
    ]
    paths = [(root / name).resolve() for name in names if name]
    inside = [path for path in paths if root.resolve() in path.parents]
    return {path: path.read_bytes() if path.is_file() else None for path in inside}


def _apply_edit(edit: TextEdit, root: Path) -> str:
    row = {"file": edit.file, "replace": edit.replace, "by": edit.by, "count": edit.count}
    try:
        inside_edit.edit_all(root, [row])
    except inside_edit.UnfitError as error:
        return str(error).replace(" (edit 1 of 1)", "")
    return ""
