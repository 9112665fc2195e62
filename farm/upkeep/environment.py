"""Variables of the environment that steer a build, or only look as if they did."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import ExitCode
from farm.host.network import CA_VARIABLES
from farm.host.urls import redact
from farm.load.nearest import perhaps
from farm.upkeep.checks import ok, problem, warning

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from farm.upkeep.checks import Check

_OF_PROGRAMS = ("GIT_SSL_CAINFO", "CARGO_HTTP_CAINFO")
"""Of git and cargo alone, for which they come before farm's."""
FARM_VARIABLES = (
    "FARM_CACHE_DIR",
    "FARM_CACHE_LIMIT",
    "FARM_COMPILE_CACHE",
    "FARM_DEBIAN_MIRROR",
    "FARM_DEBIAN_SNAPSHOT",
    "FARM_DEBUG",
    "FARM_ENGINE",
    "FARM_JOBS",
    "FARM_MEMORY",
    "FARM_RESULTS",
    "FARM_RESULTS_READ_ONLY",
    "FARM_ROOT",
    "FARM_RUNNER",
    "FARM_SIGN_KEY",
    "FARM_SOURCE_MIRROR",
    "FARM_WRITE_GOLDENS",
)
IGNORED = (
    "PIP_CONSTRAINT",
    "PIP_EXTRA_INDEX_URL",
    "PIP_FIND_LINKS",
    "PIP_NO_BINARY",
    "PIP_NO_INDEX",
    "PIP_PRE",
    "UV_CONSTRAINT",
    "UV_EXCLUDE_NEWER",
    "UV_EXTRA_INDEX_URL",
    "UV_FIND_LINKS",
    "UV_INDEX",
    "UV_NO_INDEX",
)
"""Set for pip and uv; a build that depended on them could not be repeated elsewhere."""
FOR_THE_RECIPE = (
    "CC",
    "CFLAGS",
    "CMAKE_ARGS",
    "CMAKE_BUILD_PARALLEL_LEVEL",
    "CUDAHOSTCXX",
    "CXX",
    "CXXFLAGS",
    "LDFLAGS",
    "PYTORCH_ROCM_ARCH",
    "SOURCE_DATE_EPOCH",
    "TORCH_CUDA_ARCH_LIST",
    "VLLM_TARGET_DEVICE",
)
"""Do not reach the container."""
_PROXIES = ("http_proxy", "https_proxy", "all_proxy")


def checks(environ: Mapping[str, str]) -> Iterator[Check]:
    """Look at the environment; what is not set is not mentioned."""
    yield from _certificates(environ)
    yield from _proxies(environ)
    yield from _jobs(environ)
    yield from _own(environ)
    yield from _without_effect(environ)
    yield from _folders(environ)


def _certificates(environ: Mapping[str, str]) -> Iterator[Check]:
    names = (*CA_VARIABLES, *_OF_PROGRAMS)
    named = {name: Path(environ[name]) for name in names if environ.get(name)}
    there = {name: path for name, path in named.items() if path.exists()}
    for name in sorted(named.keys() - there.keys()):
        found, remedy = f"{named[name]} does not exist", f"correct or unset {name}"
        if name in CA_VARIABLES:
            yield problem(name, found, remedy, ExitCode.FETCH)
        else:
            yield warning(name, found, remedy)
    if len({path.resolve() for path in there.values()}) > 1:
        said = ", ".join(f"{name}={path}" for name, path in there.items())
        yield warning(
            "CA bundles",
            f"they differ: {said}",
            "name one file in all of them: a host may be trusted by one tool and not by another",
        )
    elif there:
        yield ok("CA bundles", f"{next(iter(there.values()))}, by {', '.join(there)}")


def _proxies(environ: Mapping[str, str]) -> Iterator[Check]:
    for name in _PROXIES:
        lower, upper = environ.get(name), environ.get(name.upper())
        if lower and upper and lower != upper:
            yield warning(
                name,
                f"differs from {name.upper()}: {redact(lower)}, {redact(upper)}",
                "set both alike: some tools read one, some the other",
            )
        elif lower or upper:
            yield ok(name if lower else name.upper(), redact(lower or upper or ""))


def _jobs(environ: Mapping[str, str]) -> Iterator[Check]:
    for name in ("MAX_JOBS", "NVCC_THREADS", "FARM_JOBS"):
        value = environ.get(name)
        if not value:
            continue
        if not value.isdecimal() or int(value) < 1:
            remedy = f"set {name} to a number of at least 1, or unset it"
            yield problem(name, f"{value[:40]!r} is no such number", remedy, ExitCode.USAGE)
        else:
            yield ok(name, f"{value}: it wins over what farm would compute")


def _own(environ: Mapping[str, str]) -> Iterator[Check]:
    for name in sorted(environ):
        if name.startswith("FARM_") and name not in FARM_VARIABLES:
            hint = perhaps(name, FARM_VARIABLES)
            yield warning(name, "farm knows no such variable", hint or f"unset {name}")
    engine = environ.get("FARM_ENGINE")
    if engine and engine not in {"auto", "user", "private"}:
        yield problem(
            "FARM_ENGINE",
            f"{engine[:40]!r} is no engine",
            "set it to auto, user or private",
            ExitCode.USAGE,
        )


def _without_effect(environ: Mapping[str, str]) -> Iterator[Check]:
    ignored = ", ".join(name for name in IGNORED if environ.get(name))
    if ignored:
        found = f"{ignored}: ignored on purpose, so that others resolve the same"
        yield ok("settings of pip and uv", found)
    useless = ", ".join(name for name in FOR_THE_RECIPE if environ.get(name))
    if useless:
        found = f"{useless}: set here, but the container does not see it"
        remedy = "write it into the recipe (env, cmake_args, archs)"
        yield warning("settings of the build", found, remedy)


def _folders(environ: Mapping[str, str]) -> Iterator[Check]:
    temporary = environ.get("TMPDIR")
    if temporary and not os.access(temporary, os.W_OK | os.X_OK):
        yield problem(
            "TMPDIR",
            f"{temporary} cannot be written",
            "set it to a folder that can, or unset it",
            ExitCode.STORAGE,
        )
    cache = environ.get("FARM_CACHE_DIR")
    if cache and os.path.lexists(cache) and not Path(cache).is_dir():
        found = f"{cache} is no folder, nor does it lead to one"
        yield problem("FARM_CACHE_DIR", found, "name a folder", ExitCode.STORAGE)
