"""What is wrong with a wheel, as values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

SHOWN_NAMES: Final = 8
"""How many files a message names; the facts hold all of them."""


class Severity(StrEnum):
    """Whether a finding makes the wheel unusable."""

    ERROR = "error"
    WARNING = "warning"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One way in which the wheel is not what it should be; ``code`` is stable."""

    code: str
    message: str
    severity: Severity = Severity.ERROR


def listed(names: Iterable[str]) -> str:
    """Names in words: a few, and how many more."""
    every: Sequence[str] = sorted(names)
    rest = len(every) - SHOWN_NAMES
    text = ", ".join(every[:SHOWN_NAMES])
    return f"{text} and {rest:,} more" if rest > 0 else text
