"""The identity of a unit: sha256 over everything that can change what comes out."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.render.context import Entry

FORMAT = 1
"""Changes when the meaning of the parts below does."""


def identity(dockerfile: str, entries: tuple[Entry, ...]) -> str:
    """Hex sha256 over the Dockerfile's text and the manifest of its context.

    Sources, patches, edits, locked requirements, needed wheels and the programs
    that run inside are files of the context; base, toolchain, environment and
    steps stand in the text.  Build arguments (jobs, attempt) are in neither.
    """
    document = {
        "format": FORMAT,
        "dockerfile": hashlib.sha256(dockerfile.encode()).hexdigest(),
        "context": [[entry.target, entry.digest] for entry in entries],
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
