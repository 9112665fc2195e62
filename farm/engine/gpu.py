"""The GPU of this machine, and a container that may use it.

No container toolkit of a vendor is needed: the device nodes are handed in, and what
belongs to the driver of the running kernel is copied in, as such toolkits do.
"""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.engine.images import docker
from farm.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from farm.engine.endpoint import Endpoint

_DEVICES = {
    "cuda": ("nvidia[0-9]*", "nvidiactl", "nvidia-uvm"),
    "rocm": ("kfd", "dri/renderD*"),
}
_ESSENTIAL = {"cuda": "nvidiactl", "rocm": "kfd"}
# What a CUDA program loads of the driver: its own door, and the compiler of PTX.
_DRIVER = {"cuda": r"libcuda\.so\.1|libnvidia-(?:ptxjitcompiler|nvvm|gpucomp)\.so\.[0-9.]+"}


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
        known = subprocess.run(
            ["/sbin/ldconfig", "-p"], capture_output=True, text=True, check=False
        ).stdout
    except OSError:
        return
    for name, path in re.findall(r"^\s+(\S+) \(.*x86-64.*\) => (\S+)$", known, re.MULTILINE):
        if re.fullmatch(pattern, name):
            yield Path(path)


@dataclass(frozen=True, slots=True, kw_only=True)
class Script:
    """Python to run in a container of an image.

    ``driver`` is the folder in which its loader finds the driver's libraries.
    """

    image: str
    text: str
    driver: str
    timeout_s: float


def run_with_gpu(endpoint: Endpoint, gpu: Gpu, script: Script) -> tuple[int, str]:
    """Run a script in a container of its own; returns its status and all that it printed.

    It comes through standard input, so that the engine need not see our files.

    Raises:
        EngineError: The container cannot be made or started, or does not end in time.
    """
    devices = [word for pair in gpu.devices for word in ("--device", ":".join(pair))]
    argv = ["create", "--interactive", "--network=none", *devices, script.image]
    name = _docker(endpoint, *argv, "/opt/venv/bin/python", "-I", "-B", "-").strip()
    try:
        for library in gpu.libraries:
            target = f"{name}:{script.driver}/{library.name}"
            _docker(endpoint, "cp", "--follow-link", str(library), target)
        done = subprocess.run(
            [*endpoint.docker, "start", "--attach", "--interactive", name],
            input=script.text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            env=endpoint.environment(),
            timeout=script.timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"the GPU script did not end within {script.timeout_s:.0f} s") from None
    finally:
        _docker(endpoint, "rm", "--force", name)
    return done.returncode, done.stdout


def remove_image(endpoint: Endpoint, image: str) -> None:
    """Take an image's name away; its layers stay in the build cache."""
    _docker(endpoint, "rmi", image)


def _docker(endpoint: Endpoint, *arguments: str) -> str:
    done = docker(endpoint, *arguments)
    if done.returncode:
        raise EngineError(
            f"the engine {endpoint.name} cannot run a container with a GPU",
            hint="the GPU must be on the machine that the engine runs on; see farm doctor",
            details=done.stderr.strip().splitlines()[-5:],
        )
    return done.stdout
