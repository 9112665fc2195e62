"""The farm from Python: open a project, plan, render, build.

::

    from farm import api

    project = api.open_project("wheels")
    plan = api.plan(project, "llama-cpp-python@0.2.44:cpu", "vllm:empty")
    outcomes = api.build(plan, project, sink=print)

Nothing here prints or exits: failures are `farm.errors.FarmError`, a run's
progress is events (`farm.events`), and how each unit ended stands in the
reports that `build` returns.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import UsageError

if TYPE_CHECKING:
    from farm.events import Sink
    from farm.load.project import Project
    from farm.plan.plan import Plan
    from farm.run.options import BuildOptions
    from farm.run.session import Outcomes

__all__ = ["build", "open_project", "plan", "render"]


def open_project(folder: Path | str | None = None) -> Project:
    """The project in a folder; without one, the nearest upward of the current folder.

    Raises:
        UsageError: there is no ``recipes/`` folder.
    """
    from farm.load.project import find_project

    return find_project(root=Path(folder) if folder is not None else None)


def plan(
    project: Project,
    *selectors: str,
    variants: tuple[str, ...] = (),
    features: tuple[str, ...] = (),
    python: str | None = None,
    preflight: bool = True,
) -> Plan:
    """Plan what selectors name (``package[@version][:variant]``), and all that it needs.

    ``variants`` count where a selector names none; a feature ``~name`` is off.
    Without ``preflight``, what is known not to work is in the plan's ``refusals``
    in place of an error.  No engine is asked, and the network is not used.

    Raises:
        UsageError: nothing is named, or something that does not exist.
        RecipeError, PlanError: with every problem found.
    """
    from farm.load.library import read
    from farm.plan.plan import Choice, make_plan
    from farm.plan.select import parse_selector

    if not selectors:
        known = ", ".join(project.names("recipes")) or "none yet"
        raise UsageError("no recipe is named", hint=f"recipes here: {known}")
    parsed = [parse_selector(text) for text in selectors]
    library = read(project, [selector.package for selector in parsed])
    choice = Choice(variants=variants, features=features, python=python)
    return make_plan(library, parsed, choice, preflight=preflight)


def render(made: Plan, project: Project) -> dict[str, str]:
    """The Dockerfile of each unit that was asked for, by label.

    As long as a unit's base does not exist here, it starts from a placeholder.
    """
    from farm.load.folders import cache_folder
    from farm.run.settle import identify_without, template_folders

    templates, cache = template_folders(project), cache_folder()
    return {
        unit.label: identify_without(unit, templates, cache).manifest.dockerfile
        for unit in made.units
        if unit.label in made.requested
    }


def build(  # noqa: PLR0913 - what a caller may want to choose
    made: Plan,
    project: Project,
    *,
    out: Path | None = None,
    cache: Path | None = None,
    options: BuildOptions | None = None,
    sink: Sink | None = None,
    cancel: threading.Event | None = None,
) -> Outcomes:
    """Build what is not built yet; see `farm.run.options.BuildOptions`.

    ``out`` is the project's ``out/`` unless given, ``cache`` the user's cache
    folder.  ``sink`` gets the events, from several threads, one at a time.
    Setting ``cancel`` ends the run within seconds.

    Raises:
        StorageError: a folder cannot be written at all.  What befalls a unit is
            no exception but its report.
    """
    from farm.load.folders import cache_folder
    from farm.run.options import BuildOptions, Workplace
    from farm.run.session import build as run

    place = Workplace(project=project, out=out or project.out, cache=cache or cache_folder())
    return run(
        made,
        place,
        options or BuildOptions(),
        sink or (lambda _: None),
        cancel or threading.Event(),
    )
