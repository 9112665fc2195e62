"""Check a document against its model, and tell every problem with its place."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from farm.errors import Problem, RecipeError
from farm.load import shape, wording
from farm.load.nearest import nearest
from farm.load.places import dotted, limited

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pydantic import BaseModel

    from farm.load.places import Path
    from farm.load.yaml import Document

M = TypeVar("M", bound="BaseModel")

_VERBS = ("is ", "has ", "must ", "needs ", "should ")
_WHOLE = {"value_error", "assertion_error"}


def validate(model: type[M], document: Document, *, base_path: Path = ()) -> M:
    """Make a model from a document, or from the part of it at ``base_path``.

    Raises:
        RecipeError: with every problem, in the order in which they stand in the file.
    """
    held, value = _follow(document.value, base_path)
    if held != base_path:
        what = f"required key {dotted(base_path[len(held) :])!r} is missing"
        place = document.place(held, key=True)
        raise RecipeError([Problem(what=what, where=dotted(held), place=place)])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [_fault(model, value, each) for each in error.errors(include_url=False)]
    teller = _Teller(document, base_path)
    problems = [each for fault in _without_slips(_merged(faults)) for each in teller.tell(fault)]
    unique = list(dict.fromkeys(problems))
    raise RecipeError(limited(sorted(unique, key=_order)))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fault:
    """One of pydantic's errors, its location told apart into what stands in the file and not.

    ``trail`` is pydantic's location with the labels of union branches marked; ``path`` the deepest
    part of the document that it leads to; ``owner`` and ``leaf`` are the types of what holds the
    last part and of that part.  ``wanted`` is what other branches of a union would have taken.
    """

    error: Mapping[str, Any]
    trail: tuple[tuple[str | int, bool], ...]
    path: Path
    owner: object
    leaf: object
    is_key: bool = False
    wanted: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        return str(self.error["type"])


def _follow(value: object, path: Iterable[str | int]) -> tuple[Path, Any]:
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


def _fault(model: type[BaseModel], value: object, error: Mapping[str, Any]) -> _Fault:
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
    path, _ = _follow(value, [part for part, is_label in trail if not is_label])
    return _Fault(
        error=error, trail=tuple(trail), path=path, owner=owner, leaf=leaf, is_key=is_key
    )


def _keys_at(value: object, path: Path) -> Iterable[str]:
    held, found = _follow(value, path)
    return found if isinstance(found, dict) and held == path else ()


def _merged(faults: list[_Fault], depth: int = 0) -> list[_Fault]:
    """Of each union, keep what is wrong with the branch that was most likely meant."""

    def union(fault: _Fault) -> tuple[tuple[str | int, bool], ...]:
        labels = (index for index, (_, is_label) in enumerate(fault.trail) if is_label)
        first = next((index for index in labels if index >= depth), None)
        return () if first is None else (*fault.trail[:first], ("", True))

    def label(fault: _Fault) -> str:
        return str(fault.trail[len(union(fault)) - 1][0])

    kept: list[_Fault] = []
    for prefix, group in groupby(sorted(faults, key=lambda each: repr(union(each))), key=union):
        if not prefix:
            kept += group
            continue
        members = groupby(sorted(group, key=label), key=label)
        kept += _best([_merged(list(each), len(prefix)) for _, each in members], len(prefix))
    return kept


def _best(found: list[list[_Fault]], depth: int) -> list[_Fault]:
    """Choose among the faults of each branch of one union, whose own trails begin at ``depth``."""

    def rank(faults: list[_Fault]) -> tuple[bool, int, int]:
        unknown = sum(each.kind == "extra_forbidden" for each in faults)
        return any(_is_other_type(each, depth) for each in faults), unknown, len(faults)

    best = min(found, key=rank)
    if len(found) > 1 and rank(best)[0]:
        others = [each for faults in found for each in faults if _is_other_type(each, depth)]
        wanted = tuple(text for each in others if (text := wording.expected(each.kind)))
        first = best[0]
        return [
            _Fault(
                error=first.error, trail=first.trail, path=first.path, owner=first.owner,
                leaf=first.leaf, wanted=wanted,
            )
        ]  # fmt: skip
    return best


def _is_other_type(fault: _Fault, depth: int) -> bool:
    """Whether the value as a whole has not the type that the branch takes."""
    return wording.expected(fault.kind) is not None and len(fault.trail) == depth


def _without_slips(faults: list[_Fault]) -> Iterator[_Fault]:
    """Leave out a missing key where an unknown one beside it is that key, mistyped."""
    unknown: dict[Path, list[str]] = {}
    for fault in faults:
        if fault.kind == "extra_forbidden":
            unknown.setdefault(fault.path[:-1], []).append(str(fault.path[-1]))
    for fault in faults:
        beside = unknown.get(fault.path, [])
        if fault.kind != "missing" or nearest(str(fault.trail[-1][0]), beside) is None:
            yield fault


class _Teller:
    """Words faults as problems of one document."""

    def __init__(self, document: Document, base_path: Path) -> None:
        self._document = document
        self._base = base_path

    def tell(self, fault: _Fault) -> list[Problem]:
        path = (*self._base, *fault.path)
        value = fault.error["input"]
        if fault.kind == "extra_forbidden":
            what, hint = wording.unknown_key(str(path[-1]), fault.owner)
            return [self._problem(path, what, hint, where=path[:-1], key=True)]
        if fault.kind == "missing":
            what = f"required key {fault.trail[-1][0]!r} is missing"
            return [self._problem(path, what, "", key=True)]
        wanted = fault.wanted or tuple(filter(None, [wording.expected(fault.kind)]))
        if wanted:
            return [self._problem(path, *wording.wrong_type(list(wanted), value))]
        what, hint = wording.about(fault.error, fault.leaf, _name(path))
        is_whole = fault.is_key or isinstance(value, dict)
        if fault.kind in _WHOLE and not hint and not fault.is_key:
            return [
                self._sentence(path, each, key=is_whole) for each in self._sentences(path, what)
            ]
        return [self._problem(path, what, hint, key=is_whole)]

    def _problem(
        self, path: Path, what: str, hint: str, *, where: Path | None = None, key: bool = False
    ) -> Problem:
        place = self._document.place(path, key=key)
        where = path if where is None else where
        return Problem(what=what, hint=hint, where=dotted(where), place=place)

    def _sentences(self, path: Path, text: str) -> list[str]:
        """Split what a validator said about several keys, each beginning with the key's path."""
        sentences: list[str] = []
        for part in text.split("; "):
            if sentences and not self._subject(path, part)[0]:
                sentences[-1] += f"; {part}"
            else:
                sentences.append(part)
        return sentences

    def _sentence(self, path: Path, text: str, *, key: bool) -> Problem:
        inner, rest = self._subject(path, text)
        at_key = key and not (inner and rest.startswith("is "))
        what = rest if inner and rest.startswith(_VERBS) else text
        return self._problem((*path, *inner), what, "", key=at_key)

    def _subject(self, path: Path, text: str) -> tuple[Path, str]:
        """The path below ``path`` that a sentence begins with, and what it says about it."""
        subject, _, rest = text.partition(" ")
        _, value = _follow(self._document.value, path)
        inner: list[str | int] = []
        while subject and isinstance(value, dict):
            # The longest first: versions hold dots of their own.
            heads = [key for key in value if subject == key or subject.startswith(f"{key}.")]
            if not heads:
                return (), text
            head = max(heads, key=len)
            inner.append(head)
            value, subject = value[head], subject[len(head) + 1 :]
        # One bare word may be a key's name by chance, so it needs a verb behind it.
        is_path = not subject and (len(inner) > 1 or rest.startswith(_VERBS))
        return (tuple(inner), rest) if is_path else ((), text)


def _name(path: Path) -> str:
    """What a value at a path is called: ``accelerator``, or ``arch`` for an item of ``archs``."""
    names = [part for part in path if isinstance(part, str)]
    name = names[-1] if names else "value"
    return name.removesuffix("s") if path and isinstance(path[-1], int) else name


def _order(problem: Problem) -> tuple[int, int]:
    place = problem.place
    return (place.line or 0, place.column or 0) if place else (0, 0)
