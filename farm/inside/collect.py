"""Move the wheels that a step built to the results, and add them to its status.

A step that failed may have left none, which is not an error here: the host reads
``status.json`` and decides.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_UNCOLLECTED = 68


def sha256(path: Path) -> str:
    """Return a file's digest in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def collect(folders: Sequence[Path], out: Path) -> list[dict[str, object]]:
    """Move ``*.whl`` of the folders to ``out``; return name, sha256 and size of each."""
    out.mkdir(parents=True, exist_ok=True)
    wheels: list[dict[str, object]] = []
    found = [path for folder in folders for path in folder.glob("*.whl") if path.is_file()]
    for path in sorted(found, key=lambda path: path.name):
        target = out / path.name
        if path.resolve() != target.resolve():
            if target.exists():
                raise FileExistsError(f"two wheels are called {path.name}")
            shutil.move(str(path), str(target))
        target.chmod(0o644)
        wheels.append(
            {"name": target.name, "sha256": sha256(target), "size": target.stat().st_size}
        )
    return wheels


def add_to_status(out: Path, wheels: list[dict[str, object]]) -> None:
    """Write the wheels into ``status.json``, which is whole at any time."""
    path = out / "status.json"
    status = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    temporary = out / ".status.json.new"
    temporary.write_text(json.dumps({**status, "wheels": wheels}, indent=2) + "\n", "utf-8")
    temporary.replace(path)


def main(arguments: Sequence[str]) -> int:
    """Collect; return 0 even if there is no wheel, 68 if they can't be moved."""
    parser = argparse.ArgumentParser(prog="collect", description=__doc__)
    parser.add_argument("folders", type=Path, nargs="+", help="where the wheels were put")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    os.umask(0o022)
    try:
        wheels = collect(options.folders, options.out)
        add_to_status(options.out, wheels)
    except (OSError, ValueError) as error:
        print(f"farm: error: collect: {error}", file=sys.stderr, flush=True)
        return EXIT_UNCOLLECTED
    for wheel in wheels:
        print(f"{wheel['sha256']}  {wheel['name']}  {wheel['size']} bytes", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
