"""The unit: recipe × version × variant × Python, resolved; what is rendered and built.

Plain frozen values with tuples, so that they compare, hash and print as JSON.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected when printed as JSON
from typing import Literal

from farm.errors import Place  # noqa: TC001 - likewise
from farm.model.crates import CrateSet  # noqa: TC001 - likewise
from farm.model.debian import RootfsBase as RootfsBase  # noqa: PLC0414, TC001 - likewise
from farm.model.key import UnitKey as UnitKey  # noqa: PLC0414, TC001 - it belongs to the unit


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One pinned input.

    ``digest`` is ``sha256:…`` of the file, or ``git:<commit>[+submodules[=<paths>]]``,
    or ``tree:<sha256>`` of a folder's names and contents.  ``filename`` is what it
    is called in the build context.
    """

    name: str
    kind: Literal["sdist", "archive", "git", "tree", "wheel"]
    filename: str
    digest: str
    url: str = ""
    path: Path | None = None
    submodules: bool | tuple[str, ...] = False


def git_digest(commit: str, submodules: bool | tuple[str, ...]) -> str:  # noqa: FBT001 - what the recipe says
    """What identifies a commit's files: which submodules come with it counts too."""
    if isinstance(submodules, bool):
        return f"git:{commit}{'+submodules' if submodules else ''}"
    return f"git:{commit}+submodules={','.join(submodules)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LockstepPin:
    """A pin that must be what an upstream file says.

    ``source`` is pinned and ``says`` what must follow the ``nth`` of exactly ``count``
    times that ``after`` stands in ``file`` of the source ``holder``; ``place`` and
    ``where`` say where the recipe has it.
    """

    source: str
    says: str
    holder: str
    file: str
    after: str
    count: int
    nth: int
    place: Place
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchFile:
    """A patch: where it lies, what it changes, and what its header says."""

    path: Path
    sha256: str
    source: str
    why: str
    upstream: str
    remove_when: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TextEdit:
    """An exact replacement in a source's file; ``count`` occurrences, no more and no fewer."""

    source: str
    file: str
    replace: str
    by: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """One locked requirement: the wheel that will be installed."""

    name: str
    version: str
    filename: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """Locked build requirements.  ``inputs`` is the digest of what they were resolved from."""

    inputs: str
    pins: tuple[Pin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LockInputs:
    """What build requirements are resolved from.

    ``source`` is the digest of the source whose pyproject.toml is read,
    ``requires`` what the recipe adds, ``provided`` the names that come as
    wheels of other units or as sources, ``glibc`` the container's C library.
    """

    source: str
    requires: tuple[str, ...]
    provided: tuple[str, ...]
    python: str
    glibc: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageBase:
    """A base by image reference and digest; ``packages`` are added in a networked step."""

    name: str
    image: str
    packages: tuple[str, ...]
    exclude_paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolkitPlan:
    """A toolkit that is assembled from wheels inside the container."""

    root: str
    home: str
    wheels: tuple[Pin, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRule:
    """Peak memory of one compile job, and what it rests on."""

    memory_per_job_bytes: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What the wheel must hold: shared objects exactly (None: any), and its tag.

    ``device_code`` are (pattern of ``extensions``, what is demanded of it) where
    that differs from the accelerator's rule; ``libraries`` and ``isa`` patterns of
    what modules may need and use beyond the usual.
    """

    extensions: tuple[str, ...] | None
    tag: str | None
    device_code: tuple[tuple[str, str], ...] = ()
    libraries: tuple[str, ...] = ()
    isa: tuple[str, ...] = ()
    manylinux: str | None = None
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SmokeTest:
    """How a unit's wheel is tried in a clean container.

    ``base`` is that container's; ``stubs`` and ``drivers`` are libraries of which it has
    empty ones, the former only where something needs them not to be wrong.  ``lock``
    holds what the wheel requires at run time.
    """

    base: RootfsBase | ImageBase
    imports: tuple[str, ...]
    script: str
    gpu_script: str
    stubs: tuple[str, ...]
    drivers: tuple[str, ...]
    lock_inputs: LockInputs
    lock: Lock | None
    lock_stem: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Everything that decides what comes out of one build.

    ``smoke_test`` is None where the recipe has none; ``untried`` is its reason for that.
    ``runner`` (labels of a CI machine) decides nothing: it is for whoever hands units out.
    """

    key: UnitKey
    base_variant: str
    python: str
    accelerator: str
    archs: tuple[str, ...]
    features: tuple[str, ...]
    toolchain: str
    host_compiler: tuple[str, str]
    base: RootfsBase | ImageBase
    toolkit: ToolkitPlan | None
    source: Source
    sources: tuple[Source, ...]
    patches: tuple[PatchFile, ...]
    edits: tuple[TextEdit, ...]
    lock_inputs: LockInputs
    lock: Lock | None
    lock_stem: str
    unlocked: str
    env: tuple[tuple[str, str], ...]
    forbid_output: tuple[str, ...]
    needs: tuple[UnitKey, ...]
    jobs: JobRule
    expected: Expected
    lockstep: tuple[LockstepPin, ...] = ()
    crates: tuple[CrateSet, ...] = ()
    smoke_test: SmokeTest | None = None
    untried: str = ""
    runner: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """The key's label."""
        return self.key.label
