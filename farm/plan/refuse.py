"""Hold one unit against the rules of `farm.plan.preflight`, with its place in the recipe."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.load.places import dotted
from farm.plan import settings
from farm.plan.preflight import Combination, lock_refusals, refusals

if TYPE_CHECKING:
    from farm.load.library import Catalogue, LoadedRecipe
    from farm.model.unit import Unit
    from farm.plan.preflight import Refusal
    from farm.plan.scope import Scope


def refuse(
    unit: Unit, loaded: LoadedRecipe, scope: Scope, catalogue: Catalogue
) -> tuple[Refusal, ...]:
    """What is known not to work of a unit that is right otherwise."""
    asked = Combination(
        toolchain=scope.toolchain,
        base=scope.base,
        compiler=unit.host_compiler,
        # One that nobody knows is a slip, which is told as such.
        archs=tuple(a for a in unit.archs if a in scope.toolchain.archs or catalogue.knowing(a))
        if scope.toolchain.archs
        else (),
        python=unit.python,
        pythons=loaded.recipe.python,
        limits=tuple(settings.python_limits(scope.layers, loaded.recipe.package)),
    )
    requires = {item.value: item for _, item in settings.joined(scope.layers, "requires")}
    found = (*refusals(asked, catalogue), *lock_refusals(unit, requires))
    path: settings.Path = ("variants", scope.variant, "toolchain")
    return tuple(replace(each, place=loaded.place(*path), where=dotted(path)) for each in found)
