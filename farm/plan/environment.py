"""The environment of one unit: what toolchain and recipe say, with every placeholder filled in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.plan.settings import arch_values, fill, joined, merged
from farm.plan.toolchains import compiler_env, compiler_values

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from farm.model.recipe import Recipe
    from farm.model.toolchain import Toolchain
    from farm.model.unit import Source
    from farm.plan.scope import Scope
    from farm.plan.settings import Path

SOURCES_FOLDER = "/build/sources"


def placeholders(
    toolchain: Toolchain, archs: tuple[str, ...], sources: Iterable[Source]
) -> dict[str, str]:
    """What ``${…}`` may name, each with its value for this unit."""
    values = {**arch_values(archs), **compiler_values(toolchain)}
    values |= {f"sources.{s.name}": f"{SOURCES_FOLDER}/{s.name}" for s in sources}
    if toolchain.toolkit:
        values["toolkit.home"] = toolchain.toolkit.home
    return values


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """Puts the environment of a unit together; ``tell`` hears of each problem and its place.

    A placeholder that begins with one of ``lacking`` is no problem: why it is unknown is told.
    """

    recipe: Recipe
    scope: Scope
    values: Mapping[str, str]
    lacking: tuple[str, ...]
    tell: Callable[[Path, str, str], None]

    def variables(self) -> list[tuple[str, str]]:
        """All variables in the order of their names; the most specific level wins."""
        env = compiler_env(self.scope.toolchain)
        for name, setting in self.scope.toolchain.env.items():
            env[name] = self._fill(("env", name), setting.value)
        for name, (path, item) in merged(self.scope.layers, "env").items():
            env[name] = self._fill(path, item.value)
        self._set_cmake_args(env)
        self._set_target_device(env)
        return sorted(env.items())

    def _set_cmake_args(self, env: dict[str, str]) -> None:
        args = [
            self._fill(("cmake_args",), each.value) for each in self.scope.toolchain.cmake_args
        ]
        args += [
            self._fill(at, each.value) for at, each in joined(self.scope.layers, "cmake_args")
        ]
        if args and "CMAKE_ARGS" in env:
            path: Path = ("env", "CMAKE_ARGS")
            self.tell(path, "is set", "use cmake_args, which levels join")
        if args:
            env["CMAKE_ARGS"] = " ".join(args)

    def _set_target_device(self, env: dict[str, str]) -> None:
        target, value = self.recipe.target, self.recipe.variants[self.scope.variant].target
        if target is None or value is None:
            return
        if env.get(target.variable, value) != value:
            what = (
                f"{target.variable} is {env[target.variable]!r} in env and {value!r} as target: "
                "a variant has exactly one target device"
            )
            self.tell(("variants", self.scope.variant, "target"), what, "")
        env[target.variable] = value

    def _fill(self, path: Path, text: str) -> str:
        try:
            return fill(text, self.values)
        except ValueError as error:
            if not any(f"${{{name}." in text for name in self.lacking):
                self.tell(path, str(error), "")
            return text
