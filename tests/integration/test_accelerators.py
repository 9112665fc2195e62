"""Wheels with device code for real, and builds that would come without it.

No GPU is needed: compilers of device code run anywhere.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from elftools.elf.elffile import ELFFile

from tests.support.farming import copy_project, sharing

if TYPE_CHECKING:
    from farm.engine.endpoint import Endpoint
    from tests.support.farming import Done, Told

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("private_engine")]

FARM = Path(sys.executable).with_name("farm")
ROOT = Path(__file__).parent.parent.parent
LLAMA = "llama-cpp-python@0.2.44"
DEVICE_CODE = {"cuda": (".nv_fatbin", {"sm_86"}), "rocm": (".hip_fatbin", {"gfx942", "gfx1150"})}
VARIANTS = sorted(DEVICE_CODE)
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
TOOLKITS = {
    "cuda132": ("NVIDIA 13.2.", {"sm_86"}),
    "rocm57": ("Clang 17.", {"gfx942", "gfx1150"}),
}
"""Variants of toolchains, what compiled their device code, and for which architectures."""


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, farm_cache: Path) -> Path:
    """Where both accelerators' wheels lie, built in one run."""
    folder = tmp_path_factory.mktemp("out")
    argv = [str(FARM), "-C", str(ROOT), "build", *(f"{LLAMA}:{name}" for name in VARIANTS)]
    argv += ["--engine", "private", "--progress", "plain", "--output-dir", str(folder)]
    environment = {"FARM_CACHE_DIR": str(farm_cache), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return folder


def result(out: Path, variant: str) -> Path:
    return out / "llama-cpp-python-0.2.44" / variant


def record(out: Path, variant: str) -> dict[str, Any]:
    text = (result(out, variant) / "record.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def device_code(wheel: Path, section: str) -> dict[str, set[str]]:
    """The architectures that the section of each shared object names, those without left out."""
    found = {}
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            if not data.startswith(b"\x7fELF"):
                continue
            part = ELFFile(io.BytesIO(data)).get_section_by_name(section)
            if part is not None:
                names = re.findall(rb"sm_[0-9]+[a-z]?|gfx[0-9a-f]+", part.data())
                found[name] = {text.decode() for text in names}
    return found


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_wheel_holds_device_code_for_what_was_asked_for(out: Path, variant: str) -> None:
    (wheel,) = result(out, variant).glob("*.whl")
    section, archs = DEVICE_CODE[variant]
    found = device_code(wheel, section)
    assert {"llama_cpp/libllama.so", "lib/libggml_shared.so"} <= set(found)
    assert all(named == archs for named in found.values())


def test_the_record_says_what_nvcc_really_called(out: Path) -> None:
    used = {c["language"]: c for c in record(out, "cuda")["compilers"]}
    assert set(used) == {"C", "CXX", "CUDA", "CUDA host"}
    assert (used["CUDA"]["family"], used["CUDA"]["archs"]) == ("NVIDIA", "86")
    assert used["CUDA host"]["path"] == "/usr/bin/g++-14"
    assert used["CUDA host"]["version"].startswith("14.")


def test_the_record_says_which_clang_compiled_for_hip(out: Path) -> None:
    used = {c["language"]: c for c in record(out, "rocm")["compilers"]}
    assert used["CXX"]["path"] == "/usr/bin/clang++-21"
    assert (used["CXX"]["family"], used["CXX"]["version"].partition(".")[0]) == ("Clang", "21")


@pytest.mark.parametrize("variant", VARIANTS)
def test_both_import_where_no_gpu_and_no_driver_is(out: Path, variant: str) -> None:
    tried = record(out, variant)["smoke_test"]
    assert [each["what"] for each in tried["passed"]] == ["import llama_cpp", "script"]
    log = (result(out, variant) / "logs" / "smoke-test.log").read_text(encoding="utf-8")
    assert "BLAS = 1" in log  # what the CPU's wheel says 0 of
    assert tried["stubs"] == {"cuda": ["libcuda.so.1"], "rocm": []}[variant]


def test_both_were_built_from_hashes_alone(out: Path) -> None:
    assert [record(out, variant)["hermetic"] for variant in VARIANTS] == [True, True]


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
    assert ended["repeat"].endswith("build kernel@1.0:refused --no-preflight")
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


@pytest.mark.parametrize("variant", SABOTAGED)
def test_a_wheel_that_is_not_what_was_asked_for_is_refused_with_its_reason(
    wrong: Done, variant: str
) -> None:
    assert wrong.ended("kernel@1.0:cuda130")["outcome"] == "built"
    ended = wrong.ended(f"kernel@1.0:{variant}")
    assert (ended["outcome"], ended["exit_code"], ended["step"]) == ("failed", 10, "check")
    (detail,) = ended["details"]
    assert re.match(SABOTAGED[variant], detail), detail


def test_farm_check_passes_the_real_wheels_and_refuses_one_that_was_tampered_with(
    out: Path, tmp_path: Path
) -> None:
    wheels = {v: next(result(out, v).glob("*.whl")) for v in VARIANTS}
    for variant, wheel in wheels.items():
        check = [str(FARM), "-C", str(ROOT), "check", str(wheel), "--as", f"{LLAMA}:{variant}"]
        done = subprocess.run(check, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    tampered = tmp_path / wheels["cuda"].name
    with zipfile.ZipFile(wheels["cuda"]) as source, zipfile.ZipFile(tampered, "w") as target:
        for info in source.infolist():
            data = source.read(info)
            changed = info.filename == "llama_cpp/llama.py"
            target.writestr(info, data + b"\n# changed" if changed else data)
    done = subprocess.run(
        [str(FARM), "check", str(tampered)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 10, done.stdout + done.stderr
    assert "llama_cpp/llama.py" in done.stdout + done.stderr
