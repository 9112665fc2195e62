"""The compilers that CMake wrote down, read as the container does."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import farm.inside
from farm.inside import compilers

if TYPE_CHECKING:
    import pytest

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


def test_what_a_compiler_says_in_another_encoding_is_no_reason_to_stumble(tmp_path: Path) -> None:
    build = tmp_path / "build"
    path = tmp_path / "g++"
    path.write_bytes(b"#!/bin/sh\necho 'g++ (\xe9tendu) 14.2.0'\n")
    path.chmod(0o755)
    compiler(build, "CUDA", HOST_COMPILER=path)
    (build / "CMakeCache.txt").write_text("")
    _, host = run(tmp_path / "out", tmp_path)
    assert (host["family"], host["version"]) == ("GNU", "14.2.0")


def test_a_compiler_that_never_answers_is_given_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "g++"
    path.write_text("#!/bin/sh\nsleep 600\n")  # sh waits for it, and its pipe stays open
    path.chmod(0o755)
    monkeypatch.setattr(compilers, "TIMEOUT_S", 0.2)
    assert compilers.host(str(path))["version"] == ""


def test_why_there_is_no_evidence_is_noted_beside_what_the_step_said(tmp_path: Path) -> None:
    out = tmp_path / "out"
    (out / "compilers.json").mkdir(parents=True)
    (out / "status.json").write_text('{"exit_status": 0, "wheels": []}')
    argv = [sys.executable, str(PROGRAM), "--out", str(out), str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    status = json.loads((out / "status.json").read_text())
    assert done.returncode == compilers.EXIT_UNTOLD
    assert status["compilers"].startswith("IsADirectoryError: ")
    assert done.stderr == f"farm: compilers: {status.pop('compilers')}\n"
    assert status == {"exit_status": 0, "wheels": []}
