"""Replace exact text in source files, exactly as often as expected.

The edits come as a JSON list of ``{"file", "replace", "by", "count"}``, applied
in order; ``file`` is relative to ``--root``.  Nothing is written unless every
edit fits.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_USAGE = 64
EXIT_UNFIT_EDIT = 67
SHOWN_CHARACTERS = 160
NEAREST = 3


class UnfitError(Exception):
    """An edit does not fit its file."""


def shown(text: str) -> str:
    """Return a text as one short line."""
    line = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
    return repr(line)


def nearest(text: str, wanted: str) -> list[str]:
    """Return the lines, with their numbers, that look most like the wanted text's first line."""
    first = next((line.strip() for line in wanted.splitlines() if line.strip()), "")
    scores = []
    for number, line in enumerate(text.splitlines(), start=1):
        matcher = difflib.SequenceMatcher(None, first, line.strip()[: 4 * SHOWN_CHARACTERS])
        if matcher.real_quick_ratio() > 0.5 and matcher.quick_ratio() > 0.5:  # noqa: PLR2004 - half alike
            scores.append((-matcher.ratio(), number, line.strip()))
    return [f"line {number}: {shown(line)}" for _, number, line in sorted(scores)[:NEAREST]]


def found_lines(text: str, wanted: str) -> list[str]:
    """Return the numbers of the lines where the text is found."""
    places, start = [], text.find(wanted)
    while start >= 0:
        places.append(f"line {text.count(chr(10), 0, start) + 1}")
        start = text.find(wanted, start + len(wanted))
    return places


def apply(text: str, edit: dict[str, Any]) -> str:
    """Return the edited text.

    Raises:
        UnfitError: The text to replace is not there exactly ``count`` times.
    """
    wanted, count = edit["replace"], edit["count"]
    found = text.count(wanted) if wanted else 0
    if found == count and count > 0:
        return text.replace(wanted, edit["by"])
    places = found_lines(text, wanted) if found else nearest(text, wanted)
    head = "at" if found else "nearest"
    tail = f"; {head}: {', '.join(places[:10])}" if places else ""
    times = "time" if count == 1 else "times"
    raise UnfitError(f"expected {shown(wanted)} {count} {times}, found it {found} times{tail}")


def locate(root: Path, name: str) -> Path:
    """Return the path of a file to edit.

    Raises:
        UnfitError: There is no such file below the root.
    """
    path = (root / name).resolve()
    if root not in path.parents:
        raise UnfitError("the file lies outside of the source")
    if not path.is_file():
        raise UnfitError("there is no such file in the source")
    return path


def edit_all(root: Path, edits: Sequence[dict[str, Any]]) -> None:
    """Apply every edit, or none.

    Raises:
        UnfitError: One does not fit; the message names the file and the edit.
    """
    root = root.resolve()
    texts: dict[Path, str] = {}
    for number, edit in enumerate(edits, start=1):
        try:
            path = locate(root, edit["file"])
            if path not in texts:
                # surrogateescape and newline="" keep every other byte as it was
                with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
                    texts[path] = file.read()
            texts[path] = apply(texts[path], edit)
        except UnfitError as error:
            raise UnfitError(f"{edit['file']} (edit {number} of {len(edits)}): {error}") from None
    for path, text in texts.items():
        with path.open("w", encoding="utf-8", errors="surrogateescape", newline="") as file:
            file.write(text)


def main(arguments: Sequence[str]) -> int:
    """Edit; return 0, 67 if an edit does not fit, or 64 if the list cannot be read."""
    parser = argparse.ArgumentParser(prog="edit", description=__doc__)
    parser.add_argument("edits", type=Path, help="JSON file")
    parser.add_argument("--root", type=Path, default=Path())
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        edit_all(options.root, json.loads(options.edits.read_text(encoding="utf-8")))
    except UnfitError as error:
        print(f"farm: error: edit {error}", file=sys.stderr, flush=True)
        return EXIT_UNFIT_EDIT
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"farm: error: edit {options.edits}: {error!r}", file=sys.stderr, flush=True)
        return EXIT_USAGE
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
