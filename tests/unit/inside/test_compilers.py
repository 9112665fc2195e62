"""The compilers that CMake wrote down, read as the container does."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import farm.inside

PROGRAM = Path(farm.inside.__file__).parent / "compilers.py"


def run(out: Path, *roots: Path) -> list[dict[str, str]]:
    out.mkdir(exist_ok=True)
    argv = [sys.executable, str(PROGRAM), "--out", str(out), *map(str, roots)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    found: list[dict[str, str]] = json.loads((out / "compilers.json").read_text())
    return found


def compiler(folder: Path, language: str, **values: Any) -> None:
    """A file as CMake writes it."""
    path = folder / "CMakeFiles/4.4.4" / f"CMake{language}Compiler.cmake"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [f'set(CMAKE_{language}_{name} "{value}")' for name, value in values.items()]
    path.write_text("\n".join(lines) + '\nset(CMAKE_OTHER "x")\n')


def program(path: Path, first_line: str) -> str:
    path.write_text(f"#!/bin/sh\necho '{first_line}'\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def test_a_tree_without_cmake_leaves_an_empty_list(tmp_path: Path) -> None:
    assert run(tmp_path / "out", tmp_path) == []
    assert run(tmp_path / "out", tmp_path / "nowhere") == []


def test_every_language_of_every_build_folder_is_named(tmp_path: Path) -> None:
    gcc = program(tmp_path / "g++-14", "g++-14 (Debian 14.2.0-19) 14.2.0")
    other = program(tmp_path / "clang", "Debian clang version 19.1.7 (3+b1)")
    build = tmp_path / "x/build"
    values = {"COMPILER": gcc, "COMPILER_ID": "GNU", "COMPILER_VERSION": "14.2.0"}
    compiler(build, "CXX", **values)
    compiler(build, "CUDA", COMPILER="/n/nvcc", COMPILER_ID="NVIDIA",
             COMPILER_VERSION="13.0.88", HOST_COMPILER=gcc)  # fmt: skip
    (build / "CMakeCache.txt").write_text(
        "//comment\nCMAKE_CUDA_ARCHITECTURES:UNINITIALIZED=86\nCMAKE_CUDA_FLAGS:STRING=\n"
    )
    rules = build / "CMakeFiles/rules.ninja"
    rules.write_text(f"rule CUDA\n  command = nvcc -ccbin={other} $DEFINES -c $in\n")
    found = run(tmp_path / "out", tmp_path)
    host = {"folder": str(build), "language": "CUDA host"}
    assert found == [
        {"folder": str(build), "language": "CUDA", "path": "/n/nvcc", "family": "NVIDIA",
         "version": "13.0.88", "archs": "86"},
        host | {"path": other, "family": "Clang", "version": "19.1.7"},
        host | {"path": gcc, "family": "GNU", "version": "14.2.0"},
        {"folder": str(build), "language": "CXX", "path": gcc, "family": "GNU",
         "version": "14.2.0", "archs": ""},
    ]  # fmt: skip


def test_what_make_is_told_counts_too_and_a_program_that_has_gone_has_no_version(
    tmp_path: Path,
) -> None:
    build = tmp_path / "build"
    compiler(build, "CUDA", COMPILER="/n/nvcc", COMPILER_ID="NVIDIA", COMPILER_VERSION="13.0.88")
    (build / "CMakeCache.txt").write_text("")
    rules = build / "CMakeFiles/x.dir/build.make"
    rules.parent.mkdir()
    rules.write_text("\t/n/nvcc -ccbin /gone/g++-13 -c x.cu\n")
    _, host = run(tmp_path / "out", tmp_path)
    assert (host["path"], host["family"], host["version"]) == ("/gone/g++-13", "", "")
