"""Which device nodes and which of the driver's libraries a container with a GPU gets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.engine.gpu import find_gpu

if TYPE_CHECKING:
    from pathlib import Path


def machine(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder


@pytest.mark.parametrize(
    ("accelerator", "names"),
    [
        ("cuda", ()),
        ("cuda", ("kfd", "dri/renderD128")),
        ("cuda", ("nvidia0",)),  # without its door, the driver is not loaded
        ("rocm", ("nvidiactl", "nvidia0")),
        ("cpu", ("nvidiactl", "kfd")),
        ("none", ("nvidiactl", "kfd")),
    ],
)
def test_a_machine_without_a_fitting_driver_has_none(
    tmp_path: Path, accelerator: str, names: tuple[str, ...]
) -> None:
    assert find_gpu(accelerator, dev=machine(tmp_path, *names)) is None


def test_nvidia_has_a_door_a_memory_manager_and_a_node_for_each_gpu(tmp_path: Path) -> None:
    names = ("nvidiactl", "nvidia0", "nvidia1", "nvidia-uvm", "nvidia-modeset", "null")
    found = find_gpu("cuda", dev=machine(tmp_path, *names))
    assert found is not None
    assert [inside for _, inside in found.devices] == [
        "/dev/nvidia-uvm", "/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl",
    ]  # fmt: skip
    assert found.devices[1][0] == str(tmp_path / "nvidia0")


def test_amd_has_one_door_and_a_node_for_each_gpu(tmp_path: Path) -> None:
    found = find_gpu("rocm", dev=machine(tmp_path, "kfd", "dri/card0", "dri/renderD128"))
    assert found is not None
    assert [inside for _, inside in found.devices] == ["/dev/dri/renderD128", "/dev/kfd"]
    assert found.libraries == ()
