"""A wheel that was made, with all that is known of how: what attestations are written from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.model.unit import Unit
    from farm.render.manifest import Manifest
    from farm.store.record import Record, WheelFile


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """A unit, its manifest, and the record of its build."""

    unit: Unit
    manifest: Manifest
    record: Record

    @property
    def wheels(self) -> tuple[WheelFile, ...]:
        """What came out."""
        return self.record.wheels
