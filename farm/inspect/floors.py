"""The oldest system that a wheel's symbol versions allow, by auditwheel's policies."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditwheel.policy import WheelPolicies

    from farm.inspect.facts import Module

_VERSION: Final = re.compile(r"([A-Z]+)_([0-9]+(?:\.[0-9]+)*)")


def floor(modules: Iterable[Module], family: str) -> str:
    """The highest version of a family of symbols (``GLIBC``, ``GLIBCXX``); empty if none."""
    found = (
        match[2]
        for module in modules
        for text in module.symbol_versions
        if (match := _VERSION.fullmatch(text)) and match[1] == family
    )
    return max(found, key=_numbers, default="")


def is_above(version: str, limit: str) -> bool:
    """Whether a version such as 2.38 is newer than another."""
    return _numbers(version) > _numbers(limit)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


def manylinux(modules: Iterable[Module]) -> str:
    """The oldest policy whose symbol versions suffice: ``manylinux_2_28``, or ``linux``.

    Symbols alone: what libraries a policy lets a wheel need is another matter.
    """
    needed = {module.path: set(module.symbol_versions) for module in modules if module.machine}
    name: str = _policies().versioned_symbols_policy(needed).name
    return name.removesuffix("_x86_64")


@cache
def _policies() -> WheelPolicies:
    from auditwheel.architecture import Architecture
    from auditwheel.libc import Libc
    from auditwheel.policy import WheelPolicies

    return WheelPolicies(libc=Libc.GLIBC, arch=Architecture.x86_64)


def claimed(tags: Iterable[str]) -> tuple[str, ...]:
    """The manylinux policies that tags name, by their glibc: ``2.17`` for manylinux2014."""
    legacy = {"manylinux1": "2.5", "manylinux2010": "2.12", "manylinux2014": "2.17"}
    found = set()
    for tag in tags:
        match = re.search(r"-(manylinux(?:1|2010|2014|_(\d+)_(\d+)))_x86_64$", tag)
        if match:
            found.add(f"{match[2]}.{match[3]}" if match[2] else legacy[match[1]])
    return tuple(sorted(found, key=_numbers))
