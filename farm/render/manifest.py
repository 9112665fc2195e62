"""The manifest of a unit: all that it is made of as one canonical file.

Its sha256 is the unit's identity, on every machine.  A result is found by it, a
record names it, and with the blobs that it names a unit can be built anywhere.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.render.context import Entry

FORMAT = 2
"""Changes when the meaning of the parts does."""
MODE = 0o444
"""Of every file of a context, whatever the umask of who lays it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseReference:
    """What a Dockerfile starts from: an image's name, and the digest of all that is in it."""

    image: str
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """Everything that can change what comes out of a build.

    Sources, patches, edits, locked requirements, needed wheels and the programs that
    run inside are files of the context; toolchain, environment and steps stand in the
    Dockerfile.  How fast it is built (jobs) and how often it was tried are in neither.
    """

    unit: str
    base: BaseReference
    dockerfile: str
    context: tuple[Entry, ...]

    @property
    def text(self) -> str:
        """The file, the same bytes for the same parts."""
        document = {
            "format": FORMAT,
            "unit": self.unit,
            "base": {"image": self.base.image, "digest": self.base.digest},
            "dockerfile": self.dockerfile,
            "context": [
                {"path": entry.target, "digest": entry.digest, "mode": f"{MODE:04o}"}
                for entry in self.context
            ],
        }
        return json.dumps(document, sort_keys=True, indent=1) + "\n"

    @property
    def identity(self) -> str:
        """Hex sha256 of the file."""
        return hashlib.sha256(self.text.encode()).hexdigest()
