"""What a recipe may say.

The same settings can stand at four levels, from general to specific: the
recipe, a version, a variant, and a variant of a version.  Mappings and lists
are joined in that order, single values are overridden.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field, model_validator

from farm.model.reserved import Settable
from farm.model.source import MainSource, PythonLimits, StagedSource
from farm.model.strict import (
    ArchName,
    CMakeArg,
    DebianPackage,
    DpkgPath,
    EnvText,
    FeatureChoice,
    FeatureName,
    FileName,
    IsaPattern,
    LibraryName,
    LibraryPattern,
    ModuleName,
    PackageName,
    PartName,
    PathPattern,
    PythonVersion,
    Reasoned,
    RelativePath,
    RunnerLabel,
    Script,
    Short,
    Size,
    SourceName,
    Strict,
    ToolchainName,
    VariantName,
    VersionText,
    Words,
)


class Jobs(Strict):
    """How many compile jobs fit into memory."""

    memory_per_job: Size
    """Peak memory of one compiler (``1 GiB``) until it was measured: as many run as fit."""
    reason: str = ""
    """What was measured, on what."""


class Patch(Short):
    """A patch of ``patches/<package>/<version>/``, applied with no fuzz."""

    short_key = "file"

    file: FileName
    """Its file name."""
    to: SourceName | None = None
    """The staged source that it changes; the package's own source if left out."""


class Edit(Strict):
    """An exact replacement that fails when it matches more or less often than it says."""

    file: RelativePath
    """The file, relative to the source's top folder."""
    replace: str = Field(min_length=1, max_length=4096)
    """The exact text to find."""
    by: str = Field(max_length=4096)
    """What stands there afterwards."""
    count: int = Field(default=1, ge=1, le=1000)
    """How often the text must occur."""
    to: SourceName | None = None
    """The staged source that it changes; the package's own source if left out."""
    reason: str = ""
    """Why."""


class Need(Strict):
    """A wheel that another recipe of the farm builds first."""

    package: PackageName
    """The recipe."""
    version: VersionText
    """Its version, exactly."""
    variant: VariantName
    """Its variant."""
    archs: tuple[ArchName, ...] | Literal["same"] = ()
    """Architectures of its wheel; ``same`` for those of the unit that needs it.

    The variant's own if left out. They must hold those of the unit that needs it, if both
    have device code of one accelerator.
    """
    features: tuple[FeatureChoice, ...] = ()
    """Its features to switch on, or off (``~rust``), besides the recipe's defaults."""
    python: PythonVersion | Literal["same"] | None = None
    """Its Python; ``same`` for that of the unit that needs it.

    The variant's own if left out. It must be that of the unit that needs it, unless the
    needed wheel's expected tag is for every Python (``py3-none-any``) or for abi3.
    """
    reason: str = ""
    """Why it is not simply taken from the package index."""


class CargoLock(Short):
    """A Cargo.lock of a source, by which its crates are staged and built from, offline."""

    short_key = "lock"

    lock: RelativePath
    """The file, relative to the source's top folder (``rust/Cargo.lock``)."""
    of: SourceName | None = None
    """The staged source that holds it; the package's own source if left out."""
    reason: str = ""
    """What its crates are for."""


class DeviceDemand(StrEnum):
    """What device code a module must hold for each architecture that is asked for.

    ``exact``: machine code of that very architecture. ``compatible``: machine code
    that runs on it (sm_80 for sm_86). ``ptx``: that, or PTX that the driver can
    compile. ``none``: no kernel at all. ``any``: whatever there is.
    """

    EXACT = "exact"
    COMPATIBLE = "compatible"
    PTX = "ptx"
    NONE = "none"
    ANY = "any"


class Extension(Short):
    """An extension module or shared object that the wheel must hold."""

    short_key = "name"

    name: PathPattern
    """Its path in the wheel; ``*`` stands for any part of a name: ``vllm/_C.*.so``."""
    device_code: DeviceDemand | None = None
    """Device code that it must hold; for cuda and rocm ``exact`` unless said otherwise.

    For cpu and none any device code is an error, whatever stands here.
    """
    reason: str = ""
    """Why it differs."""


class Expectation(Strict):
    """What the wheel must hold; compared at the end of each build."""

    extensions: tuple[Extension, ...] | None = None
    """Extension modules and shared objects, exactly; ``[]`` for none, left out for any."""
    tag: str | None = Field(default=None, pattern=r"^[a-z0-9_.]+-[a-z0-9_.]+-[a-z0-9_.]+$")
    """The wheel's compatibility tag (``py3-none-any``)."""
    libraries: tuple[Reasoned[LibraryPattern], ...] = ()
    """Libraries that modules may need besides those usual for the accelerator."""
    isa: tuple[Reasoned[IsaPattern], ...] = ()
    """Instruction sets beyond x86-64's baseline that modules may use (``avx2``, ``avx512*``)."""
    manylinux: str | None = Field(default=None, pattern=r"^manylinux_2_[0-9]{1,2}$")
    """The newest manylinux policy that the symbols which modules need may ask for."""
    max_size: Size | None = None
    """Size of the wheel file, at most (``200 MiB``)."""


class SmokeTest(Strict):
    """How a finished wheel is tried: installed and run in a clean container, without a network.

    Such a container has the base's Python, what the wheel requires at run time, and
    nothing of the build.  The lists of all levels are joined.
    """

    imports: tuple[ModuleName, ...] = ()
    """Modules to import, each in a process of its own."""
    requires: tuple[Reasoned[str], ...] = ()
    """Run-time requirements besides those that the source's metadata names (PEP 508)."""
    system_packages: tuple[Reasoned[DebianPackage], ...] = ()
    """Distribution packages that the wheel needs at run time (``libgomp1``)."""
    stubs: tuple[Reasoned[LibraryName], ...] = ()
    """Libraries that are too large or need hardware, to be replaced by empty ones.

    A replacement has every function that is asked of the library; each returns 999.
    """
    script: Script = ""
    """Python that is run after the imports, and fails by an exception."""
    gpu_script: Script = ""
    """Python that is run where the machine has a GPU of the accelerator."""
    skip: str = ""
    """Set to a reason where the wheel cannot be tried."""


class Layer(Strict):
    """Settings that may stand at every level of a recipe."""

    # All but sources, which edits, patches and placeholders name.
    judged_without = frozenset({
        "env", "cmake_args", "requires", "system_packages", "exclude_paths", "forbid_output",
        "crates", "patches", "edits", "needs", "jobs", "expect", "smoke_test", "python_limits",
        "unlocked", "runner", "summary", "homepage",
    })  # fmt: skip

    env: dict[Settable, Reasoned[EnvText]] = Field(default_factory=dict)
    """Environment of the build; ``${archs}``, ``${sources.<name>}`` and the like are filled in.

    What farm itself sets is refused: MAX_JOBS and PATH, say, or all of FARM_ and PIP_.
    """
    cmake_args: tuple[Reasoned[CMakeArg], ...] = ()
    """Arguments that reach CMake through CMAKE_ARGS."""
    requires: tuple[Reasoned[str], ...] = ()
    """Build requirements besides those that the source's pyproject.toml names (PEP 508)."""
    system_packages: tuple[Reasoned[DebianPackage], ...] = ()
    """Distribution packages that the build needs besides the toolchain's."""
    exclude_paths: tuple[Reasoned[DpkgPath], ...] = ()
    """Files of distribution packages that the base leaves out, since nothing here reads them.

    ``*`` stands for anything, ``/`` too; what only runs where there is a GPU can be gigabytes.
    """
    forbid_output: tuple[Reasoned[Words], ...] = ()
    """Texts that the build must not print: the first ends it at once, as its error.

    For what upstream only warns about, such as a toolkit that was asked for and not found.
    """
    sources: dict[SourceName, StagedSource] = Field(default_factory=dict)
    """Further sources, staged before the build."""
    crates: tuple[CargoLock, ...] = ()
    """Files that pin Rust crates; cargo then builds from these alone (``[Cargo.lock]``)."""
    patches: tuple[Patch, ...] = ()
    """Patches, in the order in which they are applied."""
    edits: tuple[Edit, ...] = ()
    """Guarded replacements, made after the patches."""
    needs: tuple[Need, ...] = ()
    """Wheels of other recipes that must be built first."""
    jobs: Jobs | None = None
    """Memory per compile job."""
    expect: Expectation | None = None
    """What the wheel must hold."""
    smoke_test: SmokeTest | None = None
    """How the finished wheel is tried in a clean container."""
    python_limits: PythonLimits | None = None
    """Pythons that it can be built for; every level's count."""
    unlocked: str = ""
    """Set to a reason where the build requirements cannot be locked from the package index."""
    runner: tuple[RunnerLabel, ...] = ()
    """Labels of the CI machine that builds it (`farm matrix`); they change nothing in a build."""


class Feature(Strict):
    """An option of the package, orthogonal to its variants."""

    summary: str
    """What it adds."""
    default: bool = False
    """Whether it is on unless asked otherwise."""
    on: Layer = Layer()
    """Settings while it is on."""
    off: Layer = Layer()
    """Settings while it is off."""


class Target(Strict):
    """The one variable by which the package chooses its device."""

    variable: Settable
    """The variable (``VLLM_TARGET_DEVICE``)."""
    values: tuple[str, ...] = Field(min_length=1)
    """What it may be, one at a time: the values exclude each other."""
    reason: str = ""
    """Where this is read."""


class Variant(Layer):
    """One build of the package for one accelerator."""

    toolchain: ToolchainName
    """The toolchain, a file of ``recipes/toolchains/``."""
    archs: tuple[ArchName, ...] = ()
    """Architectures that the wheel is built for, all in one wheel."""
    toolkit_parts: tuple[PartName, ...] = ()
    """Parts of the toolchain's toolkit to take besides those that every build takes."""
    default_version: Reasoned[VersionText] | None = None
    """The version that is built where none is asked for; the recipe's first if left out."""
    target: str | None = None
    """The value of the recipe's target variable."""
    summary: str = ""
    """What this variant is for."""

    @model_validator(mode="after")
    def _archs_once(self) -> Variant:
        if len(set(self.archs)) != len(self.archs):
            raise ValueError("an architecture is listed twice in archs")
        return self


class Version(Layer):
    """One version of the package."""

    source: MainSource
    """Its source."""
    variants: dict[VariantName, Layer] = Field(default_factory=dict)
    """Settings of one variant in this version only."""


class Recipe(Layer):
    """One package: its versions, sources, patches, edits and variants."""

    package: PackageName
    """The package's normalized name; the file is called ``<package>.yaml``."""
    summary: str = ""
    """One line about it."""
    homepage: str = ""
    """Where it lives."""
    python: tuple[PythonVersion, ...] = Field(default=("3.13",), min_length=1)
    """Pythons to build for; the default is the one that a variant's base has, or the first."""
    target: Target | None = None
    """The variable by which the package chooses its device, if it has one."""
    features: dict[FeatureName, Feature] = Field(default_factory=dict)
    """Options of the package."""
    versions: dict[VersionText, Version] = Field(min_length=1)
    """Versions; the first is the default, unless a variant says ``default_version``."""
    variants: dict[VariantName, Variant] = Field(min_length=1)
    """Variants."""

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        problems = [
            *self._unknown_version_variants(),
            *self._unknown_default_versions(),
            *self._wrong_targets(),
        ]
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def _unknown_version_variants(self) -> list[str]:
        return [
            f"versions.{version} has settings for the unknown variant {name!r}"
            for version, spec in self.versions.items()
            for name in spec.variants
            if name not in self.variants
        ]

    def default_version(self, variant: str) -> str:
        """The version that a selector without one means for a variant."""
        own = self.variants[variant].default_version
        return str(own.value if own else next(iter(self.versions)))

    def _unknown_default_versions(self) -> list[str]:
        return [
            f"variants.{name}.default_version is {variant.default_version.value!r}, "
            f"but the versions are {', '.join(self.versions)}"
            for name, variant in self.variants.items()
            if variant.default_version and variant.default_version.value not in self.versions
        ]

    def _wrong_targets(self) -> list[str]:
        found = []
        for name, variant in self.variants.items():
            if (self.target is None) != (variant.target is None):
                found.append(f"variants.{name} and the recipe must both have a target, or neither")
            elif self.target and variant.target not in self.target.values:
                found.append(
                    f"variants.{name}.target is {variant.target!r}, which is not one of "
                    f"{', '.join(self.target.values)}; a variant has exactly one target device"
                )
        return found
