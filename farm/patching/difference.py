"""What was changed in a folder, as one unified diff that means the same everywhere."""

from __future__ import annotations

import difflib
import os
import stat
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_LEFTOVERS = ("*~", "*.orig", "*.rej", ".*.sw?", "*.pyc", "__pycache__", ".git")
"""What editors and tools leave behind; nobody means to patch it in."""
_TEXT = ("utf-8", "surrogateescape")  # every other byte stays as it was


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A diff (bytes that ``patch -p1`` takes), the files in it, and what it cannot say.

    ``left_out`` are new files that look like an editor's leftovers.
    """

    diff: bytes
    files: tuple[str, ...]
    problems: tuple[str, ...]
    left_out: tuple[str, ...]


def difference(before: Path, after: Path) -> Difference:
    """Compare two folders; files in the order of their names, without times or paths outside."""
    old, new = _entries(before), _entries(after)
    parts, files, problems, left_out = [], [], [], []
    for name in sorted(old.keys() | new.keys()):
        if name not in old and _is_leftover(name):
            left_out.append(name)
            continue
        if _same(old.get(name), new.get(name)):
            continue
        wrong = tuple(_unsayable(name, old.get(name), new.get(name)))
        if wrong:
            problems.append(f"{name}: {', '.join(wrong)}")
            continue
        files.append(name)
        parts.append("".join(_hunks(name, old.get(name), new.get(name))))
    return Difference(
        diff="".join(parts).encode(*_TEXT),
        files=tuple(files),
        problems=tuple(problems),
        left_out=tuple(left_out),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """A file or link."""

    path: Path
    kind: int
    executable: bool

    @property
    def content(self) -> bytes:
        if self.kind == stat.S_IFLNK:
            return os.fsencode(self.path.readlink())
        return self.path.read_bytes()


def _entries(root: Path) -> dict[str, _Entry]:
    found = {}
    for parent, folders, files in os.walk(root):
        links = [name for name in folders if (Path(parent) / name).is_symlink()]
        for name in (*files, *links):
            path = Path(parent) / name
            mode = path.lstat().st_mode
            entry = _Entry(path=path, kind=stat.S_IFMT(mode), executable=bool(mode & 0o100))
            found[path.relative_to(root).as_posix()] = entry
    return found


def _is_leftover(name: str) -> bool:
    return any(fnmatch(part, pattern) for part in name.split("/") for pattern in _LEFTOVERS)


def _same(old: _Entry | None, new: _Entry | None) -> bool:
    if old is None or new is None or (old.kind, old.executable) != (new.kind, new.executable):
        return False
    if old.kind == stat.S_IFREG and old.path.stat().st_size != new.path.stat().st_size:
        return False
    return old.content == new.content


def _unsayable(name: str, old: _Entry | None, new: _Entry | None) -> Iterator[str]:
    """Why a change is none that a unified diff can say."""
    there = [entry for entry in (old, new) if entry]
    if any(not character.isprintable() for character in name):
        yield "its name holds control characters"
    if any(entry.kind != stat.S_IFREG for entry in there):
        yield "a link or device was made, changed or removed"
        return
    if old and new and old.executable != new.executable:
        yield "its mode was changed"
    if old is None and new and new.executable:
        yield "a new file cannot be executable"
    contents = [entry.content for entry in there]
    if any(b"\0" in content for content in contents):
        yield "it is binary"
    if len(there) == 1 and not contents[0]:
        yield "an empty file was made or removed"


def _hunks(name: str, old: _Entry | None, new: _Entry | None) -> Iterator[str]:
    lines = difflib.unified_diff(
        _lines(old),
        _lines(new),
        fromfile=_named("a", name) if old else "/dev/null",
        tofile=_named("b", name) if new else "/dev/null",
    )
    for line in lines:
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _named(side: str, name: str) -> str:
    """A name as ``patch`` reads it: one with blanks ends at a tab."""
    return f"{side}/{name}\t" if " " in name else f"{side}/{name}"


def _lines(entry: _Entry | None) -> list[str]:
    """Lines with their ends; only line feeds end one, so that other bytes stay."""
    if entry is None:
        return []
    parts = entry.content.decode(*_TEXT).split("\n")
    ended = [f"{part}\n" for part in parts[:-1]]
    return [*ended, parts[-1]] if parts[-1] else ended
