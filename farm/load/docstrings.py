"""What the docstrings below a model's fields say, read from its source.

Pydantic would read them as it makes each class, which every command would pay
for with some 50 ms; only the schema for editors needs them.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise

from farm.model.strict import Strict


def field_docstrings(model: type[Strict]) -> dict[str, str]:
    """The docstring of each field of a model, inherited ones included."""
    found: dict[str, str] = {}
    for parent in reversed(model.__mro__):
        if issubclass(parent, Strict):
            found |= _own(parent)
    return found


def _own(model: type[Strict]) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(model)))
    definition = tree.body[0]
    if not isinstance(definition, ast.ClassDef):
        raise TypeError(f"{model} is no class in its source")
    return {
        field.target.id: inspect.cleandoc(below.value.value)
        for field, below in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
        and isinstance(below.value.value, str)
    }
