"""Compare pins that follow upstream's files with what is staged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import PlanError
from farm.plan.lockstep import MAX_BYTES, Found, compare
from farm.resolve.members import members
from farm.source.inputs import input_of_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from farm.errors import Problem
    from farm.model.unit import LockstepPin, Source, Unit
    from farm.store.blobs import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Compared:
    """One pin with what came of it: where the file says the same, a problem, or not staged."""

    pin: LockstepPin
    outcome: Found | Problem | None

    def __str__(self) -> str:
        pin = self.pin
        if isinstance(self.outcome, Found):
            return f"{pin.source} is {pin.says}, as {pin.file}:{self.outcome.line} says"
        if self.outcome is None:
            return f"{pin.source} follows {pin.file}, not compared yet: {pin.holder} is not staged"
        return str(self.outcome)


class Comparer:
    """Reads each file of each archive once, however many units follow it."""

    def __init__(self, staged: Callable[[Source, Unit], Path | None]) -> None:
        self._staged = staged
        self._texts: dict[tuple[Path, str], str | None] = {}

    def compare(self, unit: Unit) -> tuple[Compared, ...]:
        """The pins of a unit, in order.

        Raises:
            IntegrityError: a staged source is no whole archive.
        """
        holders = {source.name: source for source in (unit.source, *unit.sources)}
        return tuple(
            Compared(pin=pin, outcome=self._outcome(pin, holders[pin.holder], unit))
            for pin in unit.lockstep
        )

    def _outcome(self, pin: LockstepPin, holder: Source, unit: Unit) -> Found | Problem | None:
        path = self._staged(holder, unit)
        if path is None:
            return None
        if (path, pin.file) not in self._texts:
            names = {each.file for each in unit.lockstep if each.holder == pin.holder}
            self._texts |= {(path, name): text for name, text in _texts(path, names)}
        return compare(pin, self._texts[path, pin.file])


def _texts(source: Path, names: set[str]) -> Iterator[tuple[str, str | None]]:
    """Files of an archive, or of a folder, as text; None for what is not there or too large."""
    waiting = set(names)
    if source.is_dir():
        for name in names:
            path = source / name
            if path.is_file() and path.stat().st_size <= MAX_BYTES:
                waiting.discard(name)
                yield name, path.read_text(encoding="utf-8", errors="replace")
    else:
        for member in members(source):
            if member.inner in waiting:
                waiting.discard(member.inner)
                good = member.plain and member.size_bytes <= MAX_BYTES
                text = member.read(MAX_BYTES).decode("utf-8", "replace") if good else None
                yield member.inner, text
            if not waiting:
                return
    for name in waiting:
        yield name, None


def of_store(store: Store) -> Comparer:
    """Compare with what the store has; folders are read where they lie."""

    def staged(source: Source, unit: Unit) -> Path | None:
        if source.kind == "tree":
            return source.path
        sha256 = input_of_source(source, unit.key).present(store)
        return store.path_of(sha256) if sha256 else None

    return Comparer(staged)


def require_lockstep(unit: Unit, staged: Mapping[str, Path]) -> None:
    """Refuse a unit whose pins are not what its staged sources say.

    Raises:
        PlanError: with every pin that differs.
    """
    found = Comparer(lambda source, _: staged[source.digest]).compare(unit)
    refuse_differing(found)


def refuse_differing(found: Iterable[Compared]) -> None:
    """Raise what differs.

    Raises:
        PlanError: with every pin that differs.
    """
    problems = [
        each.outcome
        for each in found
        if each.outcome is not None and not isinstance(each.outcome, Found)
    ]
    if problems:
        raise PlanError(list(dict.fromkeys(problems)))
