"""Write down which compilers a build really used, as CMake left it in its build folders.

CMake keeps what it found out about each compiler in
``CMakeFiles/<version>/CMake<LANGUAGE>Compiler.cmake``; the host compiler that nvcc is told
stands in the compile commands besides (``-ccbin=…`` in rules.ninja or build.make), where a
project can still change it.  A build folder that was removed, or a build without CMake, leaves
nothing to read: the list is then empty.

The result is ``compilers.json``: an object for each build folder and language, and one with the
language ``CUDA host`` for what nvcc calls.  It is evidence of a build, never the reason why one
fails: whatever goes wrong is noted in ``status.json``, as ``compilers``.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXIT_UNTOLD = 73
LANGUAGES = ("C", "CXX", "CUDA", "HIP")
MAX_BYTES = 64 << 20
"""Of a file of commands: beyond this nothing is read."""
TIMEOUT_S = 30.0
"""For a compiler to say its version."""
_FILE = re.compile(rf"CMake({'|'.join(LANGUAGES)})Compiler\.cmake")
_SET = re.compile(r'^set\((CMAKE_\w+) "?([^")]*)"?\)$', re.MULTILINE)
_CCBIN = re.compile(r"-ccbin(?:=|\s+)(\S+)")
_VERSION = re.compile(r"\b(\d+)\.\d+(?:\.\d+)?\b")
_CACHED = ("CMAKE_CUDA_ARCHITECTURES", "CMAKE_HIP_ARCHITECTURES")


def build_folders(root: Path) -> Iterator[Path]:
    """Every folder below ``root`` in which CMake has been, in a fixed order."""
    for folder, names, files in os.walk(root):
        names.sort()
        if "CMakeFiles" in names and "CMakeCache.txt" in files:
            yield Path(folder)


def settings(path: Path) -> dict[str, str]:
    """What a ``CMake<LANGUAGE>Compiler.cmake`` sets."""
    return dict(_SET.findall(path.read_text(encoding="utf-8", errors="replace")))


def cached(folder: Path) -> dict[str, str]:
    """The architectures that stand in ``CMakeCache.txt``."""
    text = (folder / "CMakeCache.txt").read_text(encoding="utf-8", errors="replace")
    entries = re.findall(r"^(\w+):[A-Z]+=(.*)$", text, re.MULTILINE)
    return {name: value for name, value in entries if name in _CACHED and value}


def commanded_hosts(folder: Path) -> list[str]:
    """The host compilers that nvcc is given in compile commands."""
    # Ninja's rules stand in CMakeFiles/rules.ninja, make's in a build.make for each target.
    found_below = (folder / "CMakeFiles").rglob("*")
    files = [folder / "build.ninja", *(p for p in found_below if p.suffix in {".ninja", ".make"})]
    found = set()
    for path in files:
        if path.is_file() and path.stat().st_size <= MAX_BYTES:
            found.update(_CCBIN.findall(path.read_text(encoding="utf-8", errors="replace")))
    return sorted(found)


def host(program: str) -> dict[str, str]:
    """A host compiler as nvcc runs it: its path without links, its family and version."""
    text = ""
    try:
        done = subprocess.run(
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=TIMEOUT_S,
        )
        text = done.stdout.decode("utf-8", "replace").split("\n", 1)[0]
    except (OSError, ValueError, subprocess.TimeoutExpired):
        pass  # it has gone, or hangs: what it is remains unknown
    version = _VERSION.search(text.rpartition(")")[2] or text)
    family = "Clang" if "clang" in text else "GNU" if text else ""
    return {
        "language": "CUDA host",
        "path": program,
        "family": family,
        "version": version.group(0) if version else "",
    }


def described(folder: Path, path: Path, language: str) -> Iterator[dict[str, str]]:
    """One compiler of one build folder; of nvcc, its host compilers too."""
    found = settings(path)
    prefix = f"CMAKE_{language}_"
    yield {
        "language": language,
        "path": found.get(f"{prefix}COMPILER", ""),
        "family": found.get(f"{prefix}COMPILER_ID", ""),
        "version": found.get(f"{prefix}COMPILER_VERSION", ""),
        "archs": cached(folder).get(f"{prefix}ARCHITECTURES", ""),
    }
    if language == "CUDA":
        named = found.get(f"{prefix}HOST_COMPILER", "")
        programs = {*commanded_hosts(folder), *([named] if named else [])}
        yield from (host(program) for program in sorted(programs))


def compilers(root: Path) -> list[dict[str, str]]:
    """Every compiler that CMake used below ``root``."""
    found: list[dict[str, str]] = []
    for folder in build_folders(root):
        files = sorted((folder / "CMakeFiles").glob("*/CMake*Compiler.cmake"))
        named = [(match[1], path) for path in files if (match := _FILE.fullmatch(path.name))]
        for language, path in sorted(named):
            entries = described(folder, path, language)
            found += [{"folder": str(folder), **entry} for entry in entries]
    return found


def note(out: Path, reason: str) -> None:
    """Write into ``status.json`` why there is no evidence."""
    path = out / "status.json"
    status = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    temporary = out / ".status.json.new"
    text = json.dumps({**status, "compilers": reason}, indent=2)
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def main(arguments: Sequence[str]) -> int:
    """Write ``compilers.json``; return 0 even if it is empty, 73 if that failed."""
    parser = argparse.ArgumentParser(prog="compilers", description=__doc__)
    parser.add_argument("roots", type=Path, nargs="+", help="where sources were built")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        found = [entry for root in options.roots for entry in compilers(root)]
        text = json.dumps(found, indent=2) + "\n"
        (options.out / "compilers.json").write_text(text, encoding="utf-8")
    except Exception as error:  # noqa: BLE001 - whatever a build has left there
        reason = f"{type(error).__name__}: {error}"
        print(f"farm: compilers: {reason}", file=sys.stderr, flush=True)
        note(options.out, reason)
        return EXIT_UNTOLD
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
