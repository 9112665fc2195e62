"""What runs on which processor: exactly, compatibly, or through the driver's compiler.

Sources: NVIDIA's "CUDA C++ Programming Guide", Compute Capabilities (binary
compatibility; family- and architecture-specific features) and the "Blackwell
Compatibility Guide"; LLVM's "User Guide for AMDGPU Backend" (target ids, generic
processors).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from farm.inspect.amd_processors import GENERIC

_NVIDIA: Final = re.compile(r"(?:sm|compute|lto)_([0-9]{1,3})([0-9])([af]?)")
FAMILIES: Final = {100: (100, 103), 103: (103,), 110: (110,), 120: (120, 121), 121: (121,)}
"""Processors that run code with the suffix ``f``."""


class Cover(IntEnum):
    """How well code serves a processor; more is better."""

    NOT = 0
    PTX = 1
    COMPATIBLE = 2
    EXACT = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Capability:
    """A compute capability: 9, 0, ``a``."""

    major: int
    minor: int
    suffix: str

    @property
    def number(self) -> int:
        return self.major * 10 + self.minor


def covers(arch: str, wanted: str) -> Cover:
    """How well machine code or PTX for ``arch`` serves the processor ``wanted``.

    ``sm_80`` serves ``sm_86`` compatibly and ``compute_80`` by PTX, ``gfx9-4-generic``
    serves ``gfx942`` compatibly.  Code with the suffix ``a`` runs on that chip
    alone, with ``f`` on its family.
    """
    if arch == wanted:
        return Cover.EXACT
    code, asked = _capability(arch), _capability(wanted)
    if code and asked:
        return _by_ptx(code, asked) if arch.startswith("compute_") else _by_machine(code, asked)
    processor, _, features = wanted.partition(":")
    if arch == processor and features:
        return Cover.COMPATIBLE  # built for either setting of the features
    if processor in GENERIC.get(arch, ()):
        return Cover.COMPATIBLE
    return Cover.NOT


def _capability(arch: str) -> _Capability | None:
    match = _NVIDIA.fullmatch(arch)
    return match and _Capability(major=int(match[1]), minor=int(match[2]), suffix=match[3])


def _by_machine(code: _Capability, asked: _Capability) -> Cover:
    if code.suffix == "a":
        fits = code.number == asked.number
    elif code.suffix == "f":
        fits = asked.number in FAMILIES.get(code.number, (code.number,))
    else:
        fits = code.major == asked.major and code.minor <= asked.minor
    return Cover.COMPATIBLE if fits else Cover.NOT


def _by_ptx(code: _Capability, asked: _Capability) -> Cover:
    if code.suffix == "a":
        fits = code.number == asked.number
    elif code.suffix == "f":
        fits = asked.number in FAMILIES.get(code.number, (code.number,))
    else:
        fits = code.number <= asked.number
    return Cover.PTX if fits else Cover.NOT
