"""RECORD: which files a wheel says that it holds, with their hashes and sizes.

Format: https://packaging.python.org/en/latest/specifications/recording-installed-packages/
and, for wheels, https://packaging.python.org/en/latest/specifications/binary-distribution-format/
"""

from __future__ import annotations

import base64
import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from farm.inspect.facts import WheelProblem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from farm.inspect.archive import Member

DEFAULT_ALGORITHM: Final = "sha256"
ALGORITHMS: Final = frozenset({"sha256", "sha384", "sha512"})
"""The specification wants sha256 or better."""
# RECORD cannot hold its own hash, and its signatures are made after it.
_UNHASHED: Final = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line: ``digest`` in unpadded URL-safe base64, ``size_bytes`` None where left out."""

    path: str
    algorithm: str
    digest: str
    size_bytes: int | None


def parse(data: bytes) -> tuple[dict[str, Row], list[WheelProblem]]:
    """The lines by path, and what is wrong with the file itself."""
    rows: dict[str, Row] = {}
    twice: set[str] = set()
    try:
        for line in csv.reader(io.StringIO(data.decode("utf-8"), newline=""), strict=True):
            if not line:
                continue
            row = _row(line)
            if row.path in rows:
                twice.add(row.path)
            rows[row.path] = row
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        return rows, [WheelProblem(code="record-form", message=f"RECORD cannot be read: {error}")]
    return rows, _grouped([("record-duplicate", "in RECORD more than once", twice)])


def _row(line: list[str]) -> Row:
    if len(line) != 3:  # noqa: PLR2004 - path, hash, size
        raise ValueError(f"a line has {len(line)} fields instead of 3")
    path, hashed, size = line
    if size and not (size.isascii() and size.isdecimal() and len(size) < 20):  # noqa: PLR2004 - 2^64
        raise ValueError(f"{size[:40]!r} is no size")
    algorithm, _, digest = hashed.partition("=")
    return Row(
        path=path, algorithm=algorithm, digest=digest, size_bytes=int(size) if size else None
    )


def algorithm_of(rows: Mapping[str, Row], path: str) -> str:
    """The algorithm to read a member with."""
    row = rows.get(path)
    return row.algorithm if row and row.algorithm in ALGORITHMS else DEFAULT_ALGORITHM


def compare(
    rows: Mapping[str, Row], members: Iterable[Member], *, folder: str
) -> list[WheelProblem]:
    """What the wheel holds against what its RECORD says.

    ``folder`` is the ``.dist-info`` folder.  Members that could not be read
    are left to whoever reports that.
    """
    exempt = {f"{folder}/{name}" for name in _UNHASHED}
    found = {member.path: member for member in members}
    both = [(rows[path], found[path]) for path in found if path in rows and path not in exempt]
    sound = [(row, member) for row, member in both if not member.fault]
    return _grouped(
        [
            ("record-unlisted", "not listed in RECORD", found.keys() - rows.keys() - exempt),
            ("record-absent", "listed in RECORD but not there", rows.keys() - found.keys()),
            (
                "record-weak",
                "listed in RECORD without a hash of sha256 or better",
                {row.path for row, _ in both if row.algorithm not in ALGORITHMS},
            ),
            (
                "record-size",
                "of another size than RECORD says",
                {r.path for r, m in sound if r.size_bytes not in {None, m.size_bytes}},
            ),
            (
                "record-hash",
                "of another content than RECORD says",
                {r.path for r, m in sound if r.algorithm in ALGORITHMS and r.digest != _text(m)},
            ),
        ]
    )


def _text(member: Member) -> str:
    return base64.urlsafe_b64encode(member.digest).decode("ascii").rstrip("=")


def _grouped(found: Iterable[tuple[str, str, Iterable[str]]]) -> list[WheelProblem]:
    return [
        WheelProblem(code=code, message=message, members=tuple(sorted(names)))
        for code, message, names in found
        if names
    ]
