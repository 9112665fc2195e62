"""Making a CUDA_HOME of unpacked wheels: what is added, and what is refused."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from farm.inside import toolkit
from farm.inside.toolkit import main, plain_links

HEADER = """
#include <stddef.h>
#define CUDAAPI
#define cuMemAlloc cuMemAlloc_v2
typedef enum { CUDA_SUCCESS = 0 } CUresult;
typedef CUresult (*cuCallback)(int);
CUresult CUDAAPI cuInit(unsigned int flags);
CUresult CUDAAPI cuMemAlloc(void **pointer, size_t bytes);
CUresult CUDAAPI
cuLinkComplete(void *state);
#ifdef NOT_HERE
CUresult CUDAAPI cuNotHere(void);
#endif
static inline int cudaHelper(void) { return 0; }
"""

needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the wheels leave: no executable bit, no link, no stub."""
    monkeypatch.setenv("CC", "cc")
    folder = tmp_path / "cu13"
    files = {
        "bin/nvcc": "#!/bin/sh\necho compiled\n",
        "bin/crt/link.stub": "text",
        "nvvm/bin/cicc": "#!/bin/sh\n",
        "include/cuda.h": HEADER,
        "lib/libcudart.so.13": "library",
        "lib/libcudart_static.a": "archive",
    }
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o644)
    return folder


def listing(folder: Path) -> dict[str, tuple[int, str | bytes]]:
    """Mode and content (or target) of everything below a folder."""
    return {
        str(path.relative_to(folder)): (
            path.lstat().st_mode,
            str(path.readlink()) if path.is_symlink() else path.read_bytes(),
        )
        for path in sorted(folder.rglob("*"))
        if path.is_symlink() or path.is_file()
    }


@needs_compiler
def test_programs_run_and_other_files_stay_as_they_are(home: Path) -> None:
    assert main([str(home)]) == 0
    done = subprocess.run([home / "bin/nvcc"], capture_output=True, text=True, check=True)
    assert done.stdout == "compiled\n"
    assert os.access(home / "nvvm/bin/cicc", os.X_OK)
    assert (home / "bin/crt/link.stub").stat().st_mode & 0o777 == 0o644


@needs_compiler
def test_libraries_get_their_plain_names_and_lib64(home: Path) -> None:
    assert main([str(home)]) == 0
    assert (home / "lib/libcudart.so").readlink() == Path("libcudart.so.13")
    assert (home / "lib64/libcudart.so").read_text() == "library"


@needs_compiler
def test_the_stub_has_the_functions_of_the_preprocessed_header(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main([str(home)]) == 0
    assert "3 functions" in capfd.readouterr().out
    stub = ctypes.CDLL(str(home / "lib/stubs/libcuda.so"))
    assert [stub.cuInit(0), stub.cuMemAlloc_v2(None, 1), stub.cuLinkComplete(None)] == [999] * 3
    for absent in ("cuNotHere", "cuMemAlloc", "cuCallback"):
        assert not hasattr(stub, absent)


@needs_compiler
def test_what_links_with_the_stub_asks_for_the_drivers_library(home: Path, tmp_path: Path) -> None:
    assert main([str(home)]) == 0
    program = tmp_path / "program"
    code = "int cuInit(unsigned); int main(void) { return cuInit(0) != 999; }"
    subprocess.run(
        ["cc", "-x", "c", "-", f"-L{home}/lib64/stubs", "-lcuda", "-o", program],
        input=code, text=True, check=True,
    )  # fmt: skip
    assert b"libcuda.so.1\0" in program.read_bytes()
    lone = subprocess.run([program], capture_output=True, text=True, check=False)
    assert "libcuda.so.1" in lone.stderr
    (tmp_path / "libcuda.so.1").symlink_to(home / "lib/stubs/libcuda.so")
    environment = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    assert subprocess.run([program], env=environment, check=False).returncode == 0


@needs_compiler
def test_running_it_again_changes_nothing(home: Path) -> None:
    assert main([str(home)]) == 0
    first = listing(home)
    assert main([str(home)]) == 0
    assert listing(home) == first


def test_the_highest_version_wins_and_a_plain_name_is_left_alone() -> None:
    names = ["liba.so.9.2", "liba.so.10", "liba.so.9", "libb.so", "libb.so.1", "libc.a", "d.so.x"]
    assert plain_links(names) == {"liba.so": "liba.so.10"}


@pytest.mark.parametrize("absent", ["bin/nvcc", "lib", "include/cuda.h"])
def test_a_missing_part_is_named_with_its_wheel(
    home: Path, capfd: pytest.CaptureFixture[str], absent: str
) -> None:
    (home / absent).rename(home / "moved")
    assert main([str(home)]) == toolkit.EXIT_UNUSABLE
    error = capfd.readouterr().err
    assert absent in error
    assert "nvidia-cuda-" in error


def test_a_lib64_of_its_own_is_refused(home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (home / "lib64").mkdir()
    assert main([str(home)]) == toolkit.EXIT_UNUSABLE
    assert "lib64 exists and is not a link to lib" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("compiler", "words"),
    [("", "CC is not set"), ("no-such-compiler-9", "no-such-compiler-9"), ("false", "ended with")],
)
def test_a_compiler_that_fails_is_named(
    home: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    compiler: str,
    words: str,
) -> None:
    monkeypatch.setenv("CC", compiler)
    assert main([str(home)]) == toolkit.EXIT_UNUSABLE
    assert words in capfd.readouterr().err
    assert not (home / "lib/stubs/libcuda.so").exists()


@needs_compiler
def test_a_header_without_functions_is_no_cuda_header(
    home: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (home / "include/cuda.h").write_text("int nothing;\n")
    assert main([str(home)]) == toolkit.EXIT_UNUSABLE
    assert "is it a cuda.h?" in capfd.readouterr().err


@needs_compiler
def test_it_runs_as_a_script_with_nothing_but_the_standard_library(home: Path) -> None:
    script = Path(toolkit.__file__)
    command = [sys.executable, "-I", "-S", str(script), str(home)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
