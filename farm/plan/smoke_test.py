"""How a unit's wheel is to be tried, from what recipe, toolchain and base say."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from farm.load.locks import smoke_test_stem
from farm.model.unit import ImageBase, LockInputs, RootfsBase, SmokeTest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.load.library import Library
    from farm.model import recipe
    from farm.model.strict import Reasoned
    from farm.model.toolchain import Base, Toolchain
    from farm.model.unit import Unit
    from farm.plan.settings import PlacedLayer


PYTHON = ("python3", "python3-venv")
"""What a clean container has of a base that does not say it."""


def with_smoke_test(
    unit: Unit,
    layers: tuple[PlacedLayer, ...],
    toolchain: Toolchain,
    base: Base,
    library: Library,
) -> Unit:
    """The unit with its smoke test, or with the reason why it has none."""
    said = tuple(placed.layer.smoke_test for placed in layers if placed.layer.smoke_test)
    skip = next((each.skip for each in reversed(said) if each.skip), "")
    if skip or not said:
        return replace(unit, untried=skip)
    stem = smoke_test_stem(unit.lock_stem)
    return replace(
        unit,
        smoke_test=SmokeTest(
            base=_clean(unit.base, said, toolchain, base),
            imports=tuple(dict.fromkeys(name for each in said for name in each.imports)),
            script=_last(said, "script"),
            gpu_script=_last(said, "gpu_script"),
            stubs=tuple(dict.fromkeys(_values(said, "stubs"))),
            drivers=tuple(item.value for item in toolchain.drivers),
            lock_inputs=_lock_inputs(unit, said),
            lock=library.locks.get((unit.key.package, unit.key.version, stem)),
            lock_stem=stem,
        ),
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


def _lock_inputs(unit: Unit, said: tuple[recipe.SmokeTest, ...]) -> LockInputs:
    """As for the build, but for what the wheel requires where it runs."""
    return replace(unit.lock_inputs, requires=tuple(sorted(set(_values(said, "requires")))))


def _values(said: tuple[recipe.SmokeTest, ...], name: str) -> Iterator[str]:
    for each in said:
        for item in getattr(each, name):
            yield cast("Reasoned[str]", item).value


def _last(said: tuple[recipe.SmokeTest, ...], name: str) -> str:
    """The most specific one."""
    return next((str(getattr(each, name)) for each in reversed(said) if getattr(each, name)), "")
