"""What pydantic found wrong, told by what stands in the file and not by how models are made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from farm.load import shape, wording
from farm.load.nearest import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic import BaseModel

    from farm.load.places import Path


Trail: TypeAlias = "tuple[tuple[str | int, bool], ...]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One of pydantic's errors, its location told apart into what stands in the file and not.

    ``trail`` is pydantic's location with the labels of union branches marked; ``path`` the deepest
    part of the document that it leads to; ``owner`` and ``leaf`` are the types of what holds the
    last part and of that part.  ``wanted`` is what other branches of a union would have taken.
    """

    error: Mapping[str, Any]
    trail: Trail
    path: Path
    owner: object
    leaf: object
    is_key: bool = False
    wanted: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """What pydantic calls it."""
        return str(self.error["type"])


def follow(value: object, path: Iterable[str | int]) -> tuple[Path, Any]:
    """How far a path leads into a value, and what is there.

    Parts that the file does not hold are passed over: the models name some of their own, such as
    the ``value`` of a setting that was written without its reason.
    """
    held: list[str | int] = []
    for part in path:
        is_there = part in value if isinstance(value, dict) else False
        if isinstance(value, list) and isinstance(part, int):
            is_there = part < len(value)
        if is_there:
            held.append(part)
            value = value[part]  # type: ignore[index]  # it holds this part
    return tuple(held), value


def fault_of(model: type[BaseModel], value: object, error: Mapping[str, Any]) -> Fault:
    """One of pydantic's errors as a fault of the value that was no such model."""
    trail: list[tuple[str | int, bool]] = []
    owner: object = None
    leaf: object = model
    location = error["loc"]
    is_key = location[-1:] == ("[key]",) and "[key]" not in _keys_at(value, location[:-1])
    for part in location[: -1 if is_key else None]:
        is_label = bool(shape.branches(leaf))
        if is_label:
            leaf = shape.branch(leaf, str(part))
        else:
            owner, leaf = leaf, shape.step(leaf, part)
        trail.append((part, is_label))
    path, _ = follow(value, [part for part, is_label in trail if not is_label])
    return Fault(error=error, trail=tuple(trail), path=path, owner=owner, leaf=leaf, is_key=is_key)


def _keys_at(value: object, path: Path) -> Iterable[str]:
    held, found = follow(value, path)
    return found if isinstance(found, dict) and held == path else ()


def merged(faults: Iterable[Fault]) -> list[Fault]:
    """Of each union, keep what is wrong with the branch that was most likely meant.

    Unions that are not told apart by a key stand in no other such union.
    """
    kept: list[Fault] = []
    unions: dict[Trail, dict[str | int, list[Fault]]] = {}
    for fault in faults:
        labels = [index for index, (_, is_label) in enumerate(fault.trail) if is_label]
        if not labels:
            kept.append(fault)
            continue
        branches = unions.setdefault(fault.trail[: labels[-1]], {})
        branches.setdefault(fault.trail[labels[-1]][0], []).append(fault)
    for prefix, branches in unions.items():
        kept += _best([branches[each] for each in sorted(branches, key=str)], len(prefix) + 1)
    return kept


def _best(found: list[list[Fault]], depth: int) -> list[Fault]:
    """Choose among the faults of each branch of one union, whose own trails begin at ``depth``."""

    def rank(faults: list[Fault]) -> tuple[bool, int, int]:
        unknown = sum(each.kind == "extra_forbidden" for each in faults)
        return any(_is_other_type(each, depth) for each in faults), unknown, len(faults)

    best = min(found, key=rank)
    if len(found) > 1 and rank(best)[0]:
        others = [each for faults in found for each in faults if _is_other_type(each, depth)]
        wanted = tuple(text for each in others if (text := wording.expected(each.kind)))
        return [replace(best[0], wanted=wanted)]
    return best


def _is_other_type(fault: Fault, depth: int) -> bool:
    """Whether the value as a whole has not the type that the branch takes."""
    return wording.expected(fault.kind) is not None and len(fault.trail) == depth


def without_slips(faults: list[Fault]) -> Iterator[Fault]:
    """Leave out a missing key where an unknown one beside it is that key, mistyped."""
    unknown: dict[Path, list[str]] = {}
    for fault in faults:
        if fault.kind == "extra_forbidden":
            unknown.setdefault(fault.path[:-1], []).append(str(fault.path[-1]))
    for fault in faults:
        beside = unknown.get(fault.path, [])
        if fault.kind != "missing" or nearest(str(fault.trail[-1][0]), beside) is None:
            yield fault
