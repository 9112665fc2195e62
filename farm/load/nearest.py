"""The known name that a mistyped one most likely stands for."""

from __future__ import annotations

from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

# Comparing is quadratic in the length, and nobody mistypes a name this long.
_LONGEST = 100
_CUTOFF = 0.6


def nearest(name: str, candidates: Iterable[str]) -> str | None:
    """Find the candidate that looks most like ``name``, or None if none does.

    Case and the choice of ``-``, ``_`` or ``.`` count for nothing.  Two swapped characters are
    the likeliest slip: ``sm_68`` is ``sm_86`` rather than ``sm_80``.
    """
    if not name or len(name) > _LONGEST:
        return None
    # Sorted, so that equally near names always give the same answer.
    plain = {candidate: _plain(candidate) for candidate in sorted(set(candidates))}
    wanted = _plain(name)
    scores = {candidate: _score(wanted, text) for candidate, text in plain.items()}
    near = {candidate: score for candidate, score in scores.items() if score is not None}
    return max(near, key=near.__getitem__) if near else None


def perhaps(name: str, candidates: Iterable[str]) -> str:
    """Say ``perhaps you meant 'sm_86'``, or nothing where no candidate is near."""
    found = nearest(name, candidates)
    return f"perhaps you meant {found!r}" if found is not None else ""


def advise(name: str, known: Iterable[str], otherwise: str) -> str:
    """What `perhaps` says, or else all that is known: ``it has 2, 1`` (``none`` if nothing is)."""
    known = tuple(known)
    return perhaps(name, known) or f"{otherwise} {', '.join(known) or 'none'}"


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_").replace(".", "_")


def _score(wanted: str, candidate: str) -> tuple[bool, bool, float, int] | None:
    """Rate a candidate, higher is nearer; None is too far away to be meant."""
    if len(candidate) > _LONGEST:
        return None
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, wanted, candidate, autojunk=False)
    if matcher.real_quick_ratio() < _CUTOFF or matcher.quick_ratio() < _CUTOFF:
        return None
    ratio = matcher.ratio()
    if ratio < _CUTOFF:
        return None
    swapped = sorted(wanted) == sorted(candidate)
    pairs = zip(wanted, candidate, strict=False)
    prefix = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return wanted == candidate, swapped, ratio, prefix
