"""What a toolchain gives to each unit: base, toolkit, host compiler."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, TypeVar, cast

from farm.model.unit import ImageBase, Pin, RootfsBase, ToolkitPlan

if TYPE_CHECKING:
    from farm.load.library import Library
    from farm.model.toolchain import Toolchain


T = TypeVar("T")


class Toolchains:
    """What the units of one plan have in common, made once however many they are."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self.base = cache(self._base)
        self.toolkit = cache(self._toolkit)
        self._shared: dict[object, object] = {}

    def shared(self, value: T) -> T:
        """The first value that is equal to this one: units have most of theirs in common."""
        return cast("T", self._shared.setdefault(value, value))

    def _base(
        self, name: str, extra: tuple[str, ...], left_out: tuple[str, ...]
    ) -> RootfsBase | ImageBase:
        """A toolchain's base with all packages that a unit needs.

        ``extra`` are packages, ``left_out`` excluded paths besides the toolchain's.
        """
        toolchain = self._library.toolchains[name]
        base = self._library.bases[toolchain.base]
        names = {item.value for item in (*base.packages, *toolchain.packages)}
        packages = tuple(sorted(names | set(extra) | set(compiler_packages(toolchain))))
        excluded = {item.value for item in toolchain.exclude_paths} | set(left_out)
        exclude_paths = tuple(sorted(excluded))
        if base.image:
            return ImageBase(
                name=base.base, image=base.image, packages=packages, exclude_paths=exclude_paths
            )
        made = RootfsBase(
            name=base.base,
            suite=base.suite or "",
            packages=packages,
            components=tuple(sorted(str(each) for each in toolchain.components)),
            exclude_paths=exclude_paths,
            further_suites=tuple(
                (each.suite, tuple(sorted(set(each.packages)))) for each in base.further_suites
            ),
        )
        return locked(made, self._library)

    def _toolkit(self, name: str, parts: tuple[str, ...]) -> ToolkitPlan | None:
        """The toolkit from the package index, if the toolchain has one, with these parts."""
        kit = self._library.toolchains[name].toolkit
        if kit is None:
            return None
        taken = {None, *parts}
        wheels = (
            Pin(name=w.name, version=w.version, filename=w.wheel, sha256=w.sha256)
            for w in kit.wheels
            if w.part in taken
        )
        return ToolkitPlan(root=kit.root, home=kit.home, wheels=tuple(wheels))


def compiler_values(toolchain: Toolchain) -> dict[str, str]:
    """Placeholders for the pinned host compiler: its paths, and its major version.

    ``${host_compiler.c}`` is ``/usr/bin/gcc-14``, ``${host_compiler.cxx}``
    ``/usr/bin/g++-14``, ``${host_compiler.version}`` ``14``.
    """
    family, version = toolchain.host_compiler.family, toolchain.host_compiler.version
    cc, cxx = {"gcc": ("gcc", "g++"), "clang": ("clang", "clang++")}[family]
    return {
        "host_compiler.c": f"/usr/bin/{cc}-{version}",
        "host_compiler.cxx": f"/usr/bin/{cxx}-{version}",
        "host_compiler.version": version,
    }


def compiler_env(toolchain: Toolchain) -> dict[str, str]:
    """CC and CXX of the pinned host compiler; nvcc's too, where there is one."""
    values = compiler_values(toolchain)
    env = {"CC": values["host_compiler.c"], "CXX": values["host_compiler.cxx"]}
    if toolchain.accelerator == "cuda":
        env["CUDAHOSTCXX"] = env["CXX"]
    return env


def compiler_packages(toolchain: Toolchain) -> tuple[str, ...]:
    """Distribution packages of the pinned host compiler."""
    family, version = toolchain.host_compiler.family, toolchain.host_compiler.version
    return (f"gcc-{version}", f"g++-{version}") if family == "gcc" else (f"clang-{version}",)


def locked(base: RootfsBase | ImageBase, library: Library) -> RootfsBase | ImageBase:
    """The base with the packages that a lock names for it, where one does."""
    if isinstance(base, ImageBase):
        return base
    found = library.base_sets.get(base.key)
    return replace(base, locked=found[1] if found else None)


def toolkit_parts(toolchain: Toolchain) -> frozenset[str]:
    """Parts of the toolkit that a variant may ask for."""
    wheels = toolchain.toolkit.wheels if toolchain.toolkit else ()
    return frozenset(wheel.part for wheel in wheels if wheel.part)
