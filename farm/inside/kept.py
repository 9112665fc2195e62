"""What the compile cache has kept: count it, cut it, take it out, or put it in.

The cache is ``sccache/`` below ``--folder``: files called by 64 hexadecimal digits, of what
a compiler made; below ``preprocessor/`` what was included.  Compiles may use it meanwhile:
a file appears whole under its name, and one that is gone is compiled again.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tarfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_BROKEN = 70
NAME = re.compile(r"(?:preprocessor/)?(?:[0-9a-f]/){2,3}[0-9a-f]{64}")
"""What sccache calls its files, as others must not be."""
TAR = "compiled.tar"
STATS = "stats.json"


def files(cache: Path) -> list[tuple[float, int, Path]]:
    """When each file was last used, its bytes, and where it is; the oldest first."""
    found = []
    for folder, _, names in os.walk(cache):
        for name in names:
            path = Path(folder, name)
            if NAME.fullmatch(path.relative_to(cache).as_posix()):
                with suppress(FileNotFoundError):  # a compile has just replaced it
                    facts = path.lstat()
                    found.append((max(facts.st_atime, facts.st_mtime), facts.st_size, path))
    return sorted(found)


def stats(cache: Path) -> dict[str, object]:
    """How much is kept, and when the oldest of it was last used."""
    found = files(cache)
    return {
        "files": len(found),
        "size_bytes": sum(size for _, size, _ in found),
        "oldest_s": round(found[0][0]) if found else None,
    }


def prune(cache: Path, most: int) -> None:
    """Remove what was not used for longest, until no more than so many bytes are left."""
    found = files(cache)
    left = sum(size for _, size, _ in found)
    for _, size, path in found:
        if left <= most:
            return
        path.unlink(missing_ok=True)
        left -= size


def export(cache: Path, target: Path) -> None:
    """Write all of it as one tar; what is in there is compressed."""
    with tarfile.open(target, "w", format=tarfile.PAX_FORMAT) as tar:
        for _, _, path in files(cache):
            entry = tarfile.TarInfo(path.relative_to(cache).as_posix())
            with suppress(FileNotFoundError), path.open("rb") as file:
                entry.size = os.fstat(file.fileno()).st_size
                tar.addfile(entry, file)


def take(cache: Path, source: Path) -> None:
    """Put in what a tar holds and the cache has not.

    Raises:
        ValueError: it holds something else than a cache does.
    """
    temporary = cache / f".new-{os.getpid()}-{time.time_ns()}"
    with tarfile.open(source, "r:") as tar:
        for entry in tar:
            if not entry.isfile() or not NAME.fullmatch(entry.name):
                raise ValueError(f"{entry.name[:100]!r} is nothing that a compile cache holds")
            target, content = cache / entry.name, tar.extractfile(entry)
            if target.exists() or content is None:
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                with temporary.open("xb") as file:
                    while chunk := content.read(1 << 20):
                        file.write(chunk)
                temporary.replace(target)
            finally:
                temporary.unlink(missing_ok=True)


def main(arguments: Sequence[str]) -> int:
    """Do one of these, and write what is kept then; return 0, or 70 if it cannot be done."""
    parser = argparse.ArgumentParser(prog="kept", description=__doc__)
    parser.add_argument("action", choices=("stats", "prune", "export", "import"))
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--tar", type=Path, help="what is put in")
    parser.add_argument("--most", type=int, default=0, help="bytes that prune leaves")
    options = parser.parse_args(arguments)
    cache = options.folder / "sccache"
    try:
        if cache.is_symlink() or (cache.exists() and not cache.is_dir()):
            cache.unlink()  # a build can leave there what it likes
        cache.mkdir(parents=True, exist_ok=True)
        options.out.mkdir()
        if options.action == "prune":
            prune(cache, options.most)
        elif options.action == "export":
            export(cache, options.out / TAR)
        elif options.action == "import":
            take(cache, options.tar)
        (options.out / STATS).write_text(json.dumps(stats(cache)), encoding="ascii")
    except (OSError, ValueError, tarfile.TarError) as error:
        print(f"farm: error: {error}", file=sys.stderr, flush=True)
        return EXIT_BROKEN
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
