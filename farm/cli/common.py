"""What verbs share: options, the project, the plan, and how values are printed."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.errors import ProblemsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.load.project import Project
    from farm.plan.plan import Plan
    from farm.repro.grounds import Grounds
    from farm.run.options import BuildOptions, Workplace
    from farm.source.mirror import Mirror
    from farm.store.blobs import Store
    from farm.store.signing import PrivateKey, PublicKey

LEAST_CACHE_BYTES = 64 * 2**20

Selectors = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[PACKAGE[@VERSION][:VARIANT]]...",
        help="What to act on, as in llama-cpp-python@0.2.44:cpu or vllm:rocm-gfx942.",
        show_default=False,
    ),
]
Variants = Annotated[
    list[str] | None,
    typer.Option("--variant", "-v", help="Variant of every package named; may be repeated."),
]
Features = Annotated[
    list[str] | None,
    typer.Option("--feature", help="Switch a feature on (~name: off); may be repeated."),
]
Python = Annotated[str | None, typer.Option("--python", help="Python to build for, as in 3.13.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for a program to read.")]
OutputDir = Annotated[
    Path | None,
    typer.Option("--output-dir", help="Where results go.  [default: out/ of the project]"),
]
MaxJobs = Annotated[
    int | None,
    typer.Option(
        "--max-jobs",
        min=1,
        envvar="MAX_JOBS",
        help="Compile jobs of each unit, at most.  [default: one for each core]",
    ),
]
NvccThreads = Annotated[
    int | None,
    typer.Option("--nvcc-threads", min=1, envvar="NVCC_THREADS", help="Threads of each nvcc."),
]
Memory = Annotated[
    str | None,
    typer.Option("--memory", envvar="FARM_MEMORY", help="Memory to build with, as in '16 GiB'."),
]
Parallel = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        envvar="FARM_JOBS",
        help="Units built at once, at most.  [default: one for each core]",
    ),
]
SourceMirror = Annotated[
    Path | None,
    typer.Option(
        "--source-mirror",
        envvar="FARM_SOURCE_MIRROR",
        help="A folder of sources that is asked before the network ('farm fetch --into').",
    ),
]
CacheFrom = Annotated[
    list[str] | None,
    typer.Option(
        "--cache-from",
        metavar="type=TYPE,...",
        help="Take layers from a cache of BuildKit's (registry, local, s3, gha); may be repeated.",
    ),
]
CacheTo = Annotated[
    list[str] | None,
    typer.Option(
        "--cache-to",
        metavar="type=TYPE,...",
        help="Put layers into one, where the engine can; {unit} in it is the unit's name.",
    ),
]
CompileCache = Annotated[
    str,
    typer.Option(
        "--compile-cache",
        metavar="SIZE",
        envvar="FARM_COMPILE_CACHE",
        help="What the engine keeps of compilers' work, for each package.",
    ),
]
NoCompileCache = Annotated[
    bool, typer.Option("--no-compile-cache", help="Compile all of it, and keep nothing of it.")
]
SignKey = Annotated[
    Path | None,
    typer.Option(
        "--sign-key",
        envvar="FARM_SIGN_KEY",
        help="A private ed25519 key (PEM) that signs each wheel's provenance and shared results.",
    ),
]
TrustKey = Annotated[
    list[Path] | None,
    typer.Option(
        "--trust-key",
        help="Demand a provenance that this ed25519 key (PEM, public) signed; may be repeated.",
    ),
]
Offline = Annotated[
    bool, typer.Option("--offline", help="Fetch nothing: fail where something is missing.")
]
Locked = Annotated[
    bool,
    typer.Option("--locked", help="Fail where a base's locked packages can no longer be had."),
]
Bundled = Annotated[
    str,
    typer.Argument(
        metavar="BUNDLE|RECORD|RUN|UNIT",
        help="A bundle, a record.json, the name of a run, or a unit that was built here.",
    ),
]
Why = Annotated[str, typer.Option("--why", help="What is wrong without the patch.")]
Upstream = Annotated[
    str, typer.Option("--upstream", help="Link to the change there, or why there is none.")
]
RemoveWhen = Annotated[
    str, typer.Option("--remove-when", help="What must happen so that it can go.")
]
TrustBase = Annotated[
    bool,
    typer.Option("--trust-base", help="Install packages of its base that no lock here names."),
]
AllowNetwork = Annotated[
    bool, typer.Option("--allow-network", help="Let a base that is an image take packages.")
]
Engine = Annotated[
    str,
    typer.Option(
        "--engine", envvar="FARM_ENGINE", help="auto, user (your Docker) or private (farm's own)."
    ),
]


NoPreflight = Annotated[
    bool,
    typer.Option(
        "--no-preflight",
        help="Try what is known not to work (the record will say so) or not to fit.",
    ),
]


def root_of(context: typer.Context) -> Path | None:
    """The project folder that was named before the verb."""
    return context.find_object(Path)


def project_of(context: typer.Context) -> Project:
    """The project that the command is about.

    Raises:
        UsageError: there is none.
    """
    from farm.load.project import find_project

    return find_project(root=root_of(context))


def project_if_any(context: typer.Context) -> Project | None:
    """The project, or None where there is none and none was named.

    Raises:
        UsageError: ``--root`` names a folder that is no project.
    """
    try:
        return project_of(context)
    except UsageError:
        if root_of(context) is not None:
            raise
        return None


def workplace_of(context: typer.Context, output_dir: Path | None) -> Workplace:
    """The project with its folders."""
    from farm.load.folders import cache_folder
    from farm.run.options import Workplace

    project = project_of(context)
    out = output_dir.absolute() if output_dir else project.out
    return Workplace(project=project, out=out, cache=cache_folder())


def grounds_of(context: typer.Context, output_dir: Path | None) -> Grounds:
    """Where bundles are looked for, in a project or outside of any."""
    from farm.load.folders import cache_folder
    from farm.repro.grounds import Grounds

    project = project_if_any(context)
    out = output_dir.absolute() if output_dir else project.out if project else None
    return Grounds(cache=cache_folder(), project=project, out=out)


def known_engine(engine: str) -> None:
    """Refuse what is no kind of engine.

    Raises:
        UsageError: it is none.
    """
    if engine not in {"auto", "user", "private"}:
        raise UsageError(f"--engine {engine[:40]!r} is not auto, user or private")


@contextmanager
def using_cache(cache: Path) -> Iterator[Store]:
    """The store in the cache folder, which nobody cleans meanwhile.

    Raises:
        StorageError: it cannot be made or written.
    """
    from farm.host.in_use import in_use
    from farm.store.blobs import Store

    prepare_cache(cache)
    with in_use(cache):
        yield Store(cache / "store")


def prepare_cache(cache: Path) -> None:
    """Make the cache folder, marked as farm's own, before a verb puts anything there.

    Raises:
        StorageError: it cannot be made or written.
    """
    from farm.host.files import storage_error
    from farm.load.folders import mark_cache

    try:
        mark_cache(cache)
    except OSError as error:
        raise storage_error(error, cache) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What the command line asks for."""

    selectors: tuple[str, ...]
    variants: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    python: str | None = None


def asked(
    selectors: Iterable[str] | None,
    variants: Iterable[str] | None,
    features: Iterable[str] | None,
    python: str | None,
) -> Asked:
    """The options as one value."""
    return Asked(
        selectors=tuple(selectors or ()),
        variants=tuple(variants or ()),
        features=tuple(features or ()),
        python=python,
    )


def plan_of(
    project: Project, wanted: Asked, *, default_all: bool = False, preflight: bool = True
) -> Plan:
    """Load what is named and plan it.

    Raises:
        UsageError: nothing is named, or something that does not exist.
        RecipeError, PlanError: every problem found; with ``preflight`` also what
            is known not to work.
    """
    from farm import api

    selectors = wanted.selectors
    if not selectors and default_all:
        selectors = project.names("recipes")
    try:
        return api.plan(
            project,
            *selectors,
            variants=wanted.variants,
            features=wanted.features,
            python=wanted.python,
            preflight=preflight,
        )
    except ProblemsError as error:
        error.root = str(project.root)
        raise


def mirror_at(folder: Path | None) -> Mirror | None:
    """The source mirror that is named, if one is.

    Raises:
        UsageError: it is no folder.
    """
    if folder is None:
        return None
    from farm.source.mirror import Mirror

    return Mirror.at(folder)


def sign_key_at(path: Path | None) -> PrivateKey | None:
    """The key to sign with, if one is named.

    Raises:
        UsageError: it cannot be read, or is none.
    """
    if path is None:
        return None
    from farm.store.signing import read_private_key

    return read_private_key(path)


def trusted_keys(paths: Iterable[Path] | None) -> list[PublicKey]:
    """The keys to trust.

    Raises:
        UsageError: one cannot be read, or is none.
    """
    if not paths:
        return []
    from farm.store.signing import read_public_key

    return [read_public_key(path) for path in paths]


def memory_bytes(text: str | None) -> int | None:
    """A memory budget in bytes.

    Raises:
        UsageError: it is no size.
    """
    if text is None:
        return None
    from farm.model.strict import parse_size

    try:
        size = parse_size(text)
    except ValueError as error:
        raise UsageError(f"--memory: {error}") from error
    if size == 0:
        raise UsageError("--memory: nothing can be built with no memory")
    return size


def cache_bytes(text: str, *, none: bool) -> int:
    """What ``--compile-cache`` says; 0 with ``--no-compile-cache``.

    Raises:
        UsageError: it is no size, or too little to keep anything.
    """
    if none:
        return 0
    from farm.model.strict import parse_size

    try:
        size = parse_size(text)
    except ValueError as error:
        raise UsageError(f"--compile-cache: {error}") from error
    if size < LEAST_CACHE_BYTES:
        raise UsageError(
            "--compile-cache: that is too little to keep anything",
            hint="give it 64 MiB or more, or say --no-compile-cache",
        )
    return size


def options_for_one(
    *,
    max_jobs: int | None,
    nvcc_threads: int | None,
    memory: str | None,
    engine: str,
    offline: bool,
    source_mirror: Path | None,
    locked: bool = False,
) -> BuildOptions:
    """How one unit is built, by the options that verbs about one unit share.

    Raises:
        UsageError: one of them is not what it can be.
    """
    from farm.run.options import BuildOptions

    known_engine(engine)
    return BuildOptions(
        max_jobs=max_jobs,
        nvcc_threads=nvcc_threads,
        memory_bytes=memory_bytes(memory),
        engine=engine,
        offline=offline,
        locked=locked,
        source_mirror=mirror_at(source_mirror),
    )


def print_json(value: object) -> None:
    """Print a value as JSON on stdout."""
    from farm.console.as_json import to_json

    typer.echo(to_json(value))
