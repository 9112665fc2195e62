"""What runs on which processor: exactly, compatibly, or through the driver's compiler.

Sources: NVIDIA's "CUDA C++ Programming Guide", Compute Capabilities (binary
compatibility; family- and architecture-specific features) and the "Blackwell
Compatibility Guide"; LLVM's "User Guide for AMDGPU Backend" (target ids, generic
processors).
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import Final

from farm.inspect.amd_processors import GENERIC

_NVIDIA: Final = re.compile(r"(sm|compute|lto)_([0-9]{2,4})([af]?)")
FAMILIES: Final = {100: (100, 103), 103: (103,), 110: (110,), 120: (120, 121), 121: (121,)}
"""Processors that run code with the suffix ``f``."""


class Cover(IntEnum):
    """How well code serves a processor; more is better."""

    NOT = 0
    PTX = 1
    COMPATIBLE = 2
    EXACT = 3


def covers(arch: str, wanted: str) -> Cover:
    """How well machine code or PTX for ``arch`` serves the processor ``wanted``.

    ``sm_80`` serves ``sm_86`` compatibly and ``compute_80`` by PTX, ``gfx9-4-generic``
    serves ``gfx942`` compatibly.  Code with the suffix ``a`` runs on that chip
    alone, with ``f`` on its family.
    """
    if arch == wanted:
        return Cover.EXACT
    code, asked = _NVIDIA.fullmatch(arch), _NVIDIA.fullmatch(wanted)
    if code and asked:
        is_ptx = code[1] == "compute"
        if not _runs(int(code[2]), code[3], int(asked[2]), is_ptx=is_ptx):
            return Cover.NOT
        return Cover.PTX if is_ptx else Cover.COMPATIBLE
    processor, _, features = wanted.partition(":")
    if arch == processor and features:
        return Cover.COMPATIBLE  # built for either setting of the features
    if processor in GENERIC.get(arch, ()):
        return Cover.COMPATIBLE
    return Cover.NOT


def _runs(code: int, suffix: str, asked: int, *, is_ptx: bool) -> bool:
    """Whether code for a compute capability, 90 for 9.0, runs on another."""
    if suffix == "a":
        return code == asked
    if suffix == "f":
        return asked in FAMILIES.get(code, (code,))
    return code <= asked and (is_ptx or code // 10 == asked // 10)
