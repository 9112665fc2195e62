"""Read a YAML document that holds nothing unusual, straight from the parser's events.

Nearly every file is such a document, and it is read in half the time that a
tree of nodes would take.  Whatever could be wrong or needs care is left to
`farm.load.yaml`, which builds the tree and tells what stands where.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

import yaml
from yaml.events import (
    CollectionStartEvent,
    DocumentEndEvent,
    DocumentStartEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    StreamEndEvent,
    StreamStartEvent,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from yaml import SafeLoader as _Parser
    from yaml.events import Event
else:
    try:
        from yaml import CSafeLoader as _Parser
    except ImportError:  # a PyYAML built without libyaml: slower, and the same
        from yaml import SafeLoader as _Parser

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


class UnusualError(Exception):
    """The document holds something that must be looked at more closely."""


def bare(text: str) -> str | int | bool | None:
    """What a scalar without quotes means."""
    if text in _WORDS:
        return _WORDS[text]
    return int(text) if _INTEGER.fullmatch(text) else text


def read(text: str) -> Value:
    """The value of a document without tags, anchors, aliases or directives.

    Raises:
        UnusualError: it has one of these, or a key that is refused, or is no YAML.
    """
    parser = _Parser(text)
    try:
        return _document(parser.get_event)
    except yaml.YAMLError as error:
        raise UnusualError from error
    finally:
        parser.dispose()


def _document(following: Callable[[], Event]) -> Value:
    _require(type(following()) is StreamStartEvent)
    start = following()
    _require(type(start) is DocumentStartEvent and not start.version and not start.tags)
    first = following()
    _require(type(first) is not ScalarEvent)
    value = _Reader(following).value(first, 0)
    _require(type(following()) is DocumentEndEvent)
    _require(type(following()) is StreamEndEvent)
    return value


def _require(usual: bool) -> None:  # noqa: FBT001 - reads as an assertion
    if not usual:
        raise UnusualError


class _Reader:
    """Turns events into values, and gives up at whatever is unusual."""

    def __init__(self, following: Callable[[], Event]) -> None:
        self._following = following
        self._count = 0

    def value(self, event: Event, depth: int) -> Value:
        """The value that begins with an event."""
        self._count += 1
        if isinstance(event, ScalarEvent):
            return self._scalar(event)
        if depth >= MAX_DEPTH or self._count > MAX_VALUES:
            raise UnusualError
        if not isinstance(event, CollectionStartEvent) or event.tag or event.anchor:
            raise UnusualError
        if isinstance(event, MappingStartEvent):
            return self._mapping(depth + 1)
        return self._sequence(depth + 1)

    def _mapping(self, depth: int) -> Value:
        found: dict[str, Value] = {}
        following = self._following
        while type(event := following()) is not MappingEndEvent:
            key = self.value(event, MAX_DEPTH)
            if not isinstance(key, str) or key in found or key == "<<":
                raise UnusualError
            found[key] = self.value(following(), depth)
        return found

    def _sequence(self, depth: int) -> Value:
        found: list[Value] = []
        while type(event := self._following()) is not SequenceEndEvent:
            found.append(self.value(event, depth))
        return found

    def _scalar(self, event: ScalarEvent) -> str | int | bool | None:
        if event.tag or event.anchor or self._count > MAX_VALUES:
            raise UnusualError
        text: str = event.value
        if event.implicit[0]:
            return bare(text)
        if HIDDEN.search(text):  # an escape can spell what the file itself does not hold
            raise UnusualError
        return text
