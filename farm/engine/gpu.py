"""The GPU of this machine, as a container that may use it gets it.

No container toolkit of a vendor is needed: the device nodes are handed in, and what
belongs to the driver of the running kernel is copied in, as such toolkits do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.host import programs

if TYPE_CHECKING:
    from collections.abc import Iterable

_DEVICES = {
    "cuda": ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm"),
    "rocm": ("kfd", "dri/renderD*"),
}
_ESSENTIAL = {"cuda": "nvidiactl", "rocm": "kfd"}
# What a CUDA program loads of the driver: its own door, and the compiler of PTX.
_DRIVER = {"cuda": r"libcuda\.so\.1|libnvidia-(?:ptxjitcompiler|nvvm|gpucomp)\.so\.[0-9.]+"}
_LOADER_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpu:
    """Device nodes as (on the host, in the container), and libraries of the driver."""

    devices: tuple[tuple[str, str], ...]
    libraries: tuple[Path, ...] = ()


def find_gpu(accelerator: str, *, dev: Path = Path("/dev")) -> Gpu | None:
    """The machine's GPUs for an accelerator; None if its driver shows none."""
    essential = _ESSENTIAL.get(accelerator)
    if essential is None or not (dev / essential).exists():
        return None
    nodes = sorted(path for glob in _DEVICES[accelerator] for path in dev.glob(glob))
    devices = tuple((str(path), f"/dev/{path.relative_to(dev)}") for path in nodes)
    return Gpu(devices=devices, libraries=tuple(_libraries(_DRIVER.get(accelerator))))


def _libraries(pattern: str | None) -> Iterable[Path]:
    """Libraries that the machine's loader knows by a name like this."""
    if pattern is None:
        return
    try:
        known = programs.run(("/sbin/ldconfig", "-p"), timeout_s=_LOADER_S).text
    except (programs.MissingProgramError, OSError):
        return
    for name, path in re.findall(r"^\s+(\S+) \(.*x86-64.*\) => (\S+)$", known, re.MULTILINE):
        if re.fullmatch(pattern, name):
            yield Path(path)
