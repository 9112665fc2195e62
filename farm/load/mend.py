"""Take what is wrong off a document, so that all the rest of it can be judged too."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from farm.load import shape
from farm.load.faults import follow
from farm.load.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from farm.load.faults import Fault
    from farm.load.places import Path
    from farm.load.yaml import Document


def mend(
    model: type[BaseModel], document: Document, faults: Iterable[Fault]
) -> tuple[Document, frozenset[Path]] | None:
    """The document without these faults, and the mappings that lack something since.

    An unknown key becomes the one that it is nearest to, in `Document.spelled`; where what
    stands there then is wrong too, the guess was, and it is left out.  None if a fault
    cannot be taken off without others following from that.
    """
    value, spelled = deepcopy(document.value), dict(document.spelled)
    lost: set[Path] = set()
    # The deepest first: the paths of the others stay what they are.
    for fault in sorted(faults, key=lambda each: len(each.path), reverse=True):
        cut = guessed(document, fault.path)
        if not cut and fault.kind == "extra_forbidden":
            key, mapping = str(fault.path[-1]), _holder(value, fault.path)
            meant = nearest(key, shape.keys(fault.owner) - set(mapping))
            if meant and key in mapping:
                mapping[meant] = mapping.pop(key)
                spelled[(*fault.path[:-1], meant)] = key
                continue
            cut = fault.path
        cut = cut or _spare(model, fault)
        if not cut:
            return None
        _holder(value, cut).pop(cut[-1], None)
        lost.add(cut[:-1])
    return replace(document, value=value, spelled=spelled), frozenset(lost)


def guessed(document: Document, path: Path) -> Path:
    """The key above a path, or at it, that is only a guess; empty if there is none."""
    return next((each for each in document.spelled if path[: len(each)] == each), ())


def _spare(model: type[BaseModel], fault: Fault) -> Path:
    """The smallest part around a fault that nothing else depends on; empty if there is none."""
    leaf: Any = model
    held = 0
    for part, is_label in fault.trail:
        if is_label:
            leaf = shape.branch(leaf, str(part))
            continue
        owner, leaf = shape.plain(leaf), shape.step(leaf, part)
        held += fault.path[held : held + 1] == (part,)
        if part in getattr(owner, "judged_without", ()):
            return fault.path[: held + shape.is_mapping(leaf)]
    return ()


def _holder(value: object, path: Path) -> dict[str | int, Any]:
    """The mapping that holds the last part of a path; an empty one if that is gone."""
    held, found = follow(value, path[:-1])
    return found if held == path[:-1] and isinstance(found, dict) else {}
