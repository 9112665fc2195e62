"""Which wheel of a pinned requirement fits the container."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.tags import Tag, compatible_tags, cpython_tags
from packaging.utils import InvalidWheelFilename, parse_wheel_filename

from farm.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from farm.source.index import Listed

# Names that older wheels use for a glibc version (PEP 600).
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_OLDEST_GLIBC_MINOR = {"x86_64": 5, "aarch64": 17}
_SHORT_VERSION = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})")


def container_tags(*, python: str, glibc: str, machine: str = "x86_64") -> tuple[Tag, ...]:
    """Every wheel tag that a CPython in the container takes, the best first.

    Raises:
        LockError: ``python`` or ``glibc`` is not written ``3.13``, ``2.41``.
    """
    version = short_version(python, "Python")
    platforms = list(_platforms(short_version(glibc, "glibc"), machine))
    interpreter = f"cp{version[0]}{version[1]}"
    found = [
        *cpython_tags(python_version=version, abis=[interpreter], platforms=platforms),
        *compatible_tags(python_version=version, interpreter=interpreter, platforms=platforms),
    ]
    return tuple(dict.fromkeys(found))


def short_version(text: str, what: str) -> tuple[int, int]:
    """``3.13`` as numbers.

    Raises:
        LockError: it is written otherwise.
    """
    match = _SHORT_VERSION.fullmatch(text)
    if match is None:
        raise LockError(f"{what} version {text[:30]!r} is not written like 3.13")
    return int(match[1]), int(match[2])


def _platforms(glibc: tuple[int, int], machine: str) -> Iterator[str]:
    major, minor = glibc
    for older in range(minor, _OLDEST_GLIBC_MINOR.get(machine, 17) - 1, -1):
        yield f"manylinux_{major}_{older}_{machine}"
        if older in _LEGACY:
            yield f"{_LEGACY[older]}_{machine}"
    yield f"linux_{machine}"


def best_wheel(files: Iterable[Listed], tags: Sequence[Tag]) -> Listed | None:
    """The wheel that comes first in ``tags``, with the highest build number; None if none fits."""
    order = {tag: position for position, tag in enumerate(tags)}
    ranked = []
    for file in files:
        try:
            _, _, build, offered = parse_wheel_filename(file.filename)
        except InvalidWheelFilename:
            continue
        positions = [order[tag] for tag in offered if tag in order]
        if positions:
            number, letters = build or (0, "")
            ranked.append((min(positions), -number, letters, file.filename, file))
    return min(ranked)[-1] if ranked else None
