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
FORMAT = 2
"""Changes when a key gets another meaning, or a new one comes."""
_READ = frozenset({1, FORMAT})
"""Formats that are read: what the first lacks is empty."""
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
    """A built wheel, beside the record."""

    filename: str
    """Its name."""
    sha256: str
    """Of its content, in hex."""
    size_bytes: int
    """How large it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """Something by its digest: a file of the build context, a needed unit, an attestation."""

    name: str
    """Path in the build context, the unit's label, or the file's name."""
    digest: str
    """``sha256:…``, ``git:<commit>``, ``tree:<sha256>``, or an identity."""
    origin: str = ""
    """Where it came from, where a recipe names that; without password and query."""
    packed: str = ""
    """sha256 of the archive that farm packed, where the digest is of a commit or a folder."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """A step of the build."""

    name: str
    """Which."""
    seconds: float
    """How long it took."""
    cached: bool
    """Whether the engine's cache answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """How one unit was built, or why it was not."""

    unit: str
    """The label, ``package@version:variant``."""
    package: str
    """The package."""
    version: str
    """Its version."""
    variant: str
    """The whole variant, as in ``rocm-gfx942``."""
    python: str
    """The Python that it was built with."""
    accelerator: str
    """What device code is for."""
    archs: tuple[str, ...]
    """The architectures that device code is for."""
    features: tuple[str, ...]
    """Features that were on."""
    toolchain: str
    """Its name."""
    host_compiler: str
    """Its family and version, as in ``gcc-14``."""
    identity: str
    """sha256 of ``manifest.json``: of everything that can change the result."""
    outcome: str
    """``built``, ``failed``, or (in a run's folder) ``stopped`` after configuring."""
    exit_code: int = 0
    """The cause of a failure."""
    message: str = ""
    """Its first error line."""
    run: str = ""
    """Name of the run."""
    farm: str = ""
    """Version of farm."""
    started_s: float = 0.0
    """When it began, in seconds since the epoch."""
    seconds: float = 0.0
    """How long it took."""
    options: dict[str, Any] = field(default_factory=dict)
    """What was asked of the run and bears on the unit (``max_jobs``, ``offline``, …)."""
    machine: dict[str, Any] = field(default_factory=dict)
    """Cores and memory that the engine had, kernel and architecture of farm's machine."""
    engine: str = ""
    """The engine that built it."""
    engine_version: str = ""
    """What it calls its version."""
    base: dict[str, Any] = field(default_factory=dict)
    """Its ``image``; of a bootstrapped one ``tag``, ``digest``, exact version (``packages``) and
    ``sha256`` of each package, and ``origin``: ``lock``, ``mirror`` (there is no lock) or
    ``drift`` (what was locked can no longer be had)."""
    max_jobs: int = 1
    """Compile jobs."""
    jobs: str = ""
    """The arithmetic behind them."""
    attempt: int = 1
    """Number of the attempt; it changes only after a failure, or with ``--rebuild``."""
    hermetic: bool = True
    """False where a step could use the network: packages on top of an image."""
    env: dict[str, str] = field(default_factory=dict)
    """Environment of the build, as the recipe gave it."""
    inputs: tuple[Input, ...] = ()
    """Every file of the build context."""
    needs: tuple[Input, ...] = ()
    """Units whose wheels it was built with, by their identity."""
    wheels: tuple[WheelFile, ...] = ()
    """The wheels."""
    attestations: tuple[Input, ...] = ()
    """What lies beside them: SBOM and provenance."""
    steps: tuple[StepTime, ...] = ()
    """The engine's steps."""
    refused: tuple[str, ...] = ()
    """Rules that preflight knew to be broken, if it was built with ``--no-preflight``."""
    compile: dict[str, Any] = field(default_factory=dict)
    """What the compile step measured, also where the engine's cache answered: ``exit_status``,
    ``jobs`` (with how many it ran), ``seconds``, ``alone_s`` (what was left without others that
    compiled beside it), ``user_s``, ``sys_s``, ``peak_rss_bytes`` (its largest process),
    ``oom_kills``, ``argv``, first and last lines of its log; ``budget``, the ``cores`` and
    ``memory_bytes`` that all compilers shared; ``calls``, what they took together: ``count``,
    ``wall_s``, ``cpu_s``, ``peak_bytes`` (of the largest), ``at_once_bytes`` (the most at once,
    each at its peak), ``hits`` and ``misses`` of the compile cache, ``retried``, and of each of
    the ``compilers`` the same; ``steps``, where the build was stopped after configuring."""
    contents: dict[str, Any] = field(default_factory=dict)
    """What was found in the wheel: oldest systems (``glibc``, ``libstdcxx``, ``manylinux``),
    ``licences``, and for each of its ``modules`` what ``farm check`` tells."""
    expected: str = ""
    """Digest of what the wheel was held against; if that changes, the next build looks again."""
    smoke_test: dict[str, Any] = field(default_factory=dict)
    """What was tried in a clean container and passed, with seconds; its base, requirements, and
    the libraries that were empty ones (``stubs``); ``gpu``: how the GPU script ended; ``untried``:
    why not."""
    compilers: tuple[Compiler, ...] = ()
    """Compilers that were really used, where CMake left them in a build folder."""
    format: int = FORMAT
    """Number of this format."""


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
        if not isinstance(data, dict) or not _known(data.get("format")):
            return None
        inner: dict[str, Any] = {
            "archs": tuple(data["archs"]),
            "features": tuple(data["features"]),
            "inputs": tuple(typed(Input(**item)) for item in data["inputs"]),
            "needs": tuple(typed(Input(**item)) for item in data["needs"]),
            "attestations": tuple(typed(Input(**i)) for i in data.get("attestations", ())),
            "wheels": tuple(typed(WheelFile(**item)) for item in data["wheels"]),
            "refused": tuple(data.get("refused", ())),
            "steps": tuple(typed(StepTime(**item)) for item in data["steps"]),
            "compilers": tuple(typed(Compiler(**item)) for item in data.get("compilers", ())),
        }
        return typed(Record(**data | inner))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _known(number: object) -> bool:
    return type(number) is int and number in _READ  # True is no number here


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
