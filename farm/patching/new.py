"""Make a patch: open a staged source in a folder, let the user change it, write the difference.

The folder lies below ``out/.farm/patching/`` until the patch is written or the
change is given up::

    <package>-<version>/<name>/
      <source>/      what the user changes, earlier patches applied
      original/      the same, untouched
      opened.json    what it was opened on
"""

from __future__ import annotations

import json
import re
import shutil
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import PatchError, UsageError
from farm.host.files import storage_error
from farm.inside import patch as inside_patch
from farm.load.nearest import perhaps
from farm.load.patches import REQUIRED
from farm.patching.difference import difference
from farm.patching.series import Fit, Series, apply, require_patch_program, unpack
from farm.store.results import STATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from farm.load.project import Project
    from farm.model.unit import Source, Unit

_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,78}[a-z0-9])?")
_NUMBERED = re.compile(r"([0-9]{4})-(.+)\.patch")
_WIDTH = 98


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """A patch file: its path, the files that it changes, and the line for the recipe.

    ``left_out`` are new files that look like an editor's leftovers; ``to_fill`` the
    fields of its header that are still empty.
    """

    package: str
    path: Path
    files: tuple[str, ...]
    line: str
    left_out: tuple[str, ...]
    to_fill: tuple[str, ...]


def earlier(units: Iterable[Unit], to: str | None) -> Series:
    """The one source that units mean, with the patches that a new one comes after.

    Raises:
        UsageError: no such source, or variants that differ.
    """
    found: dict[object, Series] = {}
    for unit in units:
        source = _source(unit, to)
        patches = tuple(each for each in unit.patches if each.source == source.name)
        key = (unit.key.version, source.digest, patches)
        if key not in found:
            found[key] = Series(
                key=unit.key, source=source, patches=patches, edits=(), units=(unit.label,)
            )
    if len(found) != 1:
        labels = " or ".join(series.units[0] for series in found.values())
        raise UsageError(
            "several sources or lists of patches are meant", hint=f"name one variant: {labels}"
        )
    return next(iter(found.values()))


def _source(unit: Unit, to: str | None) -> Source:
    sources = {each.name: each for each in (unit.source, *unit.sources) if each.kind != "wheel"}
    wanted = to or unit.source.name
    if wanted not in sources:
        hint = perhaps(wanted, sources) or f"it has {', '.join(sources)}"
        raise UsageError(f"{unit.label} has no source {wanted[:80]!r}", hint=hint)
    return sources[wanted]


class Change:
    """A change of one source that is open, or can be opened.

    ``series`` is the source with the earlier patches, ``name`` what the new one is called.

    Raises:
        UsageError: the name is none for a patch.
    """

    def __init__(self, project: Project, out: Path, series: Series, name: str) -> None:
        if not _NAME.fullmatch(name):
            raise UsageError(
                f"{name[:80]!r} is no name for a patch",
                hint="words of lower case letters, digits and '-'; the number comes by itself",
            )
        self._project = project
        self._series = series
        self._name = name
        key = series.key
        self.folder = out / STATE / "patching" / f"{key.package}-{key.version}" / name
        self.tree = self.folder / series.source.name
        self._original = self.folder / "original"
        self._opened = self.folder / "opened.json"

    @property
    def is_open(self) -> bool:
        """Whether somebody opened it and has not finished yet."""
        return self._opened.exists()

    def open(self, archive: Path) -> None:
        """Unpack the source, with earlier patches applied.

        Raises:
            UsageError: a patch of that name is there already; or no program ``patch``.
            PatchError: an earlier patch does not fit.
            IntegrityError: the source cannot be unpacked.
            StorageError: the folder cannot be written.
        """
        require_patch_program()
        self.require_new()
        try:
            self.discard()  # what an opening left that was broken off
            self.folder.mkdir(parents=True)
            unpack(archive, self._original, self._series.source)
            for tried in apply(self._series, self._original):
                if tried.fit is not Fit.APPLIES:
                    raise PatchError(
                        f"the earlier patch {tried.name} does not fit: {tried.detail}",
                        hint="renew that one first; 'farm patch check' tries all",
                    )
            shutil.copytree(self._original, self.tree, symlinks=True)
            self._opened.write_text(json.dumps(self._basis(), indent=1), encoding="utf-8")
        except OSError as error:
            raise storage_error(error, self.folder) from error

    def take(self, before: Path, after: Path) -> None:
        """Open it with files that were changed elsewhere: as they were, and as they are now.

        Raises:
            UsageError: a patch of that name is there already; or no program ``patch``.
            StorageError: the folder cannot be written.
        """
        require_patch_program()
        self.require_new()
        try:
            self.discard()
            for source, target in ((before, self._original), (after, self.tree)):
                target.mkdir(parents=True)
                shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
            self._opened.write_text(json.dumps(self._basis(), indent=1), encoding="utf-8")
        except OSError as error:
            raise storage_error(error, self.folder) from error

    def discard(self) -> None:
        """Give the change up."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def finish(self, fields: Mapping[str, str]) -> Written:
        """Write what was changed as a patch of the project, and close it.

        ``fields`` are those of the header (`farm.load.patches.REQUIRED`); what is not
        given stays empty, and the patch is refused by every command until it is filled.

        Raises:
            UsageError: nothing is open, nothing was changed, or it was opened on something else.
            PatchError: a change that no patch can say.
            StorageError: the file cannot be written.
        """
        self._require_same()
        self.require_new()
        try:
            found = difference(self._original, self.tree)
            if found.problems:
                raise PatchError("a patch cannot say every change", details=found.problems)
            if not found.diff:
                raise UsageError("nothing was changed", hint=f"change files in {self.tree}")
            made = self.folder / self._file_name()
            made.write_bytes(_header(fields).encode() + found.diff)
            self._prove(made)
            path = self._patches / made.name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.move(made, path)
        except OSError as error:
            raise storage_error(error, self.folder) from error
        self.discard()
        package, source = self._series.key.package, self._series.source.name
        is_own = source == package
        return Written(
            package=package,
            path=path,
            files=found.files,
            line=f"- {path.name}" if is_own else f"- {{file: {path.name}, to: {source}}}",
            left_out=found.left_out,
            to_fill=tuple(name for name in REQUIRED if not fields.get(name, "").strip()),
        )

    @property
    def _patches(self) -> Path:
        key = self._series.key
        return self._project.root / "patches" / key.package / key.version

    def _known(self) -> list[re.Match[str]]:
        key = self._series.key
        folders = self._project.find_all("patches", key.package, key.version)
        names = sorted({path.name for folder in folders for path in folder.glob("*.patch")})
        return [match for match in map(_NUMBERED.fullmatch, names) if match]

    def require_new(self) -> None:
        """Refuse a name that a patch has already.

        Raises:
            UsageError: one has it.
        """
        same = next((m[0] for m in self._known() if m[2] == self._name), None)
        if same:
            raise UsageError(f"there is a patch {same} already", hint="choose another name")

    def _require_same(self) -> None:
        if not self.is_open:
            raise UsageError(
                f"no change {self._name!r} is open", hint="open it: leave out --finish"
            )
        if json.loads(self._opened.read_text(encoding="utf-8")) != self._basis():
            raise UsageError(
                "the source or its earlier patches are others than when it was opened",
                hint=f"take your change out of {self.tree}, then --discard and open it anew",
            )

    def _basis(self) -> dict[str, object]:
        series = self._series
        return {
            "source": series.source.digest,
            "patches": [{"file": p.path.name, "sha256": p.sha256} for p in series.patches],
        }

    def _file_name(self) -> str:
        last = max((int(match[1]) for match in self._known()), default=0)
        return f"{last + 1:04}-{self._name}.patch"

    def _prove(self, made: Path) -> None:
        """Apply the patch as a build would: what comes out must be what the user made."""
        tried = self.folder / "tried"
        shutil.rmtree(tried, ignore_errors=True)
        shutil.copytree(self._original, tried, symlinks=True)
        status, said = inside_patch.apply(made, tried)
        again = difference(tried, self.tree)
        if status or again.diff or again.problems:
            reason = inside_patch.why(said) if status else ", ".join(again.files)
            raise PatchError(f"the patch does not give back what was changed: {reason}")


def _header(fields: Mapping[str, str]) -> str:
    """The fields, long ones folded: a line that begins with a blank continues the one before."""
    lines = []
    for name in REQUIRED:
        text = f"{name}: {' '.join(fields.get(name, '').split())}".rstrip()
        lines += textwrap.wrap(
            text, _WIDTH, subsequent_indent=" ", break_long_words=False, break_on_hyphens=False
        )
    return "\n".join(lines) + "\n\n"
