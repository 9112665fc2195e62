"""Turn what the YAML parser says, event by event, into plain values.

The parser's own tree of nodes would take twice the time; it is made only where somebody asks
where a part of a document stands (`farm.load.yaml`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from yaml.events import (
    AliasEvent,
    CollectionStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
)

from farm.errors import Problem, RecipeError
from farm.load.places import MAX_PROBLEMS, dotted, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.load.places import Lines, Path

    Event: TypeAlias = ScalarEvent | CollectionStartEvent | AliasEvent

Value: TypeAlias = "str | int | bool | list[Value] | dict[str, Value] | None"

MAX_DEPTH: Final = 50
"""How deep mappings and lists may nest."""
MAX_VALUES: Final = 20_000
"""How many values a document may hold after its aliases are filled in."""

_WORDS: Final[dict[str, bool | None]] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
# Longer runs of digits are hashes and commits, not numbers; leading zeros matter to whoever
# typed them.
_INTEGER: Final = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,17})")

# What YAML itself refuses, and what an editor does not show: control characters, line separators
# besides the line feed, marks that reverse the direction of text, surrogates.
HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff"
    "\ud800-\udfff\ufffe\uffff]|\r(?!\n)"
)


def bare(text: str) -> str | int | bool | None:
    """What a scalar without quotes means."""
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _INTEGER.fullmatch(text) else text


def hidden_what(character: str) -> str:
    """What is wrong with a text that holds a hidden character."""
    return f"holds the control character U+{ord(character):04X}"


class _Unfinished:
    """Stands for an anchor whose value is still being read."""


class Reader:
    """Turns events into values, and collects what is refused on the way.

    ``following`` gives the next event; ``lost`` are the paths of mappings that lack a key since.
    """

    def __init__(self, following: Callable[[], Any], lines: Lines) -> None:
        self.problems: list[Problem] = []
        self.lost: set[Path] = set()
        self._following = following
        self._lines = lines
        self._path: list[str | int] = []
        self._anchors: dict[str | None, Value | type[_Unfinished]] = {}
        self._count = 0

    def value(self, event: Event) -> Value:
        """The value that begins with an event.

        Raises:
            RecipeError: the document is too deep or too large, perhaps by its aliases, or these
                and their anchors do not fit.
        """
        if isinstance(event, AliasEvent):
            return self._alias(event)
        self._count += 1
        if self._count > MAX_VALUES:
            self._too_large(event)
        if event.tag:
            what = (
                f"the tag {shown(event.tag.replace('tag:yaml.org,2002:', '!!'))} is not accepted"
            )
            self._problem(event, what, "leave it out; quotes make text, and bare words the rest")
        return self._anchored(event) if event.anchor else self._content(event)

    def _too_large(self, event: Event) -> NoReturn:
        if self._count > MAX_VALUES:
            what = f"holds more than {MAX_VALUES:,} values, counting what aliases stand for"
            self._give_up(event, what)
        self._give_up(event, f"nested more than {MAX_DEPTH} levels deep")

    def _content(self, event: ScalarEvent | CollectionStartEvent) -> Value:
        if isinstance(event, ScalarEvent):
            if event.implicit[0]:
                return bare(event.value)
            hidden = HIDDEN.search(event.value)  # an escape can spell what the file does not hold
            if hidden:
                self._problem(event, hidden_what(hidden[0]))
            return event.value
        if len(self._path) >= MAX_DEPTH:
            self._too_large(event)
        return self._mapping() if isinstance(event, MappingStartEvent) else self._sequence()

    def _anchored(self, event: ScalarEvent | CollectionStartEvent) -> Value:
        if event.anchor in self._anchors:
            self._give_up(event, f"an anchor of the name {shown(event.anchor)} was defined before")
        self._anchors[event.anchor] = _Unfinished
        value = self._content(event)
        self._anchors[event.anchor] = value
        return value

    def _alias(self, event: AliasEvent) -> Value:
        name = f"*{event.anchor}"
        if event.anchor not in self._anchors:
            hint = "a value that begins with '*' wants quotes"
            self._give_up(event, f"{shown(name)} is an alias of nothing before it", hint)
        found = self._anchors[event.anchor]
        if isinstance(found, type):
            self._give_up(event, f"{shown(name)} is an alias of what it stands in")
        return self._copy(event, found, 0)

    def _copy(self, event: AliasEvent, value: Value, below: int) -> Value:
        """What an alias stands for, ``below`` where it stands, counted once more."""
        self._count += 1
        is_nested = isinstance(value, dict | list)
        if self._count > MAX_VALUES or (is_nested and len(self._path) + below >= MAX_DEPTH):
            self._too_large(event)
        if isinstance(value, dict):
            return {key: self._copy(event, each, below + 1) for key, each in value.items()}
        if isinstance(value, list):
            return [self._copy(event, each, below + 1) for each in value]
        return value

    def _sequence(self) -> Value:
        items: list[Value] = []
        while type(event := self._following()) is not SequenceEndEvent:
            self._path.append(len(items))
            items.append(self.value(event))
            self._path.pop()
        return items

    def _mapping(self) -> Value:
        items: dict[str, Value] = {}
        first: dict[str, Event] = {}
        following, path = self._following, self._path
        while type(event := following()) is not MappingEndEvent:
            key = self._key(event)
            if key is None:
                self.lost.add(tuple(path))
            elif key in items:
                earlier = self._lines.marked(first[key].start_mark)
                self._problem(event, f"duplicate key {shown(key)}, first at {earlier}")
            else:
                first[key] = event
            path.append("?" if key is None else key)
            value = self.value(following())
            path.pop()
            if key is not None:
                items[key] = value
        return items

    def _key(self, event: Event) -> str | None:
        """The text of a key; None where it has none, or has it from elsewhere."""
        if isinstance(event, ScalarEvent):
            text: str = event.value
            if text == "<<" and event.implicit[0]:
                what, hint = "merge keys ('<<') are not accepted", "write the settings out"
                self._problem(event, what, hint)
                return None
        elif isinstance(event, AliasEvent):
            text = f"*{event.anchor}"
        else:
            self._refuse_key(event)
            return None
        key = self.value(event)
        if isinstance(key, str):
            return key
        what = f"a key must be text, and {text or 'nothing'} is not"
        self._problem(event, what, f'put it in quotes: "{text}"')
        return text

    def _refuse_key(self, event: CollectionStartEvent) -> None:
        kind = "mapping" if isinstance(event, MappingStartEvent) else "list"
        self._problem(event, f"a key must be text, and this is a {kind}")
        self._path.append("?")
        self.value(event)
        self._path.pop()

    def _problem(self, event: Event, what: str, hint: str = "") -> None:
        self.problems.append(self._at(event, tuple(self._path), what, hint))

    def _at(self, event: Event, path: Path, what: str, hint: str) -> Problem:
        place = self._lines.marked(event.start_mark)
        return Problem(what=what, place=place, where=dotted(path), hint=hint)

    def _give_up(self, event: Event, what: str, hint: str = "") -> NoReturn:
        # The whole path may be as long as it is deep.
        problem = self._at(event, tuple(self._path[:3]), what, hint)
        raise RecipeError([*self.problems[: MAX_PROBLEMS - 1], problem])
