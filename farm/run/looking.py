"""What a build would have done that was ended after configuring, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from farm.errors import BuildError

if TYPE_CHECKING:
    from collections.abc import Iterator

_LANGUAGES = {"CXX": "C++", "C": "C", "CUDA": "CUDA", "HIP": "HIP"}


def told(steps: dict[str, Any]) -> tuple[str, tuple[str, ...]]:
    """One line that counts the steps by kind, and a line for each object that was made.

    ``steps`` is what ``farm/inside/until.py`` wrote.
    """
    counted = ", ".join(_counted(steps.get("kinds", {})))
    message = f"{steps.get('total', 0)} build steps" + (f": {counted}" if counted else "")
    made = [
        f"made {each['object']}" + (f" in {each['seconds']:.1f} s" if each["seconds"] else "")
        for each in steps.get("objects", [])
    ]
    return message, tuple(made)


def _counted(kinds: dict[str, int]) -> Iterator[str]:
    """Compiles first, the most numerous before the others."""
    compiles = {kind: n for kind, n in kinds.items() if kind.startswith("compile ")}
    for kind, number in sorted(compiles.items(), key=lambda item: (-item[1], item[0])):
        language = kind.removeprefix("compile ")
        yield f"{number} {_LANGUAGES.get(language, language)} compile{'s' * (number != 1)}"
    for kind in ("link", "other"):
        if kinds.get(kind):
            yield f"{kinds[kind]} {kind}{'s' * (kind == 'link' and kinds[kind] != 1)}"


def never_built() -> BuildError:
    """The error of a build that was to end after configuring, and went through instead."""
    return BuildError(
        "it was built to its end without a call of 'cmake --build', so there was no configuring",
        step="compile",
        hint="--until and --only are for builds with CMake; the wheel was thrown away",
    )
