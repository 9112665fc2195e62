"""What was changed in a container, of the sources that its build started from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from farm.engine.engine import Container
from farm.errors import PatchError
from farm.host.files import storage_errors

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.engine.engine import Session
    from farm.model.unit import TextEdit, Unit
    from farm.repro.shell import Bench

_PATCHED = "patched"
"""The stage whose files are sources; what a build makes beside them is none."""
_NONE = ("true",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Files of one source that were changed: ``before`` and ``after`` hold just these.

    Where one was made, ``before`` lacks it; where one was removed, ``after``.
    """

    source: str
    files: tuple[str, ...]
    before: Path
    after: Path


def source_roots(unit: Unit) -> dict[str, str]:
    """Where each source lies in the container, by its name; as ``source.j2`` says."""
    roots = {unit.source.name: f"/build/{unit.key.package}"}
    others = (each for each in unit.sources if each.kind != "wheel")
    return roots | {each.name: f"/build/sources/{each.name}" for each in others}


def changed_sources(
    bench: Bench, session: Session, folder: Path, *, with_new: bool = False
) -> tuple[Changed, ...]:
    """The sources of which files were changed in a container, with ``with_new`` or made.

    Raises:
        PatchError: a file was changed that an edit of the recipe changes, too.
        FarmError: the engine, the disk or the user ended it.
    """
    unit = bench.opened.unit
    roots = source_roots(unit)
    seen = [(kind, path) for kind, path in session.changed() if _root(path, roots)]
    seen = [(kind, path) for kind, path in seen if path.isprintable() and ".." not in path]
    if not seen:
        return ()
    known = _files(bench, roots.values())
    wanted = [path for kind, path in seen if path in known or (with_new and kind == "A")]
    files: dict[str, list[str]] = {}
    for path in _leaves(wanted):
        name = _root(path, roots)
        files.setdefault(name, []).append(path.removeprefix(f"{roots[name]}/"))
    found = tuple(
        Changed(
            source=name,
            files=tuple(inner),
            before=folder / "before" / name,
            after=folder / "after" / name,
        )
        for name, inner in files.items()
    )
    with bench.container(_PATCHED, _NONE) as untouched:
        for each in found:
            for inner in each.files:
                _copy(untouched, f"{roots[each.source]}/{inner}", each.before / inner)
                _copy(session, f"{roots[each.source]}/{inner}", each.after / inner)
    for each in found:
        _take_back_edits(each, unit.edits)
    return found


def _root(path: str, roots: dict[str, str]) -> str:
    """The source that a file belongs to, or nothing."""
    return next((name for name, root in roots.items() if path.startswith(f"{root}/")), "")


def _files(bench: Bench, roots: Iterable[str]) -> set[str]:
    """Files and links of the sources as they were before the compile."""
    container = Container(
        image=bench.image(_PATCHED),
        command=("find", *roots, "-not", "-type", "d", "-print0"),
        disposable=True,
    )
    done = bench.engine.run(container, cancel=bench.setting.cancel)
    return set(done.text.split("\0"))


def _leaves(paths: list[str]) -> Iterator[str]:
    """Those that are no folders of others: a folder is there since something in it is."""
    folders = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
    return (path for path in paths if path not in folders)


def _copy(session: Session, inside: str, here: Path) -> None:
    with storage_errors(here):
        here.parent.mkdir(parents=True, exist_ok=True)
    session.copy_out(inside, here)


def _take_back_edits(changed: Changed, edits: Iterable[TextEdit]) -> None:
    """Undo the recipe's edits: a patch comes before them, and has to fit without them.

    Raises:
        PatchError: one cannot be undone.
    """
    for edit in reversed([*edits]):
        # Only files that were copied here: an edit of a bundle may name any path.
        if edit.source != changed.source or edit.file not in changed.files:
            continue
        for path in (changed.before / edit.file, changed.after / edit.file):
            if path.is_file() and not path.is_symlink():
                path.write_bytes(_unedited(path.read_bytes(), edit))


def _unedited(data: bytes, edit: TextEdit) -> bytes:
    replace, by = edit.replace.encode(), edit.by.encode()
    plain = data.replace(by, replace) if by else data
    if plain.count(replace) != edit.count or plain.replace(replace, by) != data:
        raise PatchError(
            f"{edit.file} was changed, and an edit of the recipe changes it, too: which of both "
            "a patch would have to do cannot be told",
            hint="change the edit in the recipe instead",
        )
    return plain
