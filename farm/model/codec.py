"""Frozen values as JSON and back: exactly the fields and types of their class."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ConfigDict, TypeAdapter, ValidationError

T = TypeVar("T")
_STRICT = ConfigDict(extra="forbid", strict=True)
_SHOWN = 3


def to_json(value: object) -> bytes:
    """A frozen dataclass as JSON, the same bytes for the same value."""
    return _adapter(type(value)).dump_json((value,), indent=1)[1:-1].strip() + b"\n"


def from_json(kind: type[T], text: bytes) -> T:
    """The value that `to_json` wrote.

    Raises:
        ValueError: it is no such value: a field is missing, unknown, or of another type.
    """
    try:
        (value,) = _adapter(kind).validate_json(b"[" + text + b"]")
    except ValidationError as error:
        wrong = [
            f"{'.'.join(map(_plain, each['loc'][1:])) or 'all of it'}: {each['msg']}"
            for each in error.errors(include_input=False, include_url=False)[:_SHOWN]
        ]
        raise ValueError("; ".join(wrong)) from None
    return value


def _plain(part: object) -> str:
    """A key for a message: the file may have any for one."""
    text = str(part)[:80]
    return text if text.isprintable() else repr(text)


def _adapter(kind: type[T]) -> TypeAdapter[tuple[T]]:
    # A dataclass takes the strictness of what it stands in: it has none of its own.
    whole: Any = tuple[kind]  # type: ignore[valid-type]
    return TypeAdapter(whole, config=_STRICT)
