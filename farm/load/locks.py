"""Lock files: pip requirements with hashes, which pip reads too.

A comment above holds the digest of what was resolved, so that a lock that no
longer fits its recipe is noticed without any network.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict
from typing import TYPE_CHECKING

from farm.errors import Place, Problem, RecipeError
from farm.model.unit import Lock, LockInputs, Pin

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD = re.compile(r"# farm lock: ([0-9a-f]{64})")
_PIN = re.compile(
    r"([a-z0-9][a-z0-9-]*)==([0-9][0-9a-z.+!]*) --hash=sha256:([0-9a-f]{64})"
    r"  # ([A-Za-z0-9_][A-Za-z0-9._+!-]*\.whl)"
)


def inputs_digest(inputs: LockInputs) -> str:
    """sha256 of what a lock is resolved from."""
    return hashlib.sha256(json.dumps(asdict(inputs), sort_keys=True).encode()).hexdigest()


def smoke_test_stem(stem: str) -> str:
    """The file name, without suffix, of what a unit's smoke test installs."""
    return f"{stem}.smoke-test"


def format_lock(lock: Lock, *, what: str = "Build requirements") -> str:
    """The text of a lock file; `parse_lock` reads it back."""
    pins = sorted(lock.pins, key=lambda pin: pin.name)
    lines = [f"{p.name}=={p.version} --hash=sha256:{p.sha256}  # {p.filename}" for p in pins]
    head = [
        f"# {what}, each pinned to one wheel; renewed by 'farm lock'.",
        f"# farm lock: {lock.inputs}",
    ]
    return "\n".join([*head, *lines]) + "\n"


def parse_lock(text: str, shown: str) -> Lock:
    """Read a lock file.

    Raises:
        RecipeError: with each line that is not what `format_lock` writes.
    """
    head = next(filter(None, map(_HEAD.fullmatch, text.splitlines())), None)
    problems = []
    if head is None:
        problems.append(
            lock_line_problem(shown, 1, "is no lock file: '# farm lock: <digest>' is missing")
        )
    pins: dict[str, Pin] = {}
    for number, line in content_of(text):
        match = _PIN.fullmatch(line)
        if match is None:
            problems.append(lock_line_problem(shown, number, f"not a pinned wheel: {line[:80]!r}"))
        elif match[1] in pins:
            problems.append(lock_line_problem(shown, number, f"{match[1]} is pinned twice"))
        else:
            pin = Pin(name=match[1], version=match[2], sha256=match[3], filename=match[4])
            pins[pin.name] = pin
    if problems or head is None:
        raise RecipeError(problems)
    return Lock(inputs=head[1], pins=tuple(pins.values()))


def content_of(text: str) -> Iterator[tuple[int, str]]:
    """Lines that are no comment, each with its number."""
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.startswith("#"):
            yield number, line.rstrip()


def lock_line_problem(shown: str, line: int, what: str) -> Problem:
    """What is wrong with a line of a lock file."""
    place = Place(file=shown, line=line, column=1)
    return Problem(place=place, what=what, hint="delete it; 'farm lock' writes it anew")
