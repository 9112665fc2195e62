"""What one unit is resolved from: a recipe's variant with its archs, features and Python."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.model.key import UnitKey
from farm.plan import settings
from farm.plan.select import VariantChoice, variant_label, whole_archs

if TYPE_CHECKING:
    from farm.load.library import Library
    from farm.model.recipe import Recipe
    from farm.model.toolchain import Base, Toolchain


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """What one unit is resolved from; ``narrowed`` if its name says the architectures."""

    variant: str
    toolchain: Toolchain
    base: Base
    archs: tuple[str, ...]
    narrowed: bool
    features: dict[str, bool]
    python: str
    layers: tuple[settings.PlacedLayer, ...]


def is_loaded(library: Library, recipe: Recipe, variant: str) -> bool:
    """Whether toolchain and base of a variant could be read; that they could not is told."""
    toolchain = library.toolchains.get(recipe.variants[variant].toolchain)
    return toolchain is not None and toolchain.base in library.bases


def scope_of(library: Library, recipe: Recipe, version: str, choice: VariantChoice) -> Scope:
    """What a variant's whole name means; whether it can be so is not judged."""
    variant = recipe.variants[choice.name]
    toolchain = library.toolchains[variant.toolchain]
    base = library.bases[toolchain.base]
    features = _defaults(recipe) | dict(choice.features)
    return Scope(
        variant=choice.name,
        toolchain=toolchain,
        base=base,
        archs=_in_order(whole_archs(choice.archs, toolchain.archs), variant.archs),
        narrowed=bool(choice.archs),
        features=features,
        python=choice.python or _default_python(recipe, base),
        layers=settings.layers_of(recipe, version, choice.name, features),
    )


def key_of(recipe: Recipe, version: str, scope: Scope) -> UnitKey:
    """The unit's name: the same however it was asked for."""
    own, defaults = recipe.variants[scope.variant].archs, _defaults(recipe)
    label = variant_label(
        scope.variant,
        archs=None if set(scope.archs) == set(own) else scope.archs,
        features=tuple((n, on) for n, on in scope.features.items() if defaults.get(n) != on),
        python=None if scope.python == _default_python(recipe, scope.base) else scope.python,
    )
    return UnitKey(package=recipe.package, version=version, variant=label)


def _defaults(recipe: Recipe) -> dict[str, bool]:
    return {name: feature.default for name, feature in recipe.features.items()}


def _default_python(recipe: Recipe, base: Base) -> str:
    """The one of the variant's base if the recipe lists it, else the recipe's first."""
    return str(base.python if base.python in recipe.python else recipe.python[0])


def _in_order(asked: tuple[str, ...], own: tuple[str, ...]) -> tuple[str, ...]:
    """Architectures in one order, however they were asked for: one label, one identity."""
    return own if not asked or sorted(asked) == sorted(own) else tuple(sorted(asked))
