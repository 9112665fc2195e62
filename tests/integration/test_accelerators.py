"""A package with device code for real, for two accelerators at once.

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
from typing import Any

import pytest
from elftools.elf.elffile import ELFFile

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("private_engine")]

FARM = Path(sys.executable).with_name("farm")
ROOT = Path(__file__).parent.parent.parent
LLAMA = "llama-cpp-python@0.2.44"
DEVICE_CODE = {"cuda": (".nv_fatbin", {"sm_86"}), "rocm": (".hip_fatbin", {"gfx942", "gfx1150"})}
VARIANTS = sorted(DEVICE_CODE)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory, own_results: Path) -> Path:
    """Where both accelerators' wheels lie, built in one run."""
    folder = tmp_path_factory.mktemp("out")
    argv = [str(FARM), "-C", str(ROOT), "build", *(f"{LLAMA}:{name}" for name in VARIANTS)]
    argv += ["--engine", "private", "--progress", "plain", "--output-dir", str(folder)]
    environment = {"FARM_CACHE_DIR": str(own_results), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
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
