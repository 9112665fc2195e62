"""Patch files: an RFC-822-like header that says why, then a unified diff."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from farm.errors import Place, Problem, RecipeError
from farm.model.unit import PatchFile

if TYPE_CHECKING:
    from pathlib import Path

REQUIRED = ("Why", "Upstream", "Remove-when")
_FIELD = re.compile(r"([A-Z][A-Za-z-]*):[ \t]*(.*)")
MAX_BYTES = 16 * 2**20


def read_patch(path: Path, shown: str) -> PatchFile:
    """Read a patch's header and hash.

    Raises:
        RecipeError: the header lacks a field, or no diff follows.
    """
    if path.stat().st_size > MAX_BYTES:
        raise RecipeError([_problem(shown, 1, f"is larger than {MAX_BYTES >> 20} MiB")])
    data = path.read_bytes()
    lines = data.decode("utf-8", errors="replace").splitlines()
    start = next((n for n, line in enumerate(lines) if line.startswith(("--- ", "diff "))), None)
    if start is None:
        raise RecipeError([_problem(shown, 1, "holds no unified diff ('--- a/…')")])
    fields = _header(lines[:start])
    missing = [name for name in REQUIRED if not fields.get(name)]
    if missing:
        raise RecipeError([
            _problem(shown, 1, f"the header lacks '{name}:'", "say why, the upstream reference, "
                     "and when the patch can go") for name in missing
        ])  # fmt: skip
    return PatchFile(
        path=path,
        sha256=hashlib.sha256(data).hexdigest(),
        source="",
        why=fields["Why"],
        upstream=fields["Upstream"],
        remove_when=fields["Remove-when"],
    )


def _problem(shown: str, line: int, what: str, hint: str = "") -> Problem:
    return Problem(place=Place(file=shown, line=line, column=1), what=what, hint=hint)


def _header(lines: list[str]) -> dict[str, str]:
    """Fields by name; a line that begins with a blank continues the one before."""
    fields: dict[str, str] = {}
    last = ""
    for line in lines:
        match = _FIELD.match(line)
        if match:
            last = match[1]
            fields[last] = match[2].strip()
        elif last and line[:1].isspace() and line.strip():
            fields[last] = f"{fields[last]} {line.strip()}".strip()
    return fields
