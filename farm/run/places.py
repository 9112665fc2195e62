"""Where to look for the cause of a failure, among the files that the user wrote."""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING

from farm.errors import PatchError, Place, RecipeError
from farm.load.yaml import read_document

if TYPE_CHECKING:
    from pathlib import Path

    from farm.errors import FarmError
    from farm.load.project import Project
    from farm.model.unit import Unit

_HUNK = re.compile(r"\bhunk (\d+)\b")


def place_of(unit: Unit, error: FarmError, project: Project) -> Place | None:
    """The patch that does not fit, with its hunk, else the unit's variant in its recipe.

    The file is a whole path; None where it cannot be read any more.
    """
    if isinstance(error, PatchError):
        for patch in unit.patches:
            if patch.path.name in error.message:
                return Place(file=str(patch.path), line=_hunk(patch.path, error.message))
    path = project.find("recipes", f"{unit.key.package}.yaml")
    if path is None:
        return None
    try:
        document = read_document(path.read_bytes(), str(path))
    except (OSError, RecipeError):
        return None
    return document.place(("variants", unit.base_variant), key=True)


def _hunk(patch: Path, message: str) -> int | None:
    """The line at which the hunk begins that a message names, else the file's first."""
    named = _HUNK.search(message)
    if named is None:
        return 1
    try:
        lines = patch.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    begins = (number for number, line in enumerate(lines, 1) if line.startswith("@@ "))
    return next(islice(begins, int(named[1]) - 1, None), 1)
