"""Variables that a recipe or toolchain cannot set, since farm sets them or depends on them.

In a Dockerfile ENV wins over ARG and over what an earlier stage has set: a recipe's
value would silently beat farm's own, or the user's.
"""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator

from farm.model.strict import EnvName

_JOBS = "say jobs.memory_per_job; the user's MAX_JOBS and NVCC_THREADS win"
_CRATES = "farm makes cargo take the staged crates alone: say crates"
_MODULES = "say requires for modules of the build; what setup.py imports is a matter of an edit"
_LOADER = "it would change farm's own programs too: set it in the source, by an edit or a patch"

RESERVED: Final = {
    "FARM_*": "call it otherwise",
    "MAX_JOBS": _JOBS,
    "NVCC_THREADS": _JOBS,
    "CMAKE_BUILD_PARALLEL_LEVEL": _JOBS,
    "CARGO_BUILD_JOBS": _JOBS,
    "SOURCE_DATE_EPOCH": "it is the same for every build, so that bytes are",
    "LC_ALL": "it is the same for every build, so that bytes are",
    "PATH": "name a program by its path; the toolkit's and the build environment's are found",
    "VIRTUAL_ENV": "say requires: what is locked is installed there",
    "HOME": "name the variable of the program that looks for its files there",
    "PIP_*": "say requires, which is locked; of pip's settings only PIP_CONFIG_SETTINGS is free",
    "PYTHONPATH": _MODULES,
    "PYTHONHOME": _MODULES,
    "PYTHONUSERBASE": _MODULES,
    "PYTHONSTARTUP": _MODULES,
    "LD_PRELOAD": _LOADER,
    "LD_AUDIT": _LOADER,
    "CARGO_HOME": _CRATES,
    "CARGO_NET_*": _CRATES,
}
"""What is reserved (``*`` stands for any end of a name), each with what to do instead."""
_FREE: Final = {"PIP_CONFIG_SETTINGS"}
_PREFIXES: Final = tuple(name[:-1] for name in RESERVED if name.endswith("*"))


def reserved(name: str) -> str:
    """What to do instead of setting a variable; empty if it may be set."""
    if name.startswith(_PREFIXES) and name not in _FREE:
        name = next(f"{prefix}*" for prefix in _PREFIXES if name.startswith(prefix))
    return RESERVED.get(name, "")


def _settable(name: str) -> str:
    instead = reserved(name)
    if instead:
        raise ValueError(f"{name} is farm's own to set; {instead}")
    return name


Settable = Annotated[EnvName, AfterValidator(_settable)]
"""The name of a variable that a recipe or toolchain may set."""
