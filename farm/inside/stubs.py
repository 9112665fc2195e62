"""Make empty libraries in the place of those that need hardware, or are far too large.

A library that comes with a GPU's driver is on no machine that only builds.  To find out
whether everything else of a wheel can be loaded, an empty one stands in for it: of the
same name, with every function that the libraries which need it do not find elsewhere.

``CC`` names the compiler; ``nm`` and ``objdump`` are those of its binutils.
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
    from collections.abc import Iterator, Sequence

EXIT_UNUSABLE = 69
RESULT = 999
"""What every function returns: CUDA_ERROR_UNKNOWN of cuda.h, hipErrorUnknown of HIP."""
STUBS = "stubs"
MAGIC = b"\x7fELF"
_FIELD = re.compile(r"^ +(NEEDED|SONAME) +(\S+)", re.MULTILINE)
_SYMBOL = re.compile(r"^\S* +([A-Za-z]) ([A-Za-z_$.][A-Za-z0-9_$.]*)(?:@\S+)?$", re.MULTILINE)


class UnusableError(Exception):
    """A library cannot be made."""


class Library:
    """A shared object: which it needs, and what it is called."""

    def __init__(self, path: Path) -> None:
        fields = _FIELD.findall(said(["objdump", "-p", str(path)]))
        self.path = path
        self.needed = [name for kind, name in fields if kind == "NEEDED"]
        self.names = {path.name, *(name for kind, name in fields if kind == "SONAME")}

    def symbols(self, which: str) -> set[str]:
        """Names of the dynamic symbols that are ``--undefined-only`` or ``--defined-only``.

        One that may be missing (weak: ``w`` and ``v`` of nm) is not asked for.
        """
        found = _SYMBOL.findall(said(["nm", "-D", which, str(self.path)]))
        return {name for kind, name in found if kind not in {"w", "v"}}


def said(command: Sequence[str], text: str = "") -> str:
    """Return what a program prints.

    Raises:
        UnusableError: It cannot be run, or it fails.
    """
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, check=False, errors="replace"
        )
    except OSError as error:
        raise UnusableError(f"{command[0]!r} cannot be run: {error}") from error
    if done.returncode:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise UnusableError(f"{shlex.join(command)} ended with {done.returncode}: {last}")
    return done.stdout


def libraries(roots: Sequence[Path]) -> Iterator[Library]:
    """Return every shared object below the folders; links lead to what is found anyway."""
    for root in roots:
        for folder, folders, names in os.walk(root):
            folders[:] = sorted(set(folders) - {STUBS})  # to link with: no loader looks there
            for name in sorted(names):
                path = Path(folder) / name
                if ".so" in name and not path.is_symlink() and is_elf(path):
                    yield Library(path)


def is_elf(path: Path) -> bool:
    """Tell whether a file is an object; a linker script may be called ``.so`` too."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def missing(name: str, found: Sequence[Library]) -> set[str]:
    """Return the functions that those who need a library find nowhere else."""
    known = {each: library for library in found for each in library.names}
    wanted: set[str] = set()
    for user in found:
        if name in user.needed:
            wanted |= user.symbols("--undefined-only") - offered(user, known)
    return wanted


def offered(user: Library, known: dict[str, Library]) -> set[str]:
    """Return what a library finds in those that it needs, and in those that they need."""
    symbols: set[str] = set()
    seen: set[Path] = set()
    queue = list(user.needed)
    while queue:
        library = known.get(queue.pop())
        if library is not None and library.path not in seen:
            seen.add(library.path)
            symbols |= library.symbols("--defined-only")
            queue += library.needed
    return symbols


def make(name: str, functions: set[str], out: Path) -> None:
    """Compile a library of that name with these functions.

    Raises:
        UnusableError: The compiler fails.
    """
    compiler = shlex.split(os.environ.get("CC", ""))
    if not compiler:
        raise UnusableError("CC is not set; it must name the pinned host compiler")
    lines = [".text"]
    for function in sorted(functions):
        lines += [f'.globl "{function}"', f'.type "{function}", @function', f'"{function}":']
        lines += [f"mov ${RESULT}, %eax", "ret"]
    lines += ['.section .note.GNU-stack,"",@progbits', ""]
    flags = ["-shared", "-nostdlib", f"-Wl,-soname,{name}", "-o", str(out / name)]
    said([*compiler, *flags, "-x", "assembler", "-"], "\n".join(lines))


def run(options: argparse.Namespace) -> None:
    """Make the libraries.

    Raises:
        UnusableError: One cannot be made, or is not what is missing.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    found = list(libraries(options.roots))
    there = {name for library in found for name in library.names}
    for name in (*options.names, *options.drivers):
        asked = name in options.names
        needed = any(name in library.needed for library in found)
        if name in there and asked:
            raise UnusableError(f"{name} is there: smoke_test.stubs must not name it")
        if not needed and asked:
            raise UnusableError(f"nothing needs {name}: take it out of smoke_test.stubs")
        if needed and name not in there:
            functions = missing(name, found)
            make(name, functions, options.out)
            print(f"{name}: an empty one, with {len(functions)} functions", flush=True)


def main(arguments: Sequence[str]) -> int:
    """Make the libraries; return 0, or 69 with one line or more that say why not."""
    parser = argparse.ArgumentParser(prog="stubs", description=__doc__)
    parser.add_argument("names", nargs="*", help="libraries that something must need")
    parser.add_argument("--driver", dest="drivers", action="append", default=[],
                        help="one to make only if something needs it")  # fmt: skip
    parser.add_argument("--root", dest="roots", type=Path, action="append", required=True,
                        help="folder of what is installed")  # fmt: skip
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        run(options)
    except (UnusableError, OSError) as error:
        print(f"farm: error: stubs: {error}", file=sys.stderr, flush=True)
        return EXIT_UNUSABLE
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
