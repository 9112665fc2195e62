"""Bring everything that units need; say of each thing where it is, or why it is lacking."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from farm.errors import FarmError, LockError
from farm.host.network import NetworkSettings
from farm.plan.resolve import lock_problem
from farm.source.inputs import inputs_of
from farm.source.stage import reason_of, stage_each, summary

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from pathlib import Path

    from farm.events import Sink
    from farm.plan.plan import Plan
    from farm.source.inputs import Input
    from farm.source.places import Places
    from farm.store.blobs import Store


_FEW_HINTS = 2


class Got(StrEnum):
    """How it stands with one thing."""

    PRESENT = "present"
    FETCHED = "fetched"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """One thing that units need.

    ``pin`` is its sha256 or commit; ``origin`` where it comes from; ``reason`` why
    it could not be had, and ``hint`` what to do about it.  ``size_bytes`` is None where
    it is not there.
    """

    what: str
    pin: str
    origin: str
    units: tuple[str, ...]
    got: Got
    size_bytes: int | None = None
    reason: str = ""
    hint: str = ""


def fetch(
    plan: Plan, store: Store, sink: Sink, places: Places, cancel: threading.Event
) -> tuple[tuple[Fetched, ...], FarmError | None]:
    """Bring what the units of a plan need; what failed comes first, then in plan order.

    The error, if there is one, is of the kind with which the process should end.

    Raises:
        CancelledError: ``cancel`` was set.
    """
    users: dict[Input, list[str]] = {}
    for unit in plan.units:
        for each in inputs_of(unit):
            users.setdefault(each, []).append(unit.label)
    before = {each for each in users if each.present(store)}
    brought, failures = stage_each(tuple(users), store, sink, places=places, cancel=cancel)
    settings = NetworkSettings.of_machine()
    rows = [
        Fetched(
            what=each.label, pin=each.pin, origin=each.origin(settings), got=Got.FAILED,
            units=tuple(users[each]), reason=reason_of(each, error), hint=error.hint,
        )
        for each, error in failures
    ]  # fmt: skip
    unlocked = _unlocked(plan)
    rows += unlocked
    rows += [
        Fetched(
            what=each.label, pin=each.pin, origin=each.origin(settings), units=tuple(users[each]),
            got=Got.PRESENT if each in before else Got.FETCHED,
            size_bytes=store.path_of(sha256).stat().st_size,
        )
        for each, sha256 in brought.items()
    ]  # fmt: skip
    return tuple(rows), _error(failures, unlocked)


def cargo_of(cache: Path) -> Callable[[Sink, threading.Event], Path]:
    """Brings Debian's cargo into the cache folder, for `farm.source.places.Places`."""

    def bring(sink: Sink, cancel: threading.Event) -> Path:
        from farm.debian.cargo import prepare

        return prepare(cache, sink, cancel)

    return bring


def _unlocked(plan: Plan) -> list[Fetched]:
    """Build requirements that nobody knows, since they are not locked."""
    problems = ((unit.label, lock_problem(unit)) for unit in plan.units)
    return [
        Fetched(
            what="build requirements", pin="", origin="", units=(label,), got=Got.FAILED,
            reason=f"not locked: {problem}", hint=f"run: farm lock {label}",
        )
        for label, problem in problems
        if problem
    ]  # fmt: skip


def _error(failures: list[tuple[Input, FarmError]], unlocked: list[Fetched]) -> FarmError | None:
    """The rows say why; this says how many, with the exit code of the cause."""
    count = len(failures) + len(unlocked)
    if not count:
        return None
    kind = type(summary(failures)) if failures else LockError
    hints = [*(error.hint for _, error in failures), *(row.hint for row in unlocked)]
    known = list(dict.fromkeys(filter(None, hints)))
    few = known if len(known) <= _FEW_HINTS else ["the rows above say why"]
    return kind(f"{count} of the inputs could not be had", hint="; ".join(few))
