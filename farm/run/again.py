"""Whether a unit that was built again gave what it had given before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import CheckError

if TYPE_CHECKING:
    from pathlib import Path

    from farm.store.results import Result

_NAMED = 3
"""How many differences a line names."""


def other_contents(before: Result | None, wheel: Path) -> tuple[str, ...]:
    """What is to be told where the same inputs gave another wheel; nothing where they did not.

    ``before`` is the intact result of the same identity, if there was one.

    Raises:
        StorageError: there is no room to look into a large wheel.
    """
    if before is None:
        return ()
    from farm.inspect.compare import explain

    old = before.folder / wheel.name
    if not old.is_file():
        names = ", ".join(each.filename for each in before.record.wheels)
        return (f"one identity gave two contents: {names} before, {wheel.name} now",)
    try:
        found = explain(old, wheel)
    except CheckError:  # what was accepted before is no whole zip file any more
        return ()
    if not found:
        return ()
    told = [f"{each.path or 'the archive'}: {each.message}" for each in found[:_NAMED]]
    more = len(found) - len(told)
    told += [f"and {more} more"] if more else []
    return (f"one identity gave two contents, and the last is kept: {'; '.join(told)}",)
