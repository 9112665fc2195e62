"""What a bootstrapped base is made of."""

from __future__ import annotations

import hashlib
import json
import platform
from dataclasses import dataclass

_LAYOUT = 1
"""Part of every key: changed when the same packages would give another tree."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RootfsSpec:
    """What a base is made of: a Debian suite, packages, and perhaps the archive's date.

    ``packages`` is sorted and without repeats; ``snapshot`` is like
    ``20260101T000000Z``; ``components`` are those besides ``main``, and
    ``exclude_paths`` patterns of dpkg(1) for files that are left out.
    """

    suite: str
    packages: tuple[str, ...]
    snapshot: str | None = None
    components: tuple[str, ...] = ()
    exclude_paths: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """Digest of the definition."""
        packages = sorted(set(self.packages))
        definition: list[object] = [
            *(_LAYOUT, platform.machine(), self.suite, self.snapshot, packages)
        ]
        if self.components or self.exclude_paths:
            definition += [sorted(set(self.components)), sorted(set(self.exclude_paths))]
        return hashlib.sha256(json.dumps(definition).encode()).hexdigest()[:24]
