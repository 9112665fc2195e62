"""What names a unit, apart from the unit itself: who only looks for results needs no more."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitKey:
    """What names a unit.  ``variant`` is whole: ``rocm-gfx942``, ``empty+rust``, ``cpu-py312``."""

    package: str
    version: str
    variant: str

    @property
    def label(self) -> str:
        """``package@version:variant``, as a selector takes it."""
        return f"{self.package}@{self.version}:{self.variant}"

    @property
    def folder(self) -> str:
        """Where its results lie below ``out/``."""
        return f"{self.package}-{self.version}/{self.variant}"
