"""Numbers and names as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.events import Outcome

if TYPE_CHECKING:
    from farm.events import Compiling

GLYPHS = {
    Outcome.BUILT: ("✓", "green"),
    Outcome.UNCHANGED: ("✓", "green"),
    Outcome.STOPPED: ("✓", "green"),
    Outcome.FAILED: ("✗", "red"),
    Outcome.BLOCKED: ("–", "yellow"),
    Outcome.CANCELLED: ("–", "yellow"),
}
"""What stands before a unit that is over, and its colour."""

_ASCII = str.maketrans("✓✗–━─…·", "+x-=-~-")
_UNITS = ("B", "kB", "MB", "GB", "TB")
_STEP = 1000


def in_ascii(text: str) -> str:
    """Return the text with the signs that this package draws replaced."""
    return text.translate(_ASCII)


def duration(seconds: float) -> str:
    """Return ``7.3s``, ``3m 20s`` or ``1h 02m``."""
    if seconds < 59.95:  # noqa: PLR2004 - what is shown as 60.0s is a minute
        return f"{max(0.0, seconds):.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:  # noqa: PLR2004 - minutes in an hour
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def clock(seconds: float) -> str:
    """Return ``0:07``, ``12:34`` or ``1:02:03``, as a running clock shows it."""
    minutes, rest = divmod(int(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def size(count: float) -> str:
    """Return bytes with a decimal unit (1 MB is 1,000,000 bytes)."""
    amount, index = float(count), 0
    while amount >= 999.5 and index < len(_UNITS) - 1:  # noqa: PLR2004 - shown as 1000
        amount, index = amount / _STEP, index + 1
    digits = 0 if index == 0 or amount >= 99.95 else 1  # noqa: PLR2004 - three figures are enough
    return f"{amount:.{digits}f} {_UNITS[index]}"


def used(now: Compiling) -> str:
    """Return memory of a budget: ``3.1 of 20.0 GB``."""
    taken, whole = size(now.memory_bytes), size(now.budget_bytes)
    amount, _, unit = taken.partition(" ")
    return f"{amount if whole.endswith(unit) else taken} of {whole}"


def squeeze(text: str, width: int) -> str:
    """Return the text in at most ``width`` characters; what goes, goes from the middle."""
    if len(text) <= width:
        return text
    if width <= 1:
        return "…"[:width]
    tail = (width - 1) * 2 // 3  # a label's end tells its variant, a path's its file
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"
