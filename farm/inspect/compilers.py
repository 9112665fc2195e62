"""Did a build use the host compiler that its toolchain pins?  Pure: facts in, findings out.

`farm.inside.compilers` writes what CMake left in the build folders; builds without CMake, and
those whose folder was removed, leave nothing to compare.
"""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from farm.inspect.findings import Finding
from farm.model.compiler import Compiler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CUDA_HOST: Final = "CUDA host"
"""The language under which the compiler stands that nvcc calls for host code."""
_FAMILIES: Final = {"gcc": "GNU", "clang": "Clang"}


def parse_compilers(data: object) -> tuple[Compiler, ...]:
    """Read ``compilers.json``.

    Raises:
        ValueError: it is not what the container's program writes.
    """
    items = data if isinstance(data, list) else [data]
    return tuple(_compiler(item) for item in items)


def _compiler(item: Any) -> Compiler:  # noqa: ANN401 - whatever JSON holds
    names = {field.name for field in fields(Compiler)}
    if not isinstance(item, dict) or not set(item) <= names:
        raise ValueError(f"no compiler: {str(item)[:80]}")
    if not all(isinstance(value, str) for value in item.values()):
        raise ValueError(f"a compiler's values are no texts: {str(item)[:80]}")
    try:
        return Compiler(**item)
    except TypeError as error:
        raise ValueError(str(error)) from error


def check_compilers(found: Iterable[Compiler], pinned: tuple[str, str]) -> Iterator[Finding]:
    """What was compiled by something else than the pinned ``(family, major version)``."""
    family, major = pinned
    languages = {"C", "CXX", CUDA_HOST} | ({"HIP"} if family == "clang" else set())
    for compiler in found:
        if compiler.language not in languages:
            continue
        same_version = compiler.version.partition(".")[0] == major
        if compiler.family == _FAMILIES[family] and same_version:
            continue
        called = f"{compiler.family} {compiler.version}".strip() or "an unknown compiler"
        yield Finding(
            code="host-compiler",
            message=f"{compiler.folder} compiled {compiler.language} with {compiler.path} "
            f"({called}); the toolchain pins {family}-{major}",
        )
