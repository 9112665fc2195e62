"""What pydantic found, in the words of somebody who writes recipes."""

from __future__ import annotations

import re
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, get_args, get_origin

from farm.load.nearest import nearest, perhaps
from farm.load.places import shown
from farm.load.shape import branches, keys, plain

if TYPE_CHECKING:
    from collections.abc import Mapping

_EXPECTED: Final = {
    "a string": ("string_type",),
    "a whole number": ("int_type", "int_parsing", "int_from_float"),
    "a number": ("float_type", "float_parsing"),
    "true or false": ("bool_type", "bool_parsing"),
    "a list": ("tuple_type", "list_type", "set_type", "frozen_set_type"),
    "a mapping": ("dict_type", "model_type", "model_attributes_type", "dataclass_type"),
}
_EXPECTED_BY_TYPE: Final = {
    kind: expected for expected, kinds in _EXPECTED.items() for kind in kinds
}
# A pattern that only lists words: ``^(gcc|clang)$``.
_LISTED: Final = re.compile(r"\^\(([\w.-]+(?:\|[\w.-]+)+)\)\$")
_SWITCHES: Final = {"on": True, "yes": True, "y": True, "off": False, "no": False, "n": False}
# Longer lists of known names help less than the documentation.
_MOST_NAMES: Final = 24


def expected(kind: str) -> str | None:
    """What pydantic wanted instead: ``a list`` for ``tuple_type``; None if not about types."""
    return _EXPECTED_BY_TYPE.get(kind)


def described(value: object) -> str:
    """Name a value by its kind: ``the string 'x'``, ``a mapping``, ``empty``."""
    if value is None:
        return "empty"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return f"the number {shown(value)}"
    if isinstance(value, str):
        return f"the string {shown(value)}"
    return "a mapping" if isinstance(value, dict) else "a list"


def wrong_type(wanted: list[str], value: object) -> tuple[str, str]:
    """What and hint for a value of another type than one of ``wanted``."""
    what = f"should be {' or '.join(dict.fromkeys(wanted))}, is {described(value)}"
    if "a string" in wanted and isinstance(value, bool | int):
        return what, f'put it in quotes: "{str(value).lower()}"'
    if "a list" in wanted:
        return what, _list_hint(value)
    if "a mapping" in wanted and isinstance(value, str) and re.fullmatch(r"\w+:\S+", value):
        return what, "perhaps a blank is missing behind the ':'"
    if "true or false" in wanted and isinstance(value, str) and value.lower() in _SWITCHES:
        return what, f"perhaps {str(_SWITCHES[value.lower()]).lower()}"
    return what, ""


def unknown_key(key: str, owner: object) -> tuple[str, str]:
    """What and hint for a key that the model ``owner`` does not have."""
    known = keys(owner)
    return f"unknown key {shown(key)}", perhaps(key, known) or _one_of(known)


def about(error: Mapping[str, Any], leaf: object, name: str) -> tuple[str, str]:
    """What and hint for a value that has the right type and is wrong all the same.

    Args:
        error: one of pydantic's ``errors()``.
        leaf: the type of the value.
        name: what the value is called, for ``unknown accelerator 'cdua'``.
    """
    kind, value, context = error["type"], error["input"], error.get("ctx", {})
    if kind in {"value_error", "assertion_error"}:
        what, mark, hint = str(context["error"]).partition("; perhaps ")
        return what, mark.removeprefix("; ") + hint
    listed = _LISTED.fullmatch(str(context.get("pattern", "")))
    if listed or kind in {"literal_error", "enum"}:
        known = set(listed[1].split("|")) if listed else _choices(leaf)
        hint = perhaps(value, known) if isinstance(value, str) else ""
        return f"unknown {name} {shown(value)}", hint or _one_of(known)
    if kind == "string_pattern_mismatch":
        return f"{shown(value)} does not fit the pattern {context['pattern']}", ""
    if kind == "string_too_short" and value == "":
        return "should not be empty", ""
    if kind in {"too_short", "too_long"}:
        least = kind == "too_short"
        count = context["min_length" if least else "max_length"]
        noun = "entry" if count == 1 else "entries"
        return (
            f"should have at {'least' if least else 'most'} {count} {noun}, has {len(value)}",
            "",
        )
    text = error["msg"].removeprefix("Input ").replace("String should", "should")
    if text.startswith("should"):
        text += f", is {described(value)}"
    return text, _misspelt_branch(leaf, value)


def _list_hint(value: object) -> str:
    if isinstance(value, dict):
        return "each entry of a list begins with '- '"
    if value is None:
        return "leave the key out, or write []"
    is_simple = isinstance(value, int) or re.fullmatch(r"[\w.+/-]{1,40}", str(value))
    return f"perhaps [{value}]" if is_simple else ""


def _choices(leaf: object) -> set[str]:
    leaf = plain(leaf)
    if isinstance(leaf, type) and issubclass(leaf, Enum):
        return {str(member.value) for member in leaf}
    return set(map(str, get_args(leaf))) if get_origin(leaf) is Literal else set()


def _misspelt_branch(leaf: object, value: object) -> str:
    """A tagged union could not tell which branch is meant: perhaps by a slip in a key."""
    known: set[str] = set().union(*(keys(branch) for _, branch in branches(leaf)))
    if not isinstance(value, dict):
        return ""
    slips = {key: nearest(key, known - set(value)) for key in value if key not in known}
    return next((f"perhaps {key!r} should be {near!r}" for key, near in slips.items() if near), "")


def _one_of(known: set[str]) -> str:
    if not known or len(known) > _MOST_NAMES:
        return ""
    return f"known here: {', '.join(sorted(known))}"
