"""Device code by other toolkits than those that llama.cpp is built with.

No GPU is needed: compilers of device code run anywhere.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.attest.sbom import embedded
from tests.support.attesting import valid_sbom
from tests.support.farming import copy_project, sharing

if TYPE_CHECKING:
    from tests.support.farming import Done

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("private_engine")]

SO = "kernel/libkernel.so"
TOOLKITS = {
    "cuda132": ("NVIDIA 13.2.", {"sm_86"}),
    "rocm57": ("Clang 17.", {"gfx942", "gfx1150"}),
}
"""Variants of toolchains, what compiled their device code, and for which architectures."""


@pytest.fixture(scope="module")
def toolkits(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Done:
    root = copy_project("accelerators", tmp_path_factory.mktemp("toolkits") / "project")
    return sharing(farm_cache, root).build(*(f"kernel:{name}" for name in TOOLKITS))


@pytest.mark.parametrize("variant", TOOLKITS)
def test_every_toolkit_makes_kernels_for_what_was_asked_for(toolkits: Done, variant: str) -> None:
    ended = toolkits.ended(f"kernel@1.0:{variant}")
    assert ended["outcome"] == "built"
    (wheel,) = ended["wheels"]
    kept = json.loads((Path(wheel).parent / "record.json").read_text(encoding="utf-8"))
    compiler, archs = TOOLKITS[variant]
    used = {c["language"]: f"{c['family']} {c['version']}" for c in kept["compilers"]}
    assert used.get("CUDA", used.get("HIP", "")).startswith(compiler)
    (module,) = (m for m in kept["contents"]["modules"] if m["path"] == SO)
    found = {c["arch"] for c in module["device_code"] if c["kernels"]}
    assert found >= archs


def test_the_static_library_of_cudas_runtime_is_listed_in_the_sbom(toolkits: Done) -> None:
    (wheel,) = toolkits.ended("kernel@1.0:cuda132")["wheels"]
    (runtime,) = valid_sbom(embedded(Path(wheel)))["components"]
    assert runtime["purl"].startswith("pkg:pypi/nvidia-cuda-runtime@13.2.")
    files = {each["name"]: each["hashes"][0]["content"] for each in runtime["components"]}
    assert files.keys() == {"libcudadevrt.a", "libcudart_static.a"}
