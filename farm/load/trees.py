"""Digest of a folder that serves as a source."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from farm.errors import Problem, RecipeError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_FILES = 10_000


def tree_files(folder: Path) -> list[Path]:
    """Every file of the folder, sorted by relative path.

    Python's caches are left out, since they appear by themselves.

    Raises:
        RecipeError: a link or a device inside, or more than 10,000 files.
    """
    found = []
    for path in sorted(folder.rglob("*")):
        if "__pycache__" in path.parts or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink() or not path.is_file():
            raise RecipeError([Problem(what=f"{path} is not a plain file or folder")])
        found.append(path)
        if len(found) > MAX_FILES:
            raise RecipeError([Problem(what=f"{folder} holds more than {MAX_FILES:,} files")])
    return found


def tree_digest(folder: Path) -> str:
    """sha256 over names, executable bits and contents; independent of times and owners."""
    return digest_of(
        (
            path.relative_to(folder).as_posix(),
            bool(path.stat().st_mode & 0o100),
            hashlib.sha256(path.read_bytes()).hexdigest(),
        )
        for path in tree_files(folder)
    )


def digest_of(files: Iterable[tuple[str, bool, str]]) -> str:
    """The digest of a tree, by the path, executable bit and sha256 of each of its files.

    `farm.inside.unpack.tree_digest` computes it of what an archive holds.
    """
    total = hashlib.sha256()
    for name, executable, content in sorted(files, key=lambda file: file[0].split("/")):
        line = f"{name}\0{executable:d}\0{content}\n"
        total.update(line.encode("utf-8", "surrogateescape"))
    return total.hexdigest()
