"""Does each module hold the device code that was asked for, and no other?"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Final

from farm.inspect.archs import Cover, covers
from farm.inspect.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from farm.inspect.facts import DeviceCode, Module, WheelFacts
    from farm.model.unit import Expected

DEVICE_ACCELERATORS: Final = frozenset({"cuda", "rocm"})
_LEAST: Final = {
    "exact": (Cover.EXACT, "machine code of exactly that architecture"),
    "compatible": (Cover.COMPATIBLE, "machine code that runs there"),
    "ptx": (Cover.PTX, "machine code or PTX"),
}


def check_device_code(
    facts: WheelFacts, expected: Expected, *, accelerator: str, archs: tuple[str, ...]
) -> Iterator[Finding]:
    """Missing, foreign and unexpected architectures, module by module."""
    if accelerator not in DEVICE_ACCELERATORS:
        yield from _none_at_all(facts.modules, accelerator)
        return
    for module in facts.modules:
        yield from _module(module, _demand(module.path, expected), archs)
    if expected.extensions is None:
        yield from _somewhere(facts.modules, archs)


def matches(path: str, pattern: str) -> bool:
    """Whether a member is the one that is meant; ``*`` stands for any part of one name."""
    names, patterns = path.split("/"), pattern.split("/")
    return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))


def _none_at_all(modules: Iterable[Module], accelerator: str) -> Iterator[Finding]:
    for module in modules:
        if module.device_code:
            yield Finding(
                code="device-code-unexpected",
                message=f"{module.path} holds device code for {described(module.device_code)}; "
                f"a wheel for {accelerator} must hold none",
            )


def _demand(path: str, expected: Expected) -> str:
    """What is demanded of a module: by its own pattern, else exact if it is named, else any."""
    for pattern, demand in expected.device_code:
        if matches(path, pattern):
            return demand
    named = expected.extensions or ()
    return "exact" if any(matches(path, pattern) for pattern in named) else "any"


def _module(module: Module, demand: str, archs: tuple[str, ...]) -> Iterator[Finding]:
    found = described(module.device_code)
    if demand == "none":
        if any(each.kernels or not each.counted for each in module.device_code):
            yield Finding(
                code="device-code-unexpected",
                message=f"{module.path} holds device code for {found}; the recipe expects none",
            )
        return
    least, words = _LEAST.get(demand, (None, ""))
    asked = ", ".join(archs)
    if least is not None:
        missing = [arch for arch in archs if _best(module.device_code, arch) < least]
        if missing:
            yield Finding(
                code="device-code-missing",
                message=f"{module.path} holds no kernels for {', '.join(missing)} "
                f"({words}); it holds {found}, asked for {asked}",
            )
    foreign = sorted({each.arch for each in module.device_code if _is_foreign(each, archs, least)})
    if foreign:
        yield Finding(
            code="device-code-foreign",
            message=f"{module.path} holds device code for {', '.join(foreign)}, which nobody "
            f"asked for; it holds {found}, asked for {asked}",
        )


def _somewhere(modules: tuple[Module, ...], archs: tuple[str, ...]) -> Iterator[Finding]:
    """Where the recipe names no module, at least the wheel must hold what was asked for."""
    code = [each for module in modules for each in module.device_code]
    missing = [arch for arch in archs if _best(code, arch) < Cover.EXACT]
    if missing:
        yield Finding(
            code="device-code-missing",
            message=f"no module holds kernels for {', '.join(missing)}; the wheel holds "
            f"{described(code)}, asked for {', '.join(archs)}",
        )


def _best(code: Iterable[DeviceCode], wanted: str) -> Cover:
    """How well the kernels that can be run serve a processor."""
    runnable = (each for each in code if each.kind in {"machine code", "ptx"} and each.kernels)
    return max((covers(each.arch, wanted) for each in runnable), default=Cover.NOT)


def _is_foreign(code: DeviceCode, archs: tuple[str, ...], least: Cover | None) -> bool:
    """Whether code with kernels serves none of the architectures in a way that is allowed.

    PTX may always be there for what it serves: nvcc adds that of the newest
    architecture unless told otherwise.  Empty cubins come from nvcc's linker.
    """
    if code.counted and not code.kernels:
        return False
    arch = code.arch.replace("lto_", "sm_")
    best = max((covers(arch, wanted) for wanted in archs), default=Cover.NOT)
    if code.kind == "ptx":
        named = {f"compute_{wanted.removeprefix('sm_')}" for wanted in archs}
        return best < Cover.PTX if least != Cover.EXACT else code.arch not in named
    if least == Cover.EXACT:
        return best < Cover.EXACT
    return best < Cover.COMPATIBLE


def described(code: Iterable[DeviceCode]) -> str:
    """Architectures in words; those without kernels are marked."""
    kernels: dict[str, int] = {}
    uncounted = set()
    for each in code:
        name = f"{each.arch} (relocatable)" if each.kind == "relocatable" else each.arch
        kernels[name] = kernels.get(name, 0) + each.kernels
        if not each.counted:
            uncounted.add(name)
    texts = [
        name if count or name in uncounted else f"{name} (empty)"
        for name, count in sorted(kernels.items())
    ]
    return ", ".join(texts) or "none"
