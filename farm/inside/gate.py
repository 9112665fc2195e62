"""Put the gate in the place of every compiler, and take it away again.

``install`` compiles ``gate.c`` with the pinned host compiler and puts it where the
compilers lie, each of which stays beside it as ``NAME.real``: so it is met however a
build calls them, by name, by path, or by what CMake remembers.  ``remove`` undoes that.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXIT_BROKEN = 70
REAL = ".real"
COMPILER = re.compile(
    r"(?:[a-z0-9_]+-)*"  # x86_64-linux-gnu-
    r"(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|amdclang|amdclang\+\+|nvcc|rustc|gfortran)"
    r"(?:-[0-9.]+)?"
)
OF_C = re.compile(r"(?:gcc|clang|\bcc)(?:-[0-9.]+)?$")
VARIABLES = ("CC", "CXX", "CUDACXX", "CUDAHOSTCXX", "HIPCXX", "PYTORCH_NVCC", "RUSTC", "FC")
"""Those that name compilers, which need not be on PATH."""
ELF = b"\x7fELF"


class GateError(Exception):
    """The gate cannot be made or put in place."""


def compilers(folders: Iterable[Path], named: Iterable[str]) -> list[Path]:
    """Every compiler in the folders or named by path, each once, however many names it has.

    Scripts are left alone: what they call in their turn is found here as well.
    """
    found = [
        path
        for folder in folders
        if folder.is_dir()
        for path in sorted(folder.iterdir())
        if COMPILER.fullmatch(path.name)
    ]
    found += [path for path in map(Path, named) if path.is_absolute()]
    real = dict.fromkeys(path.resolve() for path in found if path.exists())
    return [path for path in real if is_program(path) and not path.name.endswith(REAL)]


def is_program(path: Path) -> bool:
    """Tell whether a file is an executable of its own, not a script."""
    if not path.is_file() or not os.access(path, os.X_OK):
        return False
    with path.open("rb") as file:
        return file.read(len(ELF)) == ELF


def made(source: Path, folder: Path, programs: Iterable[Path]) -> Path:
    """Compile the gate with the first compiler that takes it, best with the pinned one.

    Raises:
        GateError: None does.
    """
    gate, said = folder / "gate", "there is no compiler of C"
    pinned = shlex.split(os.environ.get("CC", ""))
    of_c = [[str(path)] for path in programs if OF_C.search(path.name)]
    for compiler in (pinned, *of_c):
        if not compiler:
            continue
        try:
            done = subprocess.run(
                [*compiler, "-O2", "-std=gnu11", "-o", str(gate), str(source)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                check=False,
            )
        except OSError as error:
            said = f"{compiler[0]}: {error.strerror}"
            continue
        if not done.returncode:
            return gate
        said = done.stdout.decode("utf-8", "replace").strip()[-500:]
    raise GateError(f"it cannot be compiled: {said}")


def install(source: Path, programs: Sequence[Path]) -> None:
    """Put the gate in the place of each compiler.

    Raises:
        GateError: It cannot be made.
        OSError: It cannot be put in place.
    """
    with tempfile.TemporaryDirectory() as folder:
        gate = made(source, Path(folder), programs)
        for program in programs:
            real = program.with_name(program.name + REAL)
            if real.exists():
                continue
            program.rename(real)
            shutil.copyfile(gate, program)
            program.chmod(0o755)


def remove(programs: Iterable[Path]) -> None:
    """Put each compiler back."""
    for program in programs:
        real = program.with_name(program.name + REAL)
        if real.exists():
            real.replace(program)


def main(arguments: Sequence[str]) -> int:
    """Install or remove the gate; return 0, or 70 if that cannot be done."""
    parser = argparse.ArgumentParser(prog="gate", description=__doc__)
    parser.add_argument("action", choices=("install", "remove"))
    options = parser.parse_args(arguments)
    folders = [Path(folder) for folder in os.environ.get("PATH", "").split(os.pathsep) if folder]
    named = [os.environ[name] for name in VARIABLES if os.environ.get(name)]
    programs = compilers(folders, named)
    try:
        if options.action == "remove":
            remove(programs)
        elif programs:
            install(Path(__file__).with_name("gate.c"), programs)
    except GateError as error:
        # No wheel depends on it: without it each build has its number of jobs, and no more.
        print(f"farm: compilers run without a gate: {error}", flush=True)
    except OSError as error:
        print(f"farm: error: gate: {error}", file=sys.stderr, flush=True)
        return EXIT_BROKEN
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
