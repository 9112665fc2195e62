"""How far a build goes that is only looked at."""

from __future__ import annotations

import re
from dataclasses import dataclass

_GLOB = re.compile(r"[A-Za-z0-9_.+@,=/*?\[\]-]{1,300}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """End a build once CMake has configured it; first make the objects that ``only`` names.

    Each of ``only`` is a glob on an object's path or the end of it
    (``csrc/attention/*``, ``permute_cols.cu``).

    Raises:
        ValueError: a glob that is not plain; it reaches a Dockerfile.
    """

    only: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what a shell could take for something else."""
        for glob in self.only:
            if not _GLOB.fullmatch(glob):
                raise ValueError(
                    f"{glob[:80]!r} is no glob of letters, digits and the characters "
                    "_ . + @ , = / * ? [ ] -"
                )
