"""A build of what a bundle holds, in the place of what recipes and templates say now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farm.render.context import Wheel
    from farm.run.settle import Identified


@dataclass(frozen=True, slots=True, kw_only=True)
class Replay:
    """One unit as it was built before.

    ``held`` maps digests of its context to files that are here, ``needed`` are the wheels of
    units that it needed, among them.
    """

    identified: Identified
    held: Mapping[str, Path]
    needed: tuple[Wheel, ...]
