"""What a toolchain file and a base file may say."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field, model_validator

from farm.model.reserved import Settable
from farm.model.strict import (
    ArchName,
    CMakeArg,
    DebianPackage,
    DpkgPath,
    EnvText,
    FileName,
    GlibcVersion,
    LibraryName,
    MajorVersion,
    PackageName,
    PackagePattern,
    PartName,
    PythonVersion,
    Reasoned,
    Sha256,
    Strict,
    SuiteName,
    ToolchainName,
    VersionText,
)


class Accelerator(StrEnum):
    """What the device code of a wheel runs on."""

    CUDA = "cuda"
    ROCM = "rocm"
    CPU = "cpu"
    NONE = "none"


class Component(StrEnum):
    """A part of Debian's archive besides ``main``."""

    CONTRIB = "contrib"
    NON_FREE = "non-free"
    NON_FREE_FIRMWARE = "non-free-firmware"


class HostCompiler(Strict):
    """The compiler of the host code, pinned by its major version."""

    family: str = Field(pattern=r"^(gcc|clang)$")
    """``gcc`` or ``clang``."""
    version: MajorVersion
    """Major version, installed as ``<family>-<version>``."""
    reason: str = ""
    """Why this one."""


class CompilerRange(Strict):
    """Major versions of one compiler family; both ends belong to it."""

    oldest: MajorVersion | None = None
    """The first that is taken."""
    newest: MajorVersion | None = None
    """The last that is taken."""


class AcceptedCompilers(Strict):
    """Host compilers that a toolkit takes; a family that is not named is not judged."""

    gcc: CompilerRange | None = None
    """Versions of GCC."""
    clang: CompilerRange | None = None
    """Versions of Clang."""
    reason: str = Field(min_length=1)
    """What becomes of a build with another."""
    source: str = Field(min_length=1)
    """Where the rule comes from: a header's line, a document, a measurement."""


class AcceptedGlibc(Strict):
    """C libraries that a toolkit takes."""

    below: GlibcVersion
    """The first version that it fails with."""
    reason: str = Field(min_length=1)
    """What becomes of a build there."""
    source: str = Field(min_length=1)
    """Where the rule comes from: a header's line, a document, a measurement."""


class Accepts(Strict):
    """What a toolkit can be combined with; what is not said is not judged."""

    host_compilers: AcceptedCompilers | None = None
    """Host compilers."""
    glibc: AcceptedGlibc | None = None
    """C libraries."""


class ToolkitWheel(Strict):
    """One wheel of the package index that holds a part of the toolkit."""

    name: PackageName
    """The project."""
    version: VersionText
    """Its version."""
    wheel: FileName
    """The wheel's file name."""
    sha256: Sha256
    """sha256 of the wheel file."""
    part: PartName | None = None
    """The part that it belongs to, taken where a variant names it in ``toolkit_parts``."""


class Toolkit(Strict):
    """A toolkit assembled from wheels of the package index."""

    home: str = Field(pattern=r"^/[A-Za-z0-9_./-]+$")
    """Folder that holds ``bin``, ``include`` and ``lib`` afterwards (CUDA_HOME)."""
    root: str = Field(pattern=r"^/[A-Za-z0-9_./-]+$")
    """Folder that the wheels are unpacked into."""
    wheels: tuple[ToolkitWheel, ...] = Field(min_length=1)
    """The wheels."""


class Toolchain(Strict):
    """One toolkit version: base, packages, host compiler, architectures."""

    judged_without = frozenset({
        "summary", "packages", "run_packages", "drivers", "components", "exclude_paths",
        "archs_source", "accepts", "env", "cmake_args",
    })  # fmt: skip

    toolchain: ToolchainName
    """Its name; the file is called ``<toolchain>.yaml``."""
    accelerator: Accelerator
    """What it compiles for."""
    summary: str = ""
    """One line about it."""
    base: ToolchainName
    """The base, a file of ``recipes/bases/``."""
    packages: tuple[Reasoned[DebianPackage], ...] = ()
    """Distribution packages that it needs besides the base's and the host compiler's."""
    run_packages: tuple[Reasoned[DebianPackage], ...] = ()
    """Distribution packages that its wheels need at run time; smoke tests have them."""
    drivers: tuple[Reasoned[LibraryName], ...] = ()
    """Libraries that come with a GPU's driver; smoke tests get empty ones."""
    components: tuple[Component, ...] = Field(default=())
    """Components of the distribution's archive that its packages come from besides ``main``."""
    exclude_paths: tuple[Reasoned[DpkgPath], ...] = ()
    """Files of packages that are left out of the base; ``*`` stands for anything, ``/`` too."""
    toolkit: Toolkit | None = None
    """A toolkit from the package index."""
    host_compiler: HostCompiler
    """Compiler of the host code."""
    archs: tuple[ArchName, ...] = ()
    """Every architecture that it can compile for."""
    archs_source: str = ""
    """Where that list comes from: a document, or what was tried."""
    accepts: Accepts = Accepts()
    """Host compilers and C libraries that it works with."""
    env: dict[Settable, Reasoned[EnvText]] = Field(default_factory=dict)
    """Environment of every build; ``${archs}`` and the like are filled in."""
    cmake_args: tuple[Reasoned[CMakeArg], ...] = ()
    """CMake arguments of every build."""

    @model_validator(mode="after")
    def _archs_where_they_belong(self) -> Toolchain:
        has_device_code = self.accelerator in {Accelerator.CUDA, Accelerator.ROCM}
        if has_device_code != bool(self.archs):
            raise ValueError("archs must be listed for cuda and rocm, and for nothing else")
        return self


class DistributionCompilers(Strict):
    """Compilers of a distribution by major version; a family without any is not judged."""

    gcc: tuple[MajorVersion, ...] = ()
    """Versions of GCC."""
    clang: tuple[MajorVersion, ...] = ()
    """Versions of Clang."""


class FurtherSuite(Strict):
    """A suite that some packages come from, what is newer elsewhere notwithstanding."""

    suite: SuiteName
    """The suite (``experimental``)."""
    packages: tuple[PackagePattern, ...] = Field(min_length=1)
    """Names of the packages; ``*`` stands for anything."""
    reason: str = Field(min_length=1)
    """Why they come from there."""


class Base(Strict):
    """A starting root file system: bootstrapped from a distribution, or an image by digest."""

    judged_without = frozenset({"summary", "packages", "run_packages", "host_compilers"})

    base: ToolchainName
    """Its name; the file is called ``<base>.yaml``."""
    summary: str = ""
    """One line about it."""
    suite: SuiteName | None = None
    """Debian suite to bootstrap (``trixie``)."""
    further_suites: tuple[FurtherSuite, ...] = ()
    """Suites that single packages come from instead."""
    image: str | None = Field(
        default=None, pattern=r"^[a-z0-9][a-z0-9._:/-]{0,200}@sha256:[0-9a-f]{64}$"
    )
    """Image reference with digest."""
    packages: tuple[Reasoned[DebianPackage], ...] = ()
    """Distribution packages that every build needs."""
    run_packages: tuple[Reasoned[DebianPackage], ...] = ()
    """Distribution packages that a clean container has, in which wheels are tried.

    ``python3`` and ``python3-venv`` if left out.
    """
    python: PythonVersion
    """The Python that ``/usr/bin/python3`` is."""
    glibc: GlibcVersion
    """Version of the C library: which wheels of requirements and which toolkits fit."""
    host_compilers: DistributionCompilers = DistributionCompilers()
    """Host compilers that the distribution has."""

    @model_validator(mode="after")
    def _one_origin(self) -> Base:
        if (self.suite is None) == (self.image is None):
            raise ValueError("a base has either a suite or an image, not both")
        if self.further_suites and not self.suite:
            raise ValueError("further_suites belong to a suite")
        return self
