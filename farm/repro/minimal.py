"""The smallest set of changes that breaks something, with few tries.

QuickXplain (Ulrich Junker, "Preferred explanations and relaxations for
over-constrained problems", AAAI 2004): halves what is in question again and again, so
that ``k`` guilty changes among ``n`` take about ``2k·log2(n/k) + 2k`` tries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Breaks = Callable[[frozenset[str]], bool]


def minimal(changes: Sequence[str], breaks: Breaks) -> tuple[str, ...]:
    """The changes that together break it, none of which can be left out; in their order.

    ``breaks`` says whether a set of changes, and none besides, breaks it.  It is taken
    for granted that all of them do and none of them does not.  Where a larger set can
    work although a smaller one is broken, or some cannot be tried at all (which is not
    broken), what is found is shrunk from the whole set, one change at a time.
    """
    tried = _Remembered(breaks)
    found = frozenset(_explain(tried, frozenset(), tuple(changes), tested=True))
    if not tried(found):
        found = frozenset(changes)
    return tuple(change for change in changes if change in _shrunk(tried, found, changes))


def _explain(
    breaks: Breaks, assumed: frozenset[str], candidates: tuple[str, ...], *, tested: bool
) -> tuple[str, ...]:
    """Of the candidates, what must come to those that are ``assumed``.

    ``tested`` says that the assumed ones alone are known not to break it.
    """
    if not tested and breaks(assumed):
        return ()
    if len(candidates) == 1:
        return candidates
    middle = len(candidates) // 2
    first, second = candidates[:middle], candidates[middle:]
    of_second = _explain(breaks, assumed | frozenset(first), second, tested=False)
    of_first = _explain(breaks, assumed | frozenset(of_second), first, tested=not of_second)
    return of_first + of_second


def _shrunk(breaks: Breaks, found: frozenset[str], order: Sequence[str]) -> frozenset[str]:
    """What is left once each change was left out that it breaks without."""
    smaller = True
    while smaller:
        smaller = False
        for change in order:
            less = found - {change}
            if change in found and less and breaks(less):
                found, smaller = less, True
    return found


class _Remembered:
    """Asks for each set once."""

    def __init__(self, breaks: Breaks) -> None:
        self._breaks = breaks
        self._answers: dict[frozenset[str], bool] = {}

    def __call__(self, changes: frozenset[str]) -> bool:
        if changes not in self._answers:
            self._answers[changes] = self._breaks(changes)
        return self._answers[changes]
