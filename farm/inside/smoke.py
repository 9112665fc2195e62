"""Try what is installed: import modules, run a script; the first failure ends it.

Each runs in a Python of its own that sees nothing but what is installed (``-I``), in an
empty folder.  What happened goes to ``smoke.json``: the tries that succeeded with their
seconds, and of one that failed its name and last line.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXIT_FAILED = 72
EXIT_BROKEN = 70
TIMEOUT_S = 600
LAST_BYTES = 1 << 16
LINE_CHARACTERS = 500
IMPORT = "import importlib, sys; importlib.import_module(sys.argv[1])"


def tries(options: argparse.Namespace) -> Iterator[tuple[str, list[str]]]:
    """Return what to try, by name, as arguments of Python."""
    for module in options.imports:
        yield f"import {module}", ["-c", IMPORT, module]
    if options.script:
        yield "script", [str(options.script)]


def attempt(arguments: Sequence[str], timeout_s: float) -> tuple[int, str]:
    """Run Python; return its status and the last line that it printed.

    The end of its output goes on to our own, so that a chatty one fills no log.
    """
    with tempfile.TemporaryDirectory() as empty, tempfile.TemporaryFile() as printed:
        try:
            status = subprocess.run(
                [sys.executable, "-I", "-B", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                cwd=empty,
                check=False,
                timeout=timeout_s,
            ).returncode
        except subprocess.TimeoutExpired:
            return EXIT_FAILED, f"did not end within {timeout_s:.0f} s"
        size = printed.seek(0, 2)
        printed.seek(max(0, size - LAST_BYTES))
        text = printed.read().decode("utf-8", "replace")
    print(text, end="" if text.endswith("\n") or not text else "\n", flush=True)
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ended = f"ended by signal {-status}" if status < 0 else f"exit status {status}"
    return status, lines[-1][:LINE_CHARACTERS] if lines and status > 0 else ended


def run(options: argparse.Namespace) -> dict[str, object]:
    """Try one after another; return what ``smoke.json`` holds."""
    passed: list[dict[str, object]] = []
    for name, arguments in tries(options):
        started = time.monotonic()
        status, line = attempt(arguments, options.timeout)
        seconds = round(time.monotonic() - started, 3)
        if status:
            return {"passed": passed, "failed": name, "line": line}
        print(f"{name}: ok, {seconds:.1f} s", flush=True)
        passed.append({"what": name, "seconds": seconds})
    return {"passed": passed, "failed": None, "line": ""}


def main(arguments: Sequence[str]) -> int:
    """Try; return 0, 72 where something failed, 70 where the result cannot be written."""
    parser = argparse.ArgumentParser(prog="smoke", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--import", dest="imports", action="append", default=[])
    parser.add_argument("--script", type=Path)
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds for each")
    parser.add_argument("--stubs", type=Path, help="folder of empty libraries, to be told")
    options = parser.parse_args(arguments)
    try:
        told = run(options)
        stubs = options.stubs.iterdir() if options.stubs else ()
        told["stubs"] = sorted(path.name for path in stubs)
        options.out.mkdir(parents=True, exist_ok=True)
        temporary = options.out / ".smoke.json.new"
        temporary.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        temporary.replace(options.out / "smoke.json")
    except OSError as error:
        print(f"farm: error: smoke: {error}", file=sys.stderr, flush=True)
        return EXIT_BROKEN
    if told["failed"]:
        print(f"farm: error: {told['failed']}: {told['line']}", file=sys.stderr, flush=True)
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
