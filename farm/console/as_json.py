"""Values as JSON: the same value gives the same text, on any machine."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Set as AbstractSet
from datetime import date
from pathlib import PurePath


def to_json(value: object, *, indent: int | None = 2) -> str:
    """Return JSON with sorted keys and no final newline; on one line if ``indent`` is None.

    Dataclasses and pydantic models become objects, paths and dates text,
    tuples arrays, and sets sorted arrays.

    Raises:
        TypeError: the value holds something else.
        ValueError: a number is infinite or none.
    """
    return json.dumps(
        value,
        allow_nan=False,
        default=_plain,
        ensure_ascii=False,
        indent=indent,
        separators=(",", ":") if indent is None else None,
        sort_keys=True,
    )


def _plain(value: object) -> object:
    """What `json` does not know, one step nearer to what it does."""
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    match value:
        case PurePath():
            return str(value)
        case date():
            return value.isoformat()
        case AbstractSet():
            return sorted(value)
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump()
    raise TypeError(f"{type(value).__name__} has no form in JSON")
