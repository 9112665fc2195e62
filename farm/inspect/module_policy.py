"""Paths, instruction sets, symbol versions, licences, size: rules beyond device code."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from farm.inspect import floors
from farm.inspect.findings import Finding, Severity, listed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.inspect.facts import Module, WheelFacts
    from farm.model.unit import Expected

BUILD_FOLDERS: Final = (
    *("/build/", "/opt/build/", "/farm/", "/root/", "/home/", "/__w/", "/project/"),
    *("/github/", "/io/", "/workspace/"),
    "/var/tmp/",  # noqa: S108 - only named
    "/tmp/",  # noqa: S108 - only named
)
"""Folders of builders and of services that build; no RPATH may lead there."""
# What ``__FILE__`` leaves in messages of assertions: names that nobody opens.
_SOURCE: Final = re.compile(r".*\.(?:c|cc|cpp|cxx|cu|cuh|h|hh|hpp|hip|inc|inl|ipp|def|rs|pyx|py)")
_FEW: Final = 3


def check_modules(facts: WheelFacts) -> Iterator[Finding]:
    """What is wrong with modules whoever built them, for whatever."""
    for module in facts.modules:
        for problem in module.problems:
            yield Finding(code="module-damaged", message=f"{module.path}: {problem}")
        yield from _paths(module)
    yield from _fixed_paths(facts)
    yield from _manylinux_tag(facts)
    yield from _licences(facts)


def _paths(module: Module) -> Iterator[Finding]:
    inside = [path for path in module.rpath if f"{path}/".startswith(BUILD_FOLDERS)]
    if inside:
        yield Finding(
            code="rpath",
            message=f"{module.path} has an RPATH into its builder: {listed(set(inside))}",
        )


def _fixed_paths(facts: WheelFacts) -> Iterator[Finding]:
    fixed = {
        module.path: {
            path
            for path in module.rpath
            if path.startswith("/") and not f"{path}/".startswith(BUILD_FOLDERS)
        }
        for module in facts.modules
    }
    modules = [path for path, folders in fixed.items() if folders]
    if modules:
        folders = set().union(*fixed.values())
        yield Finding(
            code="rpath-absolute",
            message=f"{listed(modules)} look for libraries in fixed folders: {listed(folders)}",
            severity=Severity.WARNING,
        )


def _manylinux_tag(facts: WheelFacts) -> Iterator[Finding]:
    claimed = floors.claimed(facts.tags)
    needed = floors.floor(facts.modules, "GLIBC")
    if claimed and needed and floors.is_above(needed, claimed[0]):
        yield Finding(
            code="tag-manylinux",
            message=f"is tagged for glibc {claimed[0]}, but needs symbols of {needed}",
        )


def _licences(facts: WheelFacts) -> Iterator[Finding]:
    if any(problem.code in {"bomb", "no-metadata"} for problem in facts.problems):
        return
    absent = [
        name
        for name in facts.licences_said
        if not any(path.endswith(f"/{name}") for path in facts.licences)
    ]
    if absent:
        yield Finding(
            code="licence-missing",
            message=f"METADATA names the licence files {listed(absent)}, which are not there",
        )
    elif not facts.licences:
        yield Finding(
            code="licence-none", message="holds no licence file", severity=Severity.WARNING
        )


def check_built(facts: WheelFacts, expected: Expected, *, glibc: str) -> Iterator[Finding]:
    """What is wrong with modules that a recipe describes; ``glibc`` is the base's."""
    for module in facts.modules:
        yield from _builder_paths(module)
        yield from _isa(module, expected)
    yield from _floors(facts, expected, glibc)
    if expected.max_bytes is not None and facts.size_bytes > expected.max_bytes:
        yield Finding(
            code="size",
            message=f"takes {facts.size_bytes:,} bytes, more than the {expected.max_bytes:,} "
            "that the recipe allows",
        )


def _builder_paths(module: Module) -> Iterator[Finding]:
    paths = [path for path in module.builder_paths if not _SOURCE.fullmatch(path)]
    if paths:
        yield Finding(
            code="builder-path",
            message=f"{module.path} holds paths into its builder: {listed(paths)}",
            severity=Severity.WARNING,
        )


def _isa(module: Module, expected: Expected) -> Iterator[Finding]:
    wrong = [
        f"{use.name} ({use.instructions:,})"
        for use in module.isa
        if use.instructions >= _FEW
        and not any(fnmatchcase(use.name, pattern) for pattern in expected.isa)
    ]
    if wrong:
        yield Finding(
            code="isa",
            message=f"{module.path} uses instructions that not every x86-64 processor has: "
            f"{listed(wrong)}; was it compiled with -march=native? If it asks the processor "
            "first, say so in expect.isa",
        )


def _floors(facts: WheelFacts, expected: Expected, glibc: str) -> Iterator[Finding]:
    needed = floors.floor(facts.modules, "GLIBC")
    if glibc and needed and floors.is_above(needed, glibc):
        yield Finding(
            code="glibc",
            message=f"needs symbols of glibc {needed}, but its base has {glibc}: "
            "it was not built there",
        )
    if expected.manylinux:
        got = floors.manylinux(facts.modules)
        limit = expected.manylinux.removeprefix("manylinux_").replace("_", ".")
        number = got.removeprefix("manylinux_").replace("_", ".")
        if got == "linux" or floors.is_above(number, limit):
            yield Finding(
                code="manylinux",
                message=f"needs symbols that only {got} has; the recipe expects "
                f"{expected.manylinux}",
            )
