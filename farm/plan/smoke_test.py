"""How a unit's wheel is to be tried, from what recipe, toolchain and base say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from farm.load.locks import smoke_test_stem
from farm.model.unit import ImageBase, LockInputs, RootfsBase, SmokeTest
from farm.plan.toolchains import locked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.load.library import Library
    from farm.model import recipe
    from farm.model.toolchain import Base, Toolchain
    from farm.model.unit import UnitKey
    from farm.plan.scope import Scope


PYTHON = ("python3", "python3-venv")
"""What a clean container has of a base that does not say it."""


def smoke_test_of(  # noqa: PLR0913 - what the unit has in common with its build
    scope: Scope,
    library: Library,
    *,
    key: UnitKey,
    base: RootfsBase | ImageBase,
    lock_inputs: LockInputs,
    lock_stem: str,
) -> SmokeTest | str:
    """How a wheel is tried, or why it is not; empty if the recipe says nothing."""
    layers = scope.layers
    said = tuple(placed.layer.smoke_test for placed in layers if placed.layer.smoke_test)
    skip = next((each.skip for each in reversed(said) if each.skip), "")
    if skip or not said:
        return skip
    stem = smoke_test_stem(lock_stem)
    return SmokeTest(
        base=locked(_clean(base, said, scope.toolchain, scope.base), library),
        imports=tuple(dict.fromkeys(name for each in said for name in each.imports)),
        script=_last(said, "script"),
        gpu_script=_last(said, "gpu_script"),
        stubs=tuple(dict.fromkeys(_values(said, "stubs"))),
        drivers=tuple(item.value for item in scope.toolchain.drivers),
        # As for the build, but for what the wheel requires where it runs.
        lock_inputs=replace(lock_inputs, requires=tuple(sorted(set(_values(said, "requires"))))),
        lock=library.locks.get((key.package, key.version, stem)),
        lock_stem=stem,
    )


def _clean(
    build: RootfsBase | ImageBase,
    said: tuple[recipe.SmokeTest, ...],
    toolchain: Toolchain,
    base: Base,
) -> RootfsBase | ImageBase:
    """The base without what only a build needs.

    An image stays what it is, for nothing can be taken out of it.
    """
    names = {item.value for item in base.run_packages} or set(PYTHON)
    names |= {item.value for item in toolchain.run_packages}
    return replace(build, packages=tuple(sorted(names | set(_values(said, "system_packages")))))


def _values(said: tuple[recipe.SmokeTest, ...], name: str) -> Iterator[str]:
    for each in said:
        for item in getattr(each, name):
            yield str(item.value)


def _last(said: tuple[recipe.SmokeTest, ...], name: str) -> str:
    """The most specific one."""
    return next((str(getattr(each, name)) for each in reversed(said) if getattr(each, name)), "")
