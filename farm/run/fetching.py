"""Bring everything that units need; say of each thing where it is, or why it is lacking."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from farm.errors import CancelledError, FarmError, LockError
from farm.host.network import NetworkSettings
from farm.host.urls import redact
from farm.plan.resolve import lock_problem
from farm.resolve.bases import bases_of
from farm.source.inputs import inputs_of
from farm.source.job import Places
from farm.source.stage import reason_of, stage_each, summary

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from farm.events import Sink
    from farm.model.unit import RootfsBase
    from farm.plan.plan import Plan
    from farm.source.job import Job
    from farm.source.kinds import Input
    from farm.source.mirror import Mirror


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


def fetch(plan: Plan, job: Job, cache: Path) -> tuple[tuple[Fetched, ...], FarmError | None]:
    """Bring what the units of a plan need; what failed comes first, then in plan order.

    The error, if there is one, is of the kind with which the process should end.

    Raises:
        CancelledError: ``job.cancel`` was set.
    """
    users: dict[Input, list[str]] = {}
    for unit in plan.units:
        for each in inputs_of(unit):
            users.setdefault(each, []).append(unit.label)
    before = {each for each in users if each.present(job.store)}
    brought, failures = stage_each(tuple(users), job)
    index = redact(NetworkSettings.of_machine().endpoint)

    def row(each: Input, got: Got) -> Fetched:
        origin = each.origin or index
        return Fetched(
            what=each.label, pin=each.pin, origin=origin, units=tuple(users[each]), got=got
        )

    rows = [
        replace(row(each, Got.FAILED), reason=reason_of(each, error), hint=error.hint)
        for each, error in failures
    ]
    rows += _unlocked(plan)
    of_bases = [_packages(base, labels, job, cache) for base, labels in _bases(plan).items()]
    rows += [of_base for of_base, error in of_bases if error]
    for each, sha256 in brought.items():
        size = job.store.path_of(sha256).stat().st_size
        got = Got.PRESENT if each in before else Got.FETCHED
        rows.append(replace(row(each, got), size_bytes=size))
    rows += [of_base for of_base, error in of_bases if not error]
    causes: list[FarmError] = [summary(failures)] if failures else []
    causes += [error for _, error in of_bases if error]
    return tuple(rows), _error(rows, causes)


def _bases(plan: Plan) -> dict[RootfsBase, list[str]]:
    """What units are built and tried in, with the units' labels."""
    users: dict[RootfsBase, list[str]] = {}
    for unit in plan.units:
        for base in bases_of([unit]):
            users.setdefault(base, []).append(unit.label)
    return users


def _packages(
    base: RootfsBase, units: list[str], job: Job, cache: Path
) -> tuple[Fetched, FarmError | None]:
    """Bring the Debian packages of a base, told as one thing."""
    from farm.source.debs import bring_base, is_here

    row = Fetched(
        what=f"packages of {base.name}", pin=base.locked.digest if base.locked else "",
        origin="Debian's mirror", units=tuple(units), got=Got.PRESENT,
    )  # fmt: skip
    here = is_here(base, job.store, cache)
    try:
        resolved, _ = bring_base(base, job, cache)
    except CancelledError:
        raise
    except FarmError as error:
        return replace(row, got=Got.FAILED, reason=error.message, hint=error.hint), error
    size = sum(deb.size for deb in resolved.debs)
    got = Got.PRESENT if here else Got.FETCHED
    return replace(row, pin=resolved.packages.digest, got=got, size_bytes=size), None


def places_of(
    cache: Path, *, offline: bool, mirror: Mirror | None, keep: Mirror | None = None
) -> Places:
    """Where inputs may come from, and how a farm with this cache folder has what brings them."""

    def cargo(sink: Sink, cancel: threading.Event) -> Path:
        from farm.debian.cargo import prepare

        return prepare(cache, sink, cancel)

    def snapshots() -> str:
        """As this machine's apt knows it, or the toolbox's, which is newer."""
        from farm.debian import archive, toolbox

        tools = toolbox.existing(cache)
        found = archive.snapshots()
        return found or (archive.snapshots(tools.on_host("usr/bin/apt-config")) if tools else "")

    return Places(offline=offline, mirror=mirror, keep=keep, cargo=cargo, snapshots=snapshots)


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


def _error(rows: list[Fetched], causes: list[FarmError]) -> FarmError | None:
    """The rows say why; this says how many, with the exit code of the cause."""
    failed = [row for row in rows if row.got is Got.FAILED]
    if not failed:
        return None
    kind = type(causes[0]) if causes else LockError
    known = list(dict.fromkeys(filter(None, (row.hint for row in failed))))
    few = known if len(known) <= _FEW_HINTS else ["the rows above say why"]
    return kind(f"{len(failed)} of the inputs could not be had", hint="; ".join(few))
