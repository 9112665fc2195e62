"""Make a folder of unpacked CUDA wheels a CUDA_HOME that compilers and linkers accept.

The wheels of the package index hold everything that nvcc needs but three things that an
installer would add: executable bits (zip extraction drops them), the unversioned ``.so``
links that ``-lcudart`` looks for with the ``lib64`` that nvcc.profile names, and the stub of
the driver's libcuda.so.1, which no wheel holds since it belongs to the driver.

Running it again changes nothing.  ``CC`` names the pinned host compiler.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXIT_UNUSABLE = 69

STUB_RESULT = 999
"""CUDA_ERROR_UNKNOWN of cuda.h: what each function of the stub returns."""

_PROGRAM_FOLDERS = ("bin", "nvvm/bin")
_VERSIONED = re.compile(r"(?P<plain>.+\.so)\.(?P<version>[0-9]+(?:\.[0-9]+)*)")
# Each function of the driver returns a CUresult; preprocessed, cuMemAlloc has become the
# cuMemAlloc_v2 that programs really link to.
_FUNCTION = re.compile(r"\bCUresult\s+(cu[A-Z][A-Za-z0-9_]*)\s*\(")


class UnusableError(Exception):
    """The folder cannot be made a toolkit."""


def make_executable(home: Path) -> None:
    """Set the executable bits of the programs, which cicc and ptxas are besides nvcc.

    Raises:
        UnusableError: There is no nvcc.
    """
    if not (home / "bin/nvcc").is_file():
        raise UnusableError(f"no bin/nvcc in {home}: the wheel nvidia-cuda-nvcc was not unpacked")
    for folder in _PROGRAM_FOLDERS:
        for path in sorted((home / folder).glob("*")):
            if path.is_file() and not path.is_symlink():
                path.chmod(0o755)


def plain_links(names: Iterable[str]) -> dict[str, str]:
    """Return the missing ``libX.so`` and the versioned name, the highest, that each points to."""
    present = set(names)
    best: dict[str, tuple[tuple[int, ...], str]] = {}
    for name in present:
        match = _VERSIONED.fullmatch(name)
        if match is None or match["plain"] in present:
            continue
        version = tuple(int(part) for part in match["version"].split("."))
        best[match["plain"]] = max(best.get(match["plain"], ((), "")), (version, name))
    return {plain: name for plain, (_, name) in sorted(best.items())}


def link_libraries(home: Path) -> None:
    """Add the links ``lib/libX.so`` and ``lib64``.

    Raises:
        UnusableError: There is no lib, or lib64 is something else.
    """
    lib, lib64 = home / "lib", home / "lib64"
    if not lib.is_dir():
        raise UnusableError(f"no lib in {home}: the wheel nvidia-cuda-runtime was not unpacked")
    for plain, target in plain_links(path.name for path in lib.iterdir()).items():
        (lib / plain).symlink_to(target)
    if not os.path.lexists(lib64):
        lib64.symlink_to("lib")
    elif lib64.resolve() != lib.resolve():
        raise UnusableError(f"{lib64} exists and is not a link to lib")


def host_compiler() -> list[str]:
    """Return the command of the pinned host compiler.

    Raises:
        UnusableError: CC is not set.
    """
    command = shlex.split(os.environ.get("CC", ""))
    if not command:
        raise UnusableError("CC is not set; it must name the pinned host compiler")
    return command


def compile_text(command: Sequence[str], *, text: str = "") -> str:
    """Run the compiler with a source on its standard input; return what it prints.

    Raises:
        UnusableError: It cannot be run, or it fails.
    """
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, encoding="utf-8"
        )
    except OSError as error:
        raise UnusableError(f"the host compiler {command[0]!r} cannot be run: {error}") from error
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-20:])
        raise UnusableError(f"{shlex.join(command)} ended with {done.returncode}:\n{last}")
    return done.stdout


def driver_functions(home: Path, compiler: Sequence[str]) -> list[str]:
    """Return the names of the functions that cuda.h declares, sorted.

    Raises:
        UnusableError: There is no cuda.h, it cannot be preprocessed, or it declares none.
    """
    header = home / "include/cuda.h"
    if not header.is_file():
        raise UnusableError(f"no {header}: the wheel nvidia-cuda-runtime was not unpacked")
    text = compile_text([*compiler, "-E", "-P", f"-I{header.parent}", str(header)])
    names = sorted(set(_FUNCTION.findall(text)))
    if not names:
        raise UnusableError(f"{header} declares no function 'CUresult cu…(': is it a cuda.h?")
    return names


def make_stub(home: Path) -> int:
    """Compile ``lib/stubs/libcuda.so``; return how many functions it has.

    Code that uses the driver links with ``-lcuda``.  The soname is the real library's, which
    is what gets loaded where there is a driver.

    Raises:
        UnusableError: The header or the compiler fails.
    """
    compiler = host_compiler()
    names = driver_functions(home, compiler)
    stub = home / "lib/stubs/libcuda.so"
    stub.parent.mkdir(exist_ok=True)
    new = stub.with_name(".libcuda.so.new")
    source = "".join(f"int {name}(void) {{ return {STUB_RESULT}; }}\n" for name in names)
    flags = ["-shared", "-fPIC", "-O1", "-Wl,-soname,libcuda.so.1", "-o", str(new)]
    try:
        compile_text([*compiler, *flags, "-x", "c", "-"], text=source)
        new.replace(stub)
    finally:
        new.unlink(missing_ok=True)
    return len(names)


def main(arguments: Sequence[str]) -> int:
    """Make the folder usable; return 0, or 69 with one line or more that say why not."""
    parser = argparse.ArgumentParser(prog="toolkit", description=__doc__)
    parser.add_argument("home", type=Path, help="the folder that holds bin, include and lib")
    options = parser.parse_args(arguments)
    os.umask(0o022)
    home = options.home.absolute()
    try:
        make_executable(home)
        link_libraries(home)
        count = make_stub(home)
    except (UnusableError, OSError) as error:
        print(f"farm: error: toolkit: {error}", file=sys.stderr, flush=True)
        return EXIT_UNUSABLE
    print(f"{home}: programs, library links and a libcuda stub of {count} functions", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
