"""The project: whether its own recipes load and plan, and whether their locks and patches fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import ExitCode, FarmError, ProblemsError
from farm.load.library import read
from farm.plan.plan import Choice, make_plan
from farm.plan.resolve import lock_problem
from farm.plan.select import Selector
from farm.upkeep.checks import ok, problem, refused, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.load.library import Library
    from farm.load.project import Project
    from farm.model.unit import Unit
    from farm.upkeep.checks import Check

_SHOWN = 20
"""Problems of one recipe that are shown one by one; `farm plan` shows all."""


def checks(project: Project | None) -> Iterator[Check]:
    """Look at every recipe of the project itself."""
    if project is None:
        remedy = "go to a project's folder, name one with --root, or start one: farm init"
        yield warning("project", "no recipes/ folder here or above", remedy)
        return
    names = project.own_recipes()
    yield ok("project", f"{project.root}, with {len(names)} recipes of its own")
    for name in names:
        yield from recipe_checks(project, name)


def recipe_checks(project: Project, name: str) -> Iterator[Check]:
    """Load and plan every version and variant of one recipe."""
    title = f"recipe {name}"
    try:
        library = read(project, [name])
        loaded = library.recipes.get(name)
        versions = loaded.recipe.versions if loaded else ()
        selectors = [Selector(package=name, version=version) for version in versions]
        plan = make_plan(library, selectors, Choice())
    except ProblemsError as error:
        for found in error.problems[:_SHOWN]:
            yield problem(title, str(found), "correct the recipe", error.code)
        return
    except FarmError as error:
        yield refused(title, error)
        return
    except OSError as error:
        yield problem(title, f"cannot be read: {error}", "change its rights", ExitCode.RECIPE)
        return
    own = [unit for unit in plan.units if unit.key.package == name]
    yield from _locks(title, own)
    yield from _unused_patches(project, name, library)


def _locks(title: str, units: list[Unit]) -> Iterator[Check]:
    found = {unit.label: lock_problem(unit) for unit in units if not unit.unlocked}
    wrong = {label: reason for label, reason in found.items() if reason}
    for label, reason in wrong.items():
        yield warning(title, f"{label} cannot be built: {reason}", f"farm lock {label}")
    if not wrong:
        yield ok(title, f"valid; {len(units)} units, locks and patches fit")


def _unused_patches(project: Project, name: str, library: Library) -> Iterator[Check]:
    used = {patch.path for patch in library.patches.values()}
    for path in sorted((project.root / "patches" / name).glob("*/*.patch")):
        if path not in used:
            shown = project.display(path)
            remedy = "name it in the recipe's patches, or delete it"
            yield warning("patches", f"{shown} is applied by no recipe", remedy)
