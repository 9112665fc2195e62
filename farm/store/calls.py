"""``calls.jsonl``: what each call of a compiler took, as the gate in the container wrote it.

One JSON object a line, for each time that a compiler was run (`farm/inside/gate.c`).  A build
can write there what it likes: a line that is no such object is skipped and counted, and a file
is read no further than `MOST_BYTES`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST_BYTES: Final = 128 << 20
"""Of a file: at 300 bytes a line, more than 400,000 calls."""
_MOST_LINE_BYTES: Final = 8 << 10
"""The gate writes at most 4 KiB a line."""
_MOST_TEXT: Final = 4096
_MOST_SECONDS: Final = 30 * 86400.0
_LAST_S: Final = 253402300799.0
"""The end of the year 9999, in seconds since the epoch."""
_MOST_INTEGER: Final = 2**63 - 1
_MOST_SLOT: Final = 65535
_ROUNDING_S: Final = 0.002
"""Of times in a file, twice."""
_CACHE: Final = frozenset({"none", "hit", "miss"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One run of a compiler.

    It asked for a slot at ``asked_s`` and got one at ``began_s``, both in seconds since the
    epoch.  ``peak_bytes`` is the most that its processes took, ``predicted_bytes`` what was set
    aside for it.  ``tries`` is 1 for a call's first run and counts on where memory ran out;
    ``cache`` is ``none``, ``hit`` or ``miss``; ``slot`` is its lane in the pool, None where it
    needed no slot.
    """

    compiler: str
    kind: str
    source: str
    asked_s: float
    began_s: float
    wall_s: float
    cpu_s: float
    peak_bytes: int
    predicted_bytes: int
    tries: int
    status: int
    cache: str = "none"
    slot: int | None = None

    @property
    def ended_s(self) -> float:
        """When it was over."""
        return self.began_s + self.wall_s

    @property
    def freed_s(self) -> float:
        """When its memory was another's, who may seem to have begun before: times are rounded."""
        return max(self.began_s, self.ended_s - _ROUNDING_S)


class CallLog:
    """The calls of a file, read anew as often as they are asked for; none if there is no file.

    After that ``skipped`` is how many lines were no calls, and ``whole`` whether all were read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped = 0
        self.whole = True

    def __iter__(self) -> Iterator[Call]:
        """Read on.

        Raises:
            OSError: the file cannot be read.
        """
        self.skipped, self.whole = 0, True
        if self.path.is_symlink() or not self.path.is_file():
            return
        left, at_start = MOST_BYTES, True
        with self.path.open("rb") as stream:
            while piece := stream.readline(_MOST_LINE_BYTES):
                left -= len(piece)
                if left < 0:
                    self.whole = False
                    return
                begins, at_start = at_start, piece.endswith(b"\n")
                if not begins:
                    continue  # a line that is too long was counted where it began
                call = call_of(piece)
                if call is None:
                    self.skipped += 1
                else:
                    yield call


def call_of(line: bytes) -> Call | None:
    """The call that a line tells of; None if it is no such line."""
    try:
        said = json.loads(line)
        return _call(said) if isinstance(said, dict) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _call(said: dict[str, Any]) -> Call:
    asked = _number(said["asked_s"], _LAST_S)
    slot = said.get("slot")
    cache = said.get("cache", "none")
    if cache not in _CACHE:
        raise ValueError(cache)
    return Call(
        compiler=_text(said["compiler"]),
        kind=_text(said["kind"]),
        source=_text(said["source"]),
        asked_s=asked,
        began_s=max(asked, _number(said["began_s"], _LAST_S)),
        wall_s=_number(said["wall_s"], _MOST_SECONDS),
        cpu_s=_number(said["cpu_s"], _MOST_SECONDS * _MOST_SLOT),
        peak_bytes=_integer(said["peak_bytes"], _MOST_INTEGER),
        predicted_bytes=_integer(said["predicted_bytes"], _MOST_INTEGER),
        tries=max(1, _integer(said["tries"], _MOST_SLOT)),
        status=_integer(said["status"], _MOST_SLOT),
        cache=cache,
        slot=None if slot in {None, -1} else _integer(slot, _MOST_SLOT),
    )


def _number(value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise ValueError(value)  # NaN is not between any two
    return float(value)


def _integer(value: object, most: int) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ValueError(value)
    return value


def _text(value: object) -> str:
    """A name; the gate writes each byte that is not ASCII as a character of its own."""
    if type(value) is not str or len(value) > _MOST_TEXT:
        raise ValueError(value)
    if value.isascii():
        return value
    try:
        data = value.encode("latin-1")
    except ValueError:
        data = value.encode("utf-8", "replace")
    return data.decode("utf-8", "replace")
