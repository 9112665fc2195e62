"""Walk along the types of a model as pydantic's error locations do."""

from __future__ import annotations

import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, Tag


def plain(kind: object) -> Any:  # noqa: ANN401 - a type, or a form of typing
    """Take ``Annotated`` and ``| None`` off a type, as often as they are on it."""
    kind = getattr(kind, "__value__", kind)  # a type alias
    if get_origin(kind) is Annotated:
        return plain(get_args(kind)[0])
    if get_origin(kind) in {Union, types.UnionType}:
        rest = [each for each in get_args(kind) if each is not type(None)]
        return plain(rest[0]) if len(rest) == 1 else kind
    return kind


def branches(kind: object) -> list[tuple[str, Any]]:
    """The tag (empty if it has none) and type of each branch of a union; else nothing."""
    kind = plain(kind)
    if get_origin(kind) not in {Union, types.UnionType}:
        return []
    return [(_tag(each), plain(each)) for each in get_args(kind) if each is not type(None)]


def branch(kind: object, label: str) -> Any:  # noqa: ANN401 - a type, or a form of typing
    """The branch of a union that pydantic calls ``label``, or None."""
    found = branches(kind)
    for tag, each in found:
        if label in {tag, getattr(each, "__name__", "")}:
            return each
    for _, each in found:  # a literal field tells the branches apart, or a validator wraps one
        if label in _literals(each) or getattr(each, "__name__", label) in label[1:]:
            return each
    return None


def step(kind: object, part: str | int) -> Any:  # noqa: ANN401 - a type, or a form of typing
    """The type of an item or field, or None where that cannot be told."""
    kind = plain(kind)
    if _is_model(kind):
        fields = kind.model_fields
        aliased = (each for each in fields.values() if each.alias == part)
        field = fields.get(str(part)) or next(aliased, None)
        return field.annotation if field else None
    arguments = get_args(kind)
    origin = get_origin(kind)
    if not arguments or not isinstance(origin, type):
        return None
    if issubclass(origin, Mapping):
        return arguments[1]
    if origin is tuple and arguments[-1] is not Ellipsis and isinstance(part, int):
        return arguments[part] if part < len(arguments) else None
    return arguments[0]


def is_mapping(kind: object) -> bool:
    """Whether a type is a mapping whose keys a file chooses freely."""
    origin = get_origin(plain(kind))
    return isinstance(origin, type) and issubclass(origin, Mapping)


def keys(kind: object) -> set[str]:
    """The keys that a model takes from a file; none if it is no model."""
    kind = plain(kind)
    if not _is_model(kind):
        return set()
    return {field.alias or name for name, field in kind.model_fields.items()}


def _is_model(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def _tag(kind: object) -> str:
    found = [each.tag for each in getattr(kind, "__metadata__", ()) if isinstance(each, Tag)]
    return found[0] if found else ""


def _literals(kind: object) -> set[str]:
    if not _is_model(kind):
        return set()
    found = [plain(field.annotation) for field in kind.model_fields.values()]
    return {str(arg) for each in found if get_origin(each) is Literal for arg in get_args(each)}
