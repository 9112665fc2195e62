"""Is this wheel the one that was asked for?  Pure: facts and expectations in, findings out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from packaging.tags import Tag, compatible_tags, cpython_tags, parse_tag
from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

from farm.inspect.device_policy import check_device_code, matches
from farm.inspect.findings import Finding, Severity, listed
from farm.inspect.libraries import check_libraries
from farm.inspect.module_policy import check_built, check_modules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.inspect.facts import WheelFacts
    from farm.model.unit import Expected

# The bases are glibc distributions on x86-64.
_PLATFORM: Final = re.compile(r"any|linux_x86_64|manylinux(?:1|2010|2014|_\d+_\d+)_x86_64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a wheel was built for: ``python`` is ``3.13``, ``glibc`` the base's."""

    package: str
    version: str
    python: str
    accelerator: str
    archs: tuple[str, ...] = ()
    glibc: str = ""


def check(facts: WheelFacts, expected: Expected, asked: Asked) -> tuple[Finding, ...]:
    """Compare a wheel with what its unit promises; no error found means that it may be served."""
    return (
        *_problems(facts),
        *_identity(facts, package=asked.package, version=asked.version),
        *_metadata(facts),
        *_tags(facts, expected, python=asked.python),
        *_shared_objects(facts, expected),
        *check_modules(facts),
        *check_device_code(facts, expected, accelerator=asked.accelerator, archs=asked.archs),
        *check_libraries(facts, expected, accelerator=asked.accelerator),
        *check_built(facts, expected, glibc=asked.glibc),
    )


def check_alone(facts: WheelFacts) -> tuple[Finding, ...]:
    """What is wrong with a wheel of which nobody says what it should be."""
    return (
        *_problems(facts),
        *_metadata(facts),
        *_any_tag(facts, frozenset(tag for text in facts.tags for tag in parse_tag(text))),
        *check_modules(facts),
    )


def _problems(facts: WheelFacts) -> Iterator[Finding]:
    for problem in facts.problems:
        message = problem.message
        if problem.members:
            message = f"{message}: {listed(problem.members)}"
        yield Finding(code=problem.code, message=message)


def _identity(facts: WheelFacts, *, package: str, version: str) -> Iterator[Finding]:
    if canonicalize_name(facts.name) != canonicalize_name(package):
        yield Finding(code="name", message=f"is a wheel of {facts.name}, not of {package}")
    if not _is_version(facts.version, asked=version):
        yield Finding(code="version", message=f"has version {facts.version}, not {version}")


def _is_version(text: str, *, asked: str) -> bool:
    """Whether the public parts are equal, and the local one where the unit names it.

    Packages add their variant as a local version: 0.22.0+empty is right for 0.22.0.
    """
    try:
        got, wanted = Version(text), Version(asked)
    except InvalidVersion:
        return text == asked
    same_public = Version(got.public) == Version(wanted.public)
    return same_public and wanted.local in {None, got.local}


def _metadata(facts: WheelFacts) -> Iterator[Finding]:
    unread = {problem.code for problem in facts.problems}
    if not unread & {"bomb", "no-metadata"}:
        yield from _names(facts)
    if not unread & {"bomb", "no-wheel"} and facts.wheel_tags != facts.tags:
        yield Finding(
            code="wheel-tags",
            message=f"WHEEL says {', '.join(facts.wheel_tags) or 'no tag'}, "
            f"the file name {', '.join(facts.tags)}",
        )


def _names(facts: WheelFacts) -> Iterator[Finding]:
    if canonicalize_name(facts.metadata_name) != facts.name:
        yield Finding(
            code="metadata-name",
            message=f"METADATA says {facts.metadata_name!r}, the file name {facts.name!r}",
        )
    try:
        same = Version(facts.metadata_version) == Version(facts.version)
    except InvalidVersion:
        same = False
    if not same:
        yield Finding(
            code="metadata-version",
            message=f"METADATA says {facts.metadata_version!r}, the file name {facts.version!r}",
        )


def _tags(facts: WheelFacts, expected: Expected, *, python: str) -> Iterator[Finding]:
    tags = frozenset(tag for text in facts.tags for tag in parse_tag(text))
    text = ", ".join(facts.tags)
    fitting = _fitting(python)
    if not any((tag.interpreter, tag.abi) in fitting for tag in tags):
        yield Finding(code="tag-python", message=f"{text} is not for Python {python}")
    if not all(_PLATFORM.fullmatch(tag.platform) for tag in tags):
        yield Finding(code="tag-platform", message=f"{text} is not for Linux on x86-64 with glibc")
    if expected.tag and parse_tag(expected.tag) != tags:
        yield Finding(
            code="tag-expected", message=f"has the tag {text}; the recipe expects {expected.tag}"
        )
    yield from _any_tag(facts, tags)


def _any_tag(facts: WheelFacts, tags: frozenset[Tag]) -> Iterator[Finding]:
    if facts.shared_objects and all(tag.platform == "any" for tag in tags):
        yield Finding(
            code="tag-any",
            message=f"is tagged for any platform but holds {listed(facts.shared_objects)}",
            severity=Severity.WARNING,
        )


def _fitting(python: str) -> frozenset[tuple[str, str]]:
    """Every pair of interpreter and ABI that this Python takes, whatever the platform."""
    major, minor = (int(part) for part in python.split("."))
    interpreter = f"cp{major}{minor}"
    version, platforms = (major, minor), ["any"]
    tags: list[Tag] = [
        *cpython_tags(version, abis=[interpreter], platforms=platforms),
        *compatible_tags(version, interpreter=interpreter, platforms=platforms),
    ]
    return frozenset((tag.interpreter, tag.abi) for tag in tags)


def _shared_objects(facts: WheelFacts, expected: Expected) -> Iterator[Finding]:
    if expected.extensions is None or any(problem.code == "bomb" for problem in facts.problems):
        return
    found, asked = facts.shared_objects, expected.extensions
    missing = [name for name in asked if not any(matches(path, name) for path in found)]
    surplus = [path for path in found if not any(matches(path, name) for name in asked)]
    if missing:
        yield Finding(
            code="extension-missing",
            message=f"does not hold {listed(missing)}, which the recipe expects",
        )
    if surplus:
        yield Finding(
            code="extension-unexpected",
            message=f"holds {listed(surplus)}, which the recipe does not expect",
        )
