"""Which wheel of a pinned requirement fits the container."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from packaging.tags import (
    Tag,
    compatible_tags,
    cpython_tags,
    create_compatible_tags_selector,
)
from packaging.utils import parse_wheel_filename

from farm.errors import LockError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from packaging.pylock import PackageWheel

MACHINE = "x86_64"
# Names that older wheels use for a glibc version, down to the oldest one (PEP 600).
_LEGACY = {17: "manylinux2014", 12: "manylinux2010", 5: "manylinux1"}
_SHORT_VERSION = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})")


def container_tags(*, python: str, glibc: str) -> tuple[Tag, ...]:
    """Every wheel tag that a CPython in the container takes, the best first.

    Raises:
        LockError: ``python`` or ``glibc`` is not written ``3.13``, ``2.41``.
    """
    version = short_version(python, "Python")
    platforms = list(_platforms(*short_version(glibc, "glibc")))
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


def _platforms(major: int, minor: int) -> Iterator[str]:
    for older in range(minor, min(_LEGACY) - 1, -1):
        yield f"manylinux_{major}_{older}_{MACHINE}"
        if older in _LEGACY:
            yield f"{_LEGACY[older]}_{MACHINE}"
    yield f"linux_{MACHINE}"


def best_wheel(wheels: Iterable[PackageWheel], tags: Sequence[Tag]) -> PackageWheel | None:
    """The wheel that comes first in ``tags``, with the highest build number; None if none fits."""
    found = [(parse_wheel_filename(wheel.filename), wheel) for wheel in wheels]
    found.sort(key=lambda pair: pair[0][2], reverse=True)
    select = create_compatible_tags_selector(tags)
    return next(select((wheel, offered) for (*_, offered), wheel in found), None)
