"""End a build where CMake would begin to compile: count its steps, or make some objects.

``install`` puts this program in the place of every cmake of the build
environment.  All calls go to the real one, except ``cmake --build``: that one asks
ninja what it would do, writes it to ``steps.json`` and ends the build with status 75.
With ``--only`` it first makes the objects whose source matches.

What ninja would do is taken from the descriptions that CMake gives its rules
(cmNinjaNormalTargetGenerator.cxx, cmNinjaTargetGenerator.cxx: ``Building CUDA
object …``, ``Linking CXX shared module …``); anything else counts as other.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXIT_STOPPED = 75
EXIT_BROKEN = 70
NESTED = "FARM_CMAKE_NESTED"
"""Set for what CMake and ninja start: their own calls of cmake are part of the step."""
REAL = "cmake.real"
STEP = re.compile(r"^@farm (\d+)/(\d+)@ (.*)$")
COMPILE = re.compile(r"^Building (\S+) object (\S.*)$")
LINK = re.compile(r"^Linking \S+ (executable|shared library|shared module|static library) ")
NAMED = 8
"""Objects that are named where none matches."""


class StopError(Exception):
    """The build cannot be stopped here as asked."""


def programs() -> list[Path]:
    """Every cmake that a build may call: the one on PATH, and that of the Python package."""
    found = []
    on_path = shutil.which("cmake")
    if on_path:
        found.append(Path(on_path).resolve())
    package = importlib.util.find_spec("cmake")
    for folder in (package.submodule_search_locations or ()) if package else ():
        found += [path.resolve() for path in Path(folder).glob("data/bin/cmake")]
    return list(dict.fromkeys(found))


def install(out: Path, only: Sequence[str]) -> None:
    """Put a wrapper in the place of each cmake.

    Raises:
        StopError: There is none.
    """
    found = programs()
    if not found:
        raise StopError("the build environment has no cmake, so there is no configure step")
    for program in found:
        # In the same folder: CMake looks for its modules from where it lies.
        real = program.with_name(REAL)
        if real.exists():
            continue
        program.rename(real)
        words = [sys.executable, "-I", str(Path(__file__).resolve()), "call"]
        words += ["--real", str(real), "--out", str(out)]
        words += [f"--only={glob}" for glob in only]
        program.write_text(f'#!/bin/sh\nexec {shlex.join(words)} -- "$@"\n', encoding="utf-8")
        program.chmod(0o755)


def build_folder(arguments: Sequence[str]) -> Path:
    """Return the folder of ``--build FOLDER``."""
    following = arguments[list(arguments).index("--build") + 1 :]
    return Path(following[0] if following else ".")


def cached(folder: Path, name: str) -> str:
    """Return a value of the folder's CMakeCache.txt, empty if there is none."""
    try:
        text = (folder / "CMakeCache.txt").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    found = re.search(rf"^{re.escape(name)}:[A-Z]+=(.*)$", text, re.MULTILINE)
    return found[1] if found else ""


def dry_run(real: str, arguments: Sequence[str]) -> list[str]:
    """Return the description of each step that ``cmake --build`` would take.

    Raises:
        StopError: The generator is not Ninja, or ninja cannot say it.
    """
    folder = build_folder(arguments)
    generator = cached(folder, "CMAKE_GENERATOR")
    if not generator.startswith("Ninja"):
        raise StopError(
            f"steps can be counted for the generator Ninja, not for {generator or 'none'!r}; "
            "add ninja to requires"
        )
    # Verbose, ninja would print commands instead of descriptions.
    argv = [word for word in arguments if word not in {"-v", "--verbose"}]
    argv += ["-n"] if "--" in argv else ["--", "-n"]
    quiet = {name: value for name, value in os.environ.items() if name != "VERBOSE"}
    done = subprocess.run(
        [real, *argv],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        env={**quiet, NESTED: "1", "NINJA_STATUS": "@farm %f/%t@ "},
    )
    said = done.stdout.decode("utf-8", "replace").splitlines()
    if done.returncode:
        raise StopError("ninja cannot say what it would do: " + "; ".join(said[-3:]))
    return [match[3] for match in map(STEP.match, said) if match]


def kinds(steps: Iterable[str]) -> dict[str, int]:
    """Count steps: ``compile CUDA``, ``compile CXX``, …, ``link``, ``other``."""
    found: dict[str, int] = {}
    for step in steps:
        compiled = COMPILE.match(step)
        kind = f"compile {compiled[1]}" if compiled else "link" if LINK.match(step) else "other"
        found[kind] = found.get(kind, 0) + 1
    return found


def objects(steps: Iterable[str]) -> list[str]:
    """Return the objects that the steps would make."""
    return [match[2] for match in map(COMPILE.match, steps) if match]


def matches(path: str, glob: str) -> bool:
    """Tell whether a glob fits an object's path or its end, with or without ``.o``."""
    names = (path, path.removesuffix(".o"))
    return any(fnmatch.fnmatchcase(f"/{name}", f"*/{glob.lstrip('/')}") for name in names)


def chosen(steps: Iterable[str], only: Sequence[str]) -> list[str]:
    """Return the objects that the globs name.

    Raises:
        StopError: One of the globs names none.
    """
    known = objects(steps)
    for glob in only:
        if not any(matches(path, glob) for path in known):
            some = ", ".join(known[:NAMED])
            raise StopError(f"no object matches {glob!r}; there are {len(known)}, as {some}")
    return [path for path in known if any(matches(path, glob) for glob in only)]


def make(folder: Path, wanted: Sequence[str]) -> int:
    """Make objects with as many jobs as the build may have; return ninja's status."""
    ninja = cached(folder, "CMAKE_MAKE_PROGRAM") or "ninja"
    jobs = os.environ.get("MAX_JOBS", "1")
    argv = [ninja, "-C", str(folder), "-j", jobs, *wanted]
    return subprocess.run(argv, check=False, env={**os.environ, NESTED: "1"}).returncode


def seconds(folder: Path, wanted: Sequence[str]) -> dict[str, float]:
    """Return how long each object took, from ninja's own log (version 5 to 7).

    Its lines are start and end in milliseconds, time stamp, output, hash of the command.
    """
    took: dict[str, float] = {}
    try:
        lines = (folder / ".ninja_log").read_text(encoding="utf-8").splitlines()
    except OSError:
        return took
    for line in lines[1:]:
        fields = line.split("\t")
        if len(fields) >= 4 and fields[3] in wanted:  # noqa: PLR2004 - the first four fields
            took[fields[3]] = round((int(fields[1]) - int(fields[0])) / 1000, 3)
    return took


def stop(real: str, arguments: Sequence[str], out: Path, only: Sequence[str]) -> int:
    """Count, make what was asked for, write ``steps.json``; return the build's status.

    Raises:
        StopError: It cannot be done.
    """
    folder = build_folder(arguments)
    steps = dry_run(real, arguments)
    wanted = chosen(steps, only)
    status = make(folder, wanted) if wanted else 0
    took = seconds(folder, wanted)
    report = {
        "total": len(steps),
        "kinds": kinds(steps),
        "objects": [{"object": path, "seconds": took.get(path)} for path in wanted],
        "exit_status": status,
    }
    temporary = out / ".steps.json.new"
    temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    temporary.replace(out / "steps.json")
    if status:
        return status
    print(f"farm: stopped before the build, as asked; it has {len(steps)} steps", flush=True)
    return EXIT_STOPPED


def call(options: argparse.Namespace) -> int:
    """Stand in for cmake."""
    if os.environ.get(NESTED) or "--build" not in options.arguments:
        environ = {**os.environ, NESTED: "1"}
        os.execve(options.real, [options.real, *options.arguments], environ)  # noqa: S606 - no shell is wanted
    return stop(options.real, options.arguments, options.out, options.only)


def main(arguments: Sequence[str]) -> int:
    """Install or stand in; return 75 where the build was stopped, 70 where it cannot be."""
    parser = argparse.ArgumentParser(prog="until", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name in ("install", "call"):
        verb = verbs.add_parser(name)
        verb.add_argument("--out", type=Path, required=True)
        verb.add_argument("--only", action="append", default=[])
        if name == "call":
            verb.add_argument("--real", required=True)
            verb.add_argument("arguments", nargs="*")
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        if options.verb == "call":
            return call(options)
        install(options.out, options.only)
    except (StopError, OSError) as error:
        print(f"farm: error: until: {error}", file=sys.stderr, flush=True)
        return EXIT_BROKEN
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
