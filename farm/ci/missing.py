"""What a CI service has to build: units without a result, with what each may cost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.run.estimates import UNKNOWN_S, recorded_s
from farm.run.forecast import forecast, refuse_unbuildable

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from farm.plan.plan import Plan
    from farm.run.options import BuildOptions, Workplace
    from farm.store.remote import RemoteResults

CHECK_S = 60.0
"""What it is taken to last to look into a wheel that is there, and to try it anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Missing:
    """A unit that has to be built.

    ``needs`` are the units of this list that must be built before it, directly needed or not.
    ``recorded`` tells whether ``seconds`` are those of an earlier build, or a guess.
    ``memory_bytes`` is what one compile job takes at its peak.
    """

    label: str
    why: str
    seconds: float
    recorded: bool
    memory_bytes: int
    runner: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


def missing_units(  # noqa: PLR0913 - what a caller may want to choose
    plan: Plan,
    place: Workplace,
    options: BuildOptions,
    *,
    runner: tuple[str, ...] = (),
    among: Collection[str] | None = None,
    shared: RemoteResults | None = None,
) -> tuple[Missing, ...]:
    """The units without a result, here or shared, or with one still to be held against the recipe.

    In plan order; ``runner`` are the labels of units whose recipe names none.  With ``among``
    (labels) only these, and the missing ones that they need.

    Raises:
        LockError: one of them cannot be built yet: it would be absent without a word.
        PlanError: pins that are not what staged sources say.
    """
    rows = {row.label: row for row in forecast(plan, place, options, shared).units}
    needs = _needs(plan, {label for label, row in rows.items() if not row.checked})
    wanted = set(needs)
    if among is not None:
        asked = wanted.intersection(among)
        wanted = asked.union(*(needs[label] for label in asked))
    refuse_unbuildable([row for label, row in rows.items() if label in wanted])
    return tuple(
        Missing(
            label=unit.label,
            why=rows[unit.label].why,
            recorded=rows[unit.label].standing == "built" or known is not None,
            seconds=CHECK_S if rows[unit.label].standing == "built" else known or UNKNOWN_S,
            memory_bytes=unit.jobs.memory_per_job_bytes,
            runner=unit.runner or runner,
            needs=needs[unit.label],
        )
        for unit in plan.units
        if unit.label in wanted
        for known in (recorded_s(unit.key, place),)
    )


def _needs(plan: Plan, missing: Collection[str]) -> dict[str, tuple[str, ...]]:
    """For each missing unit those that it needs, over however many others, in plan order."""
    found: dict[str, tuple[str, ...]] = {}
    for unit in plan.units:
        if unit.label not in missing:
            continue
        direct = [need.label for need in unit.needs if need.label in missing]
        every = {*direct, *(label for need in direct for label in found[need])}
        found[unit.label] = tuple(label for label in found if label in every)
    return found


def chain(units: tuple[Missing, ...]) -> Iterator[tuple[Missing, int]]:
    """Each unit with its level: 0 where it needs no other of them, else one more than those."""
    levels: dict[str, int] = {}
    for unit in units:
        levels[unit.label] = max((levels[need] + 1 for need in unit.needs), default=0)
        yield unit, levels[unit.label]
