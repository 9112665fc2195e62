"""Check a document against its model, and tell every problem with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from pydantic import ValidationError

from farm.errors import Problem
from farm.load import wording
from farm.load.faults import fault_of, follow, merged, without_slips
from farm.load.mend import guessed, mend
from farm.load.places import dotted, in_order, limited

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pydantic import BaseModel

    from farm.load.faults import Fault
    from farm.load.places import Path
    from farm.load.yaml import Document

M = TypeVar("M", bound="BaseModel")

_VERBS = ("is ", "has ", "must ", "needs ", "should ")
_WHOLE = {"value_error", "assertion_error"}
_PASSES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged(Generic[M]):
    """What a document says as far as that can be told, and what is wrong with it.

    ``model`` is None if too little is right.  Where there are problems, what is wrong was
    taken off (`farm.load.mend`): ``document`` has the rest, ``lost`` are the mappings that
    lack something since.
    """

    model: M | None
    document: Document
    problems: tuple[Problem, ...] = ()
    lost: frozenset[Path] = frozenset()


def judge(model: type[M], document: Document) -> Judged[M]:
    """Make a model from as much of a document as is right, and tell all that is not."""
    told, lost = list(document.problems), document.lost
    made: M | None = None
    for _ in range(_PASSES):
        try:
            made = model.model_validate(document.value)
            break
        except ValidationError as error:
            errors = error.errors(include_url=False)
        found = merged([fault_of(model, document.value, each) for each in errors])
        faults = list(without_slips(found))
        told += _told(document, faults, lost)
        mended = mend(model, document, faults)
        if mended is None:
            break
        document, lost = mended[0], lost | mended[1]
    problems = tuple(limited(in_order(told)))
    return Judged(model=made, document=document, problems=problems, lost=lost)


def _told(document: Document, faults: Iterable[Fault], lost: frozenset[Path]) -> Iterator[Problem]:
    """The problems that these faults are, but for those that may follow from earlier ones."""
    teller, lacking = _Teller(document), {dotted(path) for path in lost}
    for fault in faults:
        if not guessed(document, fault.path):
            yield from (each for each in teller.tell(fault) if each.where not in lacking)


class _Teller:
    """Words faults as problems of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document

    def tell(self, fault: Fault) -> list[Problem]:
        path = fault.path
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
        _, value = follow(self._document.value, path)
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
