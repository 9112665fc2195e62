"""What a bundle holds of a unit is read by its exact fields: another shape is another format."""

from __future__ import annotations

import hashlib
from dataclasses import fields, is_dataclass
from typing import get_args, get_type_hints

from farm.model.unit import Unit
from farm.store.bundle import FORMAT

SHAPES = {1: "84f7aa6f69fc1f8d947836c8caa3a2fd8e7810efa50eb0157aa6fa5ceacf70fd"}
"""The digest of a unit's fields and their types, by the format of bundles."""


def shape(kind: object, known: dict[str, list[str]]) -> dict[str, list[str]]:
    """Fields and types of a dataclass, and of all that it consists of, by their names."""
    if isinstance(kind, type) and is_dataclass(kind) and kind.__name__ not in known:
        known[kind.__name__] = [f"{each.name}: {each.type}" for each in fields(kind)]
        for inner in get_type_hints(kind).values():
            shape(inner, known)
    for inner in get_args(kind):
        shape(inner, known)
    return known


def test_a_unit_of_another_shape_raises_the_format_of_bundles() -> None:
    """An older bundle is then told as that, instead of as one that was changed."""
    found = shape(Unit, {})
    assert {"Unit", "Source", "Crate", "Deb", "SmokeTest"} <= found.keys()
    digest = hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()
    assert SHAPES.get(FORMAT) == digest, (
        "a unit has other fields: raise FORMAT in farm/store/bundle.py, and add its digest here"
    )
