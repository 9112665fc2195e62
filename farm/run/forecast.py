"""What a build would do, for ``farm plan`` and ``--dry-run``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import LockError
from farm.model.unit import ImageBase
from farm.plan.resolve import lock_problem
from farm.run.estimates import estimate_of
from farm.run.lockstep import of_store, refuse_differing
from farm.run.outlook import outlook, to_build
from farm.run.settle import settle
from farm.run.share import jobs_of, machine_before
from farm.store.blobs import Store
from farm.store.record import read_record
from farm.store.results import result_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.plan.jobs import JobPlan
    from farm.plan.plan import Plan
    from farm.run.lockstep import Compared
    from farm.run.options import BuildOptions, Workplace
    from farm.run.outlook import Outlook
    from farm.run.settle import Settled
    from farm.store.remote import RemoteResults

CANNOT_BE_BUILT = "cannot be built yet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """One unit of a plan: where it stands, and why it would be built or not.

    ``checked`` tells whether its result is there and was held against what is expected now.
    """

    label: str
    standing: str
    checked: bool
    why: str
    requested: bool
    toolchain: str
    archs: tuple[str, ...]
    python: str
    host_compiler: str
    needs: tuple[str, ...]
    refused: tuple[str, ...]
    lockstep: tuple[str, ...]
    max_jobs: int
    jobs: str
    jobs_reason: str
    identity: str
    folder: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecasts:
    """All units of a plan, in its order, and what those to be built may take together.

    ``machine_known`` is False where the engine may be elsewhere, and was never asked.
    """

    units: tuple[Forecast, ...]
    run: Outlook | None
    machine_known: bool


def forecast(
    plan: Plan, place: Workplace, options: BuildOptions, shared: RemoteResults | None = None
) -> Forecasts:
    """Where each unit stands, and what the run may take.

    No engine is asked, nor the network but ``shared``.

    Raises:
        UsageError: more memory is asked for than there is.
        PlanError: pins that are not what staged sources say, all at once.
    """
    comparer = of_store(Store(place.cache / "store"))
    compared = {unit.label: comparer.compare(unit) for unit in plan.units}
    refuse_differing(each for pins in compared.values() for each in pins)
    settled = settle(plan, place, locked=options.locked, shared=shared)
    machine, known = machine_before(place.cache, options)
    rows = tuple(
        _row(each, plan, place, jobs_of(each.unit, machine, options), compared[label])
        for label, each in settled.items()
    )
    building = to_build(plan, settled, options)
    estimates = {u.label: estimate_of(u, place) for u in plan.units if u.label in set(building)}
    run = outlook(plan, building, estimates, machine, options)
    return Forecasts(units=rows, run=run, machine_known=known)


def _row(
    each: Settled, plan: Plan, place: Workplace, jobs: JobPlan, compared: Iterable[Compared]
) -> Forecast:
    unit = each.unit
    standing, why = _standing(each, plan, place)
    return Forecast(
        label=unit.label,
        standing=standing,
        checked=standing == "built" and each.checked,
        why=why,
        requested=unit.label in plan.requested,
        toolchain=unit.toolchain,
        archs=unit.archs,
        python=unit.python,
        host_compiler="-".join(unit.host_compiler),
        needs=tuple(need.label for need in unit.needs),
        refused=plan.refused.get(unit.label, ()),
        lockstep=tuple(map(str, compared)),
        max_jobs=jobs.max_jobs,
        jobs=jobs.arithmetic,
        jobs_reason=unit.jobs.reason,
        identity=each.identified.identity if each.identified else "",
        folder=str(result_folder(place.out, unit.key)),
    )


def refuse_unbuildable(rows: Iterable[Forecast]) -> None:
    """End with an error if not all can be built.

    Raises:
        LockError: a unit, asked for or needed, cannot be built yet.
    """
    rows = list(rows)
    found = [row for row in rows if row.standing == CANNOT_BE_BUILT]
    if found:
        raise LockError(
            f"{len(found)} of {len(rows)} units cannot be built yet",
            hint=f"what can be locked is by: farm lock {' '.join(row.label for row in found)}",
            details=[f"{row.label}: {row.why}" for row in found],
        )


def _standing(each: Settled, plan: Plan, place: Workplace) -> tuple[str, str]:
    unit = each.unit
    problem = lock_problem(unit)
    if problem:
        return CANNOT_BE_BUILT, problem
    if each.built:
        return "built", _how_it_stands(each, place)
    asked = "you asked for it" if unit.label in plan.requested else _needed_by(unit.label, plan)
    old = read_record(result_folder(place.out, unit.key))
    if old is None:
        return "to build", f"{asked}; there is no result yet"
    if each.identified and old.identity == each.identified.identity:
        return "to build", f"{asked}; a wheel of its result is gone or was changed"
    if each.identified is None and not isinstance(unit.base, ImageBase):
        return "to build", f"{asked}; what its base is made of is known once a mirror was asked"
    return "to build", f"{asked}; what goes into it has changed since it was built"


def _how_it_stands(each: Settled, place: Workplace) -> str:
    if each.result is None:
        held = "" if each.checked else ", to be held against what is expected now"
        return f"its result is shared, and will be fetched{held}"
    if not each.checked:
        return "its result is there, to be held against what is expected now"
    if not each.shown(place.out):
        return "its result is kept, and will be put where results are"
    return "its result is there, and every wheel has its hash"


def _needed_by(label: str, plan: Plan) -> str:
    users = [u.label for u in plan.units if any(need.label == label for need in u.needs)]
    return f"needed by {', '.join(users)}"
