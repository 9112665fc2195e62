"""Apply patches in order, with no fuzz: each hunk fits, or the build stops.

A hunk may sit some lines off (another patch moved it), but its context must be
there to the letter.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_UNFIT_PATCH = 66
NOT_FOUND = 127
COMMAND = ("patch", "-p1", "--fuzz=0", "--forward", "--batch", "--no-backup-if-mismatch")
FILE = re.compile(r"^(?:patching|checking) file (?P<file>.*)$")
FAILED = re.compile(r"^Hunk #(?P<hunk>\d+) FAILED at (?P<line>\d+)")
REASONS = (
    ("Reversed (or previously applied) patch detected", "is already applied, or reversed"),
    ("can't find file to patch", "names a file that the source does not have"),
    ("malformed patch", "is malformed"),
    ("Only garbage was found", "holds no hunk"),
    ("No such file or directory", "names a file that the source does not have"),
)


def why(output: str) -> str:
    """Return what ``patch`` said, as one phrase with file and hunk."""
    file = ""
    for line in output.splitlines():
        named = FILE.match(line)
        if named:
            file = named["file"].strip("'")
        failed = FAILED.match(line)
        if failed:
            return f"hunk {failed['hunk']} does not fit {file} at line {failed['line']}"
        for text, reason in REASONS:
            if text in line:
                return f"{reason} ({file or line.strip()})"
    return "; ".join(output.split("\n")[-3:]) or "failed without a word"


def apply(patch: Path, root: Path) -> tuple[int, str]:
    """Apply one patch; return the status and everything that ``patch`` said."""
    argv = [*COMMAND, "--reject-file=-", "-d", str(root), "-i", str(patch.resolve())]
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except FileNotFoundError:
        return NOT_FOUND, "the base has no patch program"
    return done.returncode, done.stdout.decode("utf-8", "replace")


def main(arguments: Sequence[str]) -> int:
    """Apply all; return 0, or 66 at the first that does not fit."""
    parser = argparse.ArgumentParser(prog="patch", description=__doc__)
    parser.add_argument("patches", type=Path, nargs="+")
    parser.add_argument("--root", type=Path, default=Path())
    options = parser.parse_args(arguments)
    os.umask(0o022)
    for patch in options.patches:
        status, said = apply(patch, options.root)
        print(f"{patch.name}:", said.strip(), sep="\n", flush=True)
        if status:
            print(f"farm: error: patch {patch.name}: {why(said)}", file=sys.stderr, flush=True)
            return EXIT_UNFIT_PATCH
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
