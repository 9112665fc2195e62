"""The JSON schema of recipe, toolchain and base files, made from the models.

Editors complete and check with it: a file names it in its first line
(``# yaml-language-server: $schema=schema.json``).  It is written with
``python -m farm.load.schema > recipes/schema.json``, and a test compares the two.

Some rules are beyond a schema (a variant's target is one of the recipe's
values, say), and in one thing it is stricter than the farm: an editor takes
``3.10`` for a number where the farm reads text, so there it asks for quotes.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.model.strict import Strict

    Schema: TypeAlias = dict[str, Any]

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_REF: Final = "#/$defs/"
# Keywords under which plain names lead to schemas.
_NAMED: Final = ("properties", "patternProperties", "$defs")


def schema_text() -> str:
    """The text of ``recipes/schema.json``: sorted keys, two spaces, a newline at the end."""
    return json.dumps(schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def schema() -> Schema:
    """One schema (draft 2020-12) for all three kinds of files."""
    from pydantic.json_schema import models_json_schema

    from farm.model.recipe import Recipe
    from farm.model.strict import Reasoned
    from farm.model.toolchain import Base, Toolchain

    models: tuple[type[Strict], ...] = (Recipe, Toolchain, Base)
    reasoned = Reasoned.__subclasses__()
    refs, raw = models_json_schema([(model, "validation") for model in (*models, *reasoned)])
    # Pydantic spells the whole type out for ``Reasoned[CMakeArg]``.
    names = {refs[each, "validation"]["$ref"]: _REF + each.__name__ for each in reasoned}
    definitions = {
        names.get(_REF + name, name).removeprefix(_REF): definition
        for name, definition in raw["$defs"].items()
    }
    _document(definitions)
    for part in _parts({"$defs": definitions}):
        if "$ref" in part:
            part["$ref"] = names.get(part["$ref"], part["$ref"])
    return {
        "$schema": DIALECT,
        "title": "farm",
        "description": "A recipe, a toolchain or a base of farm.",
        "anyOf": [{"$ref": _REF + model.__name__} for model in models],
        "$defs": {name: _tidied(definition) for name, definition in definitions.items()},
    }


def _document(definitions: dict[str, Schema]) -> None:
    """Describe each field by the docstring below it."""
    from farm.model.strict import Reasoned, Short, Strict

    models = {model.__name__: model for model in _below(Strict)}
    for name, definition in definitions.items():
        model = models.get(name)
        if model is None:
            continue
        if issubclass(model, Reasoned):  # pydantic gives a parametrized class no docstring
            model, definition["description"] = Reasoned, inspect.getdoc(Reasoned)
        said = docstrings(model)
        *bare, whole = definition.get("anyOf", [definition])
        if bare and issubclass(model, Short):
            bare[0]["description"] = said[model.short_key]
        for field, part in whole.get("properties", {}).items():
            part["description"] = said[field]


def _below(model: type[Strict]) -> Iterator[type[Strict]]:
    """All models that are made from a model."""
    for each in model.__subclasses__():
        yield each
        yield from _below(each)


def docstrings(model: type) -> dict[str, str]:
    """The docstring below each field of a class of farm's, inherited ones included.

    Pydantic would read them as it makes each class, which every command would pay for with
    some 50 ms; only the schema needs them.
    """
    found: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        if parent.__module__.startswith("farm."):
            (definition,) = ast.parse(inspect.getsource(parent)).body
            found |= dict(_below_fields(definition))
    return found


def _below_fields(definition: ast.AST) -> Iterator[tuple[str, str]]:
    for field, below in pairwise(ast.iter_child_nodes(definition)):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)


def _parts(schema: Schema) -> Iterator[Schema]:
    """The schema and all schemas inside it."""
    yield schema
    for key, value in schema.items():
        if key in _NAMED:
            for named in value.values():
                yield from _parts(named)
        elif key in {"default", "const", "enum"}:
            continue
        elif isinstance(value, dict):
            yield from _parts(value)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    yield from _parts(item)


def _tidied(definition: Schema) -> Schema:
    """Without what only repeats the names or says "nothing", and with no key left open."""
    for part in _parts(definition):
        part.pop("title", None)
        default = part.get("default")
        if default is None or default in ("", [], {}) or isinstance(default, dict):
            part.pop("default", None)
        if "patternProperties" in part:
            part["additionalProperties"] = False
        if "pattern" in part:
            part["pattern"] = _portable(part["pattern"])
        if "description" in part:
            part["description"] = part["description"].strip()
    return definition


def _portable(pattern: str) -> str:
    r"""Without ``\"`` and ``\'``, which are no escapes in the regular expressions of editors."""
    return re.sub(r"""\\(["'])""", r"\1", pattern)


if __name__ == "__main__":
    sys.stdout.write(schema_text())
