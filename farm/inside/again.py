"""Repeat the command at which a compile failed, in the container that it left behind.

The log of the compile says which one it was: ninja prints it below ``FAILED:``, make,
setuptools and CMake before what the compiler says of it; else a ``compile_commands.json``
may know it by its source.  Where nothing does, it is the whole compile step.

``--show`` only prints it, ``--all`` takes the whole step.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXIT_NOTHING = 77
"""Exit status where there is no command to repeat."""
MOST_FOLDERS = 100_000
"""How many folders are searched for what a build system left."""
FAILED = re.compile(r"FAILED: (?:\[code=\d+\] )?(.+)")
COMPILER = re.compile(
    r"(?:[\w.-]+-)?(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+|amdclang|amdclang\+\+|nvcc|hipcc|gfortran)"
    r"(?:-\d+(?:\.\d+)*)?"
)
ERROR = re.compile(r"([^\s:(]+)(?::\d+(?::\d+)?|\(\d+\)): (?:fatal )?error\b|\berror: |: error\b")
FOLDER = re.compile(
    r"ninja: Entering directory [`'](.+)'|Change Dir: '(.+)'"
    r"|-- Build files have been written to: (.+)"
)


@dataclass(frozen=True)
class Command:
    """A command for a shell, and the folder in which it ran."""

    text: str
    folder: Path

    @property
    def shown(self) -> str:
        """What to type for it."""
        return f"cd {shlex.quote(str(self.folder))} && {self.text}"


def find(lines: Sequence[str], roots: Sequence[Path], here: Path) -> Command | None:
    """Return the first command that failed, as a log tells it.

    ``roots`` are searched for build folders; relative paths are taken from ``here`` first.
    """
    told = [line.strip() for line in lines]
    return of_ninja(told, roots, here) or of_compiler(told, roots, here)


def of_ninja(lines: Sequence[str], roots: Sequence[Path], here: Path) -> Command | None:
    """Return what ninja prints below the first ``FAILED:``."""
    for number, line in enumerate(lines[:-1]):
        found = FAILED.fullmatch(line)
        if found:
            folder = ninja_folder(found[1].split()[0], lines[:number], roots) or here
            return Command(lines[number + 1], folder)
    return None


def ninja_folder(output: str, before: Sequence[str], roots: Sequence[Path]) -> Path | None:
    """Return the folder whose ``build.ninja`` makes the output, else the one named last."""
    named = [next(filter(None, found.groups())) for found in map(FOLDER.search, before) if found]
    for path in files_called("build.ninja", roots):
        with suppress(OSError):
            if output in path.read_text(encoding="utf-8", errors="replace"):
                return path.parent
    return Path(named[-1]) if named else None


def of_compiler(lines: Sequence[str], roots: Sequence[Path], here: Path) -> Command | None:
    """Return the call of a compiler whose errors are the first in the log."""
    last: str | None = None
    calls: list[str] = []
    for line in lines:
        if is_call(line):
            last = line
            calls.append(line)
            continue
        error = ERROR.search(line)
        if error is None or (last is None and error[1] is None):
            continue
        name = os.path.basename(error[1]) if error[1] else ""  # noqa: PTH119 - only its end
        its = [call for call in calls if name and names(call, name)]
        call = its[-1] if its else last
        known = of_database(name, roots) if name and not its else None
        if known or call:
            return known or Command(call or "", folder_of(call or "", roots, here))
    return None


def is_call(line: str) -> bool:
    """Tell whether a line is the call of a compiler, as build systems print them."""
    words = words_of(line)
    while words[:1] == ["cd"] and words[2:3] == ["&&"]:
        words = words[3:]
    if not words or not COMPILER.fullmatch(os.path.basename(words[0])):  # noqa: PTH119 - as above
        return False
    return "-c" in words or "-o" in words


def words_of(line: str) -> list[str]:
    """Return a line's words as a shell reads them; none where it cannot."""
    if not ("-c" in line or "-o" in line):
        return []
    try:
        return shlex.split(line)
    except ValueError:
        return []


def names(call: str, name: str) -> bool:
    """Tell whether a call names a file of that name."""
    return any(os.path.basename(word) == name for word in words_of(call))  # noqa: PTH119 - as above


def folder_of(call: str, roots: Sequence[Path], here: Path) -> Path:
    """Return where the relative paths of a call lead somewhere."""
    paths = [word for word in words_of(call) if re.fullmatch(r"[\w.+/-]+\.\w{1,4}", word)]
    inputs = [word for word in paths if not word.startswith(("/", "-")) and not is_object(word)]
    if not inputs or (here / inputs[0]).exists():
        return here
    for root in roots:
        for folder, _, _ in walk(root):
            if (folder / inputs[0]).exists():
                return folder
    return here


def is_object(word: str) -> bool:
    """Tell whether a word names what a compiler makes."""
    return word.endswith((".o", ".so", ".a", ".d"))


def of_database(name: str, roots: Sequence[Path]) -> Command | None:
    """Return how CMake's or Meson's list of compile commands makes a source of that name."""
    for path in files_called("compile_commands.json", roots):
        with suppress(OSError, ValueError, KeyError, TypeError):
            for entry in json.loads(path.read_text(encoding="utf-8", errors="replace")):
                if os.path.basename(entry["file"]) == name:  # noqa: PTH119 - as above
                    text = entry.get("command") or shlex.join(entry["arguments"])
                    return Command(str(text), Path(entry["directory"]))
    return None


def files_called(name: str, roots: Sequence[Path]) -> Iterator[Path]:
    """Find files of a name below folders, without following links."""
    for root in roots:
        for folder, _, files in walk(root):
            if name in files:
                yield folder / name


def walk(root: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Walk a folder, not without end."""
    for number, (folder, folders, files) in enumerate(os.walk(root)):
        folders.sort()
        if number > MOST_FOLDERS:
            return
        yield Path(folder), folders, files


def whole(status: Path, here: Path) -> Command | None:
    """Return the whole compile step, as its status says what it ran."""
    try:
        argv = json.loads(status.read_text(encoding="utf-8"))["argv"]
        return Command(shlex.join(argv), here)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def make_ready(command: Command) -> bool:
    """Make the folders that a command writes to, where a build removed them; tell whether it did.

    Raises:
        OSError: They cannot be made.
    """
    gone = not command.folder.is_dir()
    command.folder.mkdir(parents=True, exist_ok=True)
    words = words_of(command.text)
    for flag, value in zip(words, words[1:]):  # noqa: B905, RUF007 - Python 3.9 has no other
        if flag in {"-o", "-MF"}:
            (command.folder / value).parent.mkdir(parents=True, exist_ok=True)
    return gone


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="farm-again", description=__doc__)
    parser.add_argument("--show", action="store_true", help="only print the command")
    parser.add_argument("--all", action="store_true", help="the whole compile step")
    parser.add_argument("--out", type=Path, default=Path("/out"), help=argparse.SUPPRESS)
    parser.add_argument("--here", type=Path, default=Path.cwd(), help=argparse.SUPPRESS)
    parser.add_argument(
        "--root", type=Path, action="append", default=[], help="where build folders may be"
    )
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Repeat the command; its status is the result, 77 where none is known."""
    options = parse(arguments)
    roots = options.root or [Path("/build"), Path("/tmp")]  # noqa: S108 - where builds work
    command = None
    if not options.all:
        with suppress(OSError):
            log = (options.out / "logs/compile.log").read_text(encoding="utf-8", errors="replace")
            command = find(log.splitlines(), roots, options.here)
    command = command or whole(options.out / "status.json", options.here)
    if command is None:
        print("farm-again: nothing was compiled yet: there is no command to repeat")
        return EXIT_NOTHING
    print(f"farm-again: {command.shown}", file=sys.stderr, flush=True)
    if options.show:
        return 0
    if make_ready(command):
        text = "its build folder was removed, and what was made there: farm-again --all makes it"
        print(f"farm-again: {text}", file=sys.stderr, flush=True)
    return subprocess.call(["/bin/sh", "-c", command.text], cwd=command.folder)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
