"""Builds that give a wheel, or nearly, but not the one that was asked for.

No GPU is needed: compilers of device code run anywhere.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.farming import copy_project, sharing

if TYPE_CHECKING:
    from farm.engine.endpoint import Endpoint
    from tests.support.farming import Done, Told

pytestmark = pytest.mark.engine

LLAMA = "llama-cpp-python@0.2.44"
SO = "kernel/libkernel.so"
SABOTAGED = {
    "hostonly": f"{SO} holds no kernels for sm_86 .*; it holds sm_86 \\(empty\\), asked for sm_86",
    "fewer": f"{SO} holds no kernels for sm_90 .*; it holds compute_86, sm_86, asked for",
    "more": f"{SO} holds device code for compute_90a, sm_90a, which nobody asked for;",
    "rpath": f"{SO} has an RPATH into its builder: /opt/build/lib",
    "native": f"{SO} uses instructions that not every x86-64 processor has: avx",
    "dropped": r"does not hold kernel/_fast\.\*\.so, which the recipe expects",
    "tag": "has the tag py3-none-linux_x86_64; the recipe expects py3-none-any",
}
"""Variants that build without an error, and why each one's wheel must be refused."""


@pytest.fixture(scope="module")
def wrong(
    farm_cache: Path, private_engine: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Done:
    """One run of builds that would give a wheel, but not the one that was asked for."""
    del private_engine
    root = copy_project("accelerators", tmp_path_factory.mktemp("wrong") / "project")
    farm = sharing(farm_cache, root)
    units = ("kernel:cpu", "kernel:otherhost", "kernel:othernvcchost", "kernel:refused")
    refused = farm.build(*units)
    assert refused.code == 4
    assert "cuda-13.0 cannot compile for sm_61: sm_61 is known to cuda-12.4" in refused.stderr
    more = ("kernel:cuda130", *(f"kernel:{variant}" for variant in SABOTAGED))
    absent = ("llama-cpp-python:guarded", "llama-cpp-python:silent")
    return farm.build("--no-preflight", *units, *more, *absent)


def test_what_preflight_refuses_is_refused_by_the_real_compiler_too(wrong: Done) -> None:
    unit = "kernel@1.0:refused"
    (warning,) = wrong.of("Notice", unit)
    assert "built although it is known not to work: cuda-13.0 cannot compile" in warning["text"]
    ended: Told = wrong.ended(unit)
    assert (ended["outcome"], ended["exit_code"], ended["step"]) == ("failed", 9, "compile")
    assert "build kernel@1.0:refused " in ended["repeat"]
    assert ended["repeat"].endswith(" --no-preflight")
    # CMake quotes it in the midst of its own words.
    assert ended["message"] == "nvcc fatal   : Unsupported gpu architecture 'compute_61'"
    kept = json.loads((Path(ended["log"]).parent / "record.json").read_text(encoding="utf-8"))
    assert warning["text"].endswith(kept["refused"][0])


def test_a_toolkit_that_is_not_there_ends_the_build_at_the_warning(wrong: Done) -> None:
    ended: Told = wrong.ended(f"{LLAMA}:guarded")
    assert (ended["outcome"], ended["exit_code"], ended["step"]) == ("failed", 9, "compile")
    assert (
        "the build printed what its recipe forbids: hipBLAS or HIP not found" in ended["message"]
    )
    compiled = [e for e in wrong.of("StepOutput", f"{LLAMA}:guarded") if "ggml.c.o" in e["line"]]
    assert compiled == []


def test_the_same_build_without_that_guard_ends_well_and_its_wheel_is_refused(wrong: Done) -> None:
    ended: Told = wrong.ended(f"{LLAMA}:silent")
    said = (Path(ended["log"]).parent / "compile.log").read_text(encoding="utf-8")
    assert "hipBLAS or HIP not found" in said
    assert "Successfully built llama_cpp_python" in said
    assert (ended["outcome"], ended["exit_code"], ended["step"]) == ("failed", 10, "check")
    (detail,) = ended["details"]
    assert detail.startswith("no module holds kernels for gfx942, gfx1150; the wheel holds none,")


@pytest.mark.parametrize(
    ("variant", "language"), [("otherhost", "CXX"), ("othernvcchost", "CUDA host")]
)
def test_another_compiler_than_the_pinned_one_is_seen_and_refused(
    wrong: Done, variant: str, language: str
) -> None:
    assert wrong.ended("kernel@1.0:cpu")["outcome"] == "built"
    ended = wrong.ended(f"kernel@1.0:{variant}")
    assert (ended["outcome"], ended["exit_code"], ended["step"]) == ("failed", 10, "check")
    (detail,) = ended["details"]
    assert f"compiled {language} with /usr/bin/g++-13 (GNU 13." in detail
    assert detail.endswith("the toolchain pins gcc-14")


@pytest.mark.parametrize("variant", SABOTAGED)
def test_a_wheel_that_is_not_what_was_asked_for_is_refused_with_its_reason(
    wrong: Done, variant: str
) -> None:
    assert wrong.ended("kernel@1.0:cuda130")["outcome"] == "built"
    ended = wrong.ended(f"kernel@1.0:{variant}")
    assert (ended["outcome"], ended["exit_code"], ended["step"]) == ("failed", 10, "check")
    (detail,) = ended["details"]
    assert re.match(SABOTAGED[variant], detail), detail
