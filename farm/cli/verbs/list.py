"""``farm list``: recipes and their variants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from farm.cli import common

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.model.recipe import Recipe


def list_(context: typer.Context, as_json: common.AsJson = False) -> None:
    """List recipes, versions and variants as a table."""
    from farm.load.library import gather

    project = common.project_of(context)
    library = gather(project, project.names("recipes"))
    own = set(project.own_recipes())
    recipes = [loaded.recipe for _, loaded in sorted(library.recipes.items())]
    if as_json:
        rows = [_row(recipe, "project" if recipe.package in own else "shipped")
                for recipe in recipes]  # fmt: skip
        common.print_json({"recipes": rows})
        return
    from farm.console.tables import print_table

    columns = ("package", "versions", "variant", "default", "toolchain", "architectures")
    print_table(columns, [cells for recipe in recipes for cells in _cells(recipe)])


def _row(recipe: Recipe, origin: str) -> dict[str, Any]:
    return {
        "package": recipe.package,
        "origin": origin,
        "versions": list(recipe.versions),
        "python": list(recipe.python),
        "features": list(recipe.features),
        "variants": {
            name: {
                "toolchain": variant.toolchain,
                "archs": list(variant.archs),
                "default_version": recipe.default_version(name),
            }
            for name, variant in recipe.variants.items()
        },
        "summary": recipe.summary,
    }


def _cells(recipe: Recipe) -> Iterator[tuple[str, ...]]:
    first = (recipe.package, ", ".join(recipe.versions))
    for name, variant in recipe.variants.items():
        default = recipe.default_version(name)
        yield (*first, name, default, variant.toolchain, " ".join(variant.archs))
        first = ("", "")
