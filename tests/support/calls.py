"""Calls of compilers, as the gate writes them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from farm.store.calls import Call

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

T0 = 1_800_000_000.0


def call(source: str = "a.cpp", *, at: float = 0, wall: float = 1, **more: object) -> Call:
    """A call that got its slot ``at`` seconds after `T0`, at once unless ``asked_s`` says so."""
    given: dict[str, object] = {
        "compiler": "x86_64-linux-gnu-g++-14",
        "kind": "compile",
        "source": source,
        "asked_s": T0 + at,
        "began_s": T0 + at,
        "wall_s": float(wall),
        "cpu_s": float(wall),
        "peak_bytes": 100,
        "predicted_bytes": 200,
        "tries": 1,
        "status": 0,
        "cache": "none",
        "slot": 0,
    }
    return Call(**given | more)  # type: ignore[arg-type]


def line(made: Call) -> str:
    """Its line."""
    names = made.__slots__
    return json.dumps({name: getattr(made, name) for name in names})


def write_calls(path: Path, calls: Iterable[Call]) -> Path:
    """A file of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{line(each)}\n" for each in calls), encoding="utf-8")
    return path
