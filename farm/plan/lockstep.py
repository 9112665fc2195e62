"""Pins that must be what an upstream file says, and whether they are.

No pattern of a recipe is ever run over a file: an exact text is looked for and the
word behind it taken, which takes time in proportion to the file and no more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import Problem
from farm.load.places import dotted
from farm.model.source import GitSource
from farm.model.unit import LockstepPin
from farm.plan.settings import merged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.load.library import LoadedRecipe
    from farm.model.source import StagedSource
    from farm.plan.settings import Path, PlacedLayer

MAX_BYTES = 4 * 2**20
"""Files that are larger are not looked at: build files are far smaller."""
_COMMIT = re.compile(r"[0-9a-f]{40}")
_WORD = re.compile(r"[ \t]*([^\s\x00-\x1f\x7f\"'();,]{0,200})")


def lockstep_pins(
    layers: tuple[PlacedLayer, ...],
    loaded: LoadedRecipe,
    holder: Callable[[Path, str | None], str],
) -> Iterator[LockstepPin]:
    """The staged sources that follow a file.  ``holder`` names the source that one means."""
    staged: StagedSource
    for name, (path, staged) in sorted(merged(layers, "sources").items()):
        rule = staged.lockstep
        if rule is None:
            continue
        where = (*path, "lockstep")
        yield LockstepPin(
            source=name,
            says=rule.says
            or (staged.source.commit if isinstance(staged.source, GitSource) else ""),
            holder=holder(where, rule.of),
            file=rule.file,
            after=rule.after,
            count=rule.count,
            nth=rule.nth,
            place=loaded.place(*where),
            where=dotted(where),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What stands behind one occurrence of the text, and on which line (from 1)."""

    line: int
    word: str


def find(after: str, text: str) -> tuple[Found, ...]:
    """Every occurrence of a text with the word behind it."""
    found = []
    line, counted = 1, 0
    start = text.find(after)
    while start >= 0:
        line += text.count("\n", counted, start)
        counted = start
        end = start + len(after)
        match = _WORD.match(text, end)
        found.append(Found(line=line, word=match[1] if match else ""))
        start = text.find(after, end)
    return tuple(found)


def compare(pin: LockstepPin, text: str | None) -> Problem | Found:
    """Where the file says what the pin says, or what is wrong; no ``text``: no such file."""
    file = f"{pin.file} of {pin.holder}"
    if text is None:
        what = f"{file} is not there (or no plain file of at most {MAX_BYTES >> 20} MiB)"
        return _problem(pin, what, "see where upstream says it now, and follow that file")
    found = find(pin.after, text)
    if len(found) != pin.count:
        listed = ", ".join(f"line {each.line}: {each.word!r}" for each in found[:10]) or "nowhere"
        times = "once" if pin.count == 1 else f"{pin.count} times"
        what = f"{pin.after!r} should stand {times} in {file}, and is there {len(found)} times"
        return _problem(pin, f"{what} ({listed})", "say more of the line in after, or how many")
    here = found[pin.nth - 1]
    if here.word == pin.says:
        return here
    what = f"{pin.file}:{here.line} of {pin.holder} says {here.word!r}, the recipe {pin.says!r}"
    both = "" if _COMMIT.fullmatch(pin.says) else " and says"
    hint = f"change commit{both} of {pin.source} to what that file asks for"
    return _problem(pin, what, hint)


def _problem(pin: LockstepPin, what: str, hint: str) -> Problem:
    return Problem(what=what, place=pin.place, where=pin.where, hint=hint)
