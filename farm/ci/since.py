"""Which units have other inputs than at an earlier commit of the project.

What a unit is made of is computed for both, the project as it is and as it was, by the same
farm: no guess from the names of files.  Nothing of the user's work tree or index is touched.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.errors import FarmError
from farm.load.library import read
from farm.plan.plan import Choice, make_plan
from farm.plan.select import parse_selector
from farm.run.settle import expectation, identify_without, template_folders
from farm.source.commit import project_at

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.load.project import Project
    from farm.plan.plan import Plan
    from farm.run.options import Workplace


def changed(plan: Plan, place: Workplace, ref: str) -> frozenset[str]:
    """Labels of a plan's units whose inputs, or what is expected of them, are not as at ``ref``.

    A unit that cannot be planned there, for it is new or its recipe was written for another
    farm, has changed.

    Raises:
        UsageError: the project is in no git repository, or that has no such commit.
        StorageError: no room for the files of that commit.
    """
    now = inputs_of(plan, place)
    with project_at(place.project, ref) as project:
        before = dict(_inputs_there(plan, replace(place, project=project)))
    return frozenset(label for label, inputs in now.items() if before.get(label) != inputs)


def inputs_of(plan: Plan, place: Workplace) -> dict[str, str]:
    """A digest of all that each unit is made from and held against, by label.

    Unlike the identity it is known before anything is built: a needed unit counts by its own
    inputs in place of its wheels.
    """
    templates, found = template_folders(place.project), dict[str, str]()
    for unit in plan.units:
        parts = [identify_without(unit, templates, place.cache).identity, expectation(unit)]
        parts += [found[need.label] for need in unit.needs]
        found[unit.label] = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return found


def _inputs_there(plan: Plan, place: Workplace) -> Iterable[tuple[str, str]]:
    """As `inputs_of`, for the same units in another project, as far as it can plan them."""
    try:
        return inputs_of(_plan(plan.requested, place.project), place).items()
    except FarmError:  # one by one, then
        pass
    found: dict[str, str] = {}
    for label in sorted(plan.requested):
        try:
            found |= inputs_of(_plan([label], place.project), place)
        except FarmError:
            continue
    return found.items()


def _plan(labels: Iterable[str], project: Project) -> Plan:
    selectors = [parse_selector(label) for label in sorted(labels)]
    library = read(project, [selector.package for selector in selectors])
    return make_plan(library, selectors, Choice(), preflight=False)
