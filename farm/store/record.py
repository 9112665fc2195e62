"""``record.json``: how one unit was built, or why it was not."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Final, TypeVar

from farm.errors import StorageError
from farm.model.compiler import Compiler

if TYPE_CHECKING:
    from pathlib import Path

    from _typeshed import DataclassInstance

T = TypeVar("T", bound="DataclassInstance")
FORMAT = 1
NAME = "record.json"
_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "str": (str,),
    "int": (int,),
    "float": (float, int),
    "bool": (bool,),
    "dict[str, Any]": (dict,),
    "dict[str, str]": (dict,),
    "tuple[str, ...]": (str,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WheelFile:
    """A built wheel, below the unit's result folder."""

    filename: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """One pinned input, by digest."""

    name: str
    digest: str
    origin: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """A step of the build; ``cached`` steps were answered from the engine's cache."""

    name: str
    seconds: float
    cached: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How one unit was built.  Times are seconds since the epoch.

    ``compile`` is what the compile step measured of itself: exit status, peak
    memory of the largest process, processor seconds; ``compilers`` are those
    that it really used, read from what CMake left.  ``contents`` is what was
    found in the wheel, and ``expected`` the digest of what it was held against.
    ``smoke_test`` says what was tried in a clean container, and with what.
    ``refused`` are the rules that preflight knew to be broken, where the user
    built it nevertheless.
    """

    unit: str
    package: str
    version: str
    variant: str
    python: str
    accelerator: str
    archs: tuple[str, ...]
    features: tuple[str, ...]
    toolchain: str
    host_compiler: str
    identity: str
    outcome: str
    exit_code: int = 0
    message: str = ""
    run: str = ""
    farm: str = ""
    started_s: float = 0.0
    seconds: float = 0.0
    engine: str = ""
    base: dict[str, Any] = field(default_factory=dict)
    max_jobs: int = 1
    jobs: str = ""
    attempt: int = 1
    hermetic: bool = True
    env: dict[str, str] = field(default_factory=dict)
    inputs: tuple[Input, ...] = ()
    needs: tuple[Input, ...] = ()
    wheels: tuple[WheelFile, ...] = ()
    steps: tuple[StepTime, ...] = ()
    refused: tuple[str, ...] = ()
    compile: dict[str, Any] = field(default_factory=dict)
    contents: dict[str, Any] = field(default_factory=dict)
    expected: str = ""
    smoke_test: dict[str, Any] = field(default_factory=dict)
    compilers: tuple[Compiler, ...] = ()
    format: int = FORMAT


def write_record(folder: Path, record: Record) -> Path:
    """Write ``record.json`` in one piece."""
    path = folder / NAME
    temporary = folder / f".{NAME}.tmp"
    text = json.dumps(asdict(record), indent=2, sort_keys=True, ensure_ascii=False)
    try:
        temporary.write_text(text + "\n", encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror}", hint="make room, or choose --output-dir"
        ) from error
    return path


def read_record(folder: Path) -> Record | None:
    """The record of a folder; None where there is none, or it is of another format."""
    try:
        data = json.loads((folder / NAME).read_text(encoding="utf-8"))
        if not isinstance(data, dict) or data.get("format") != FORMAT:
            return None
        inner: dict[str, Any] = {
            "archs": tuple(data["archs"]),
            "features": tuple(data["features"]),
            "inputs": tuple(typed(Input(**item)) for item in data["inputs"]),
            "needs": tuple(typed(Input(**item)) for item in data["needs"]),
            "wheels": tuple(typed(WheelFile(**item)) for item in data["wheels"]),
            "refused": tuple(data.get("refused", ())),
            "steps": tuple(typed(StepTime(**item)) for item in data["steps"]),
            "compilers": tuple(typed(Compiler(**item)) for item in data.get("compilers", ())),
        }
        return typed(Record(**data | inner))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def typed(value: T) -> T:
    """The value itself, if its fields hold what their types say.

    Raises:
        TypeError: one does not: the file was not written by `write_record`.
    """
    for each in fields(value):
        found, kind = getattr(value, each.name), str(each.type)
        items = found if kind == "tuple[str, ...]" else (found,)
        if kind in _KINDS and not all(type(item) in _KINDS[kind] for item in items):
            raise TypeError(f"{each.name} is {found!r}")
    return value
