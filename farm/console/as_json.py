"""Values as JSON: the same value gives the same text, on any machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import date
from enum import Enum
from pathlib import PurePath
from typing import TypeAlias

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"


def jsonable(value: object) -> Json:
    """Return the value made of JSON's own types.

    Dataclasses and pydantic models become objects, enums their values, paths and
    dates text, tuples arrays, and sets sorted arrays.

    Raises:
        TypeError: the value holds something else.
    """
    if isinstance(value, Enum):
        return jsonable(value.value)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        return {field.name: jsonable(getattr(value, field.name)) for field in fields}
    if isinstance(value, (PurePath, date)):
        return value.isoformat() if isinstance(value, date) else str(value)
    return _collection(value)


def _collection(value: object) -> Json:
    if isinstance(value, Mapping):
        return {str(jsonable(key)): jsonable(item) for key, item in value.items()}
    if isinstance(value, AbstractSet):
        return sorted((jsonable(item) for item in value), key=json.dumps)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray)):
        return [jsonable(item) for item in value]
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return jsonable(dump())
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def to_json(value: object, *, indent: int | None = 2) -> str:
    """Return JSON with sorted keys and no final newline; on one line if ``indent`` is None.

    Raises:
        TypeError: as for `jsonable`.
        ValueError: a number is infinite or none.
    """
    separators = (",", ":") if indent is None else None
    return json.dumps(
        jsonable(value),
        allow_nan=False,
        ensure_ascii=False,
        indent=indent,
        separators=separators,
        sort_keys=True,
    )
