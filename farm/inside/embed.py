"""Put a wheel's SBOM (``<wheel>.cdx.json``, of inside/sbom.py) into it, where PEP 770 wants it.

It becomes a member below ``.dist-info/sboms/`` and a line of RECORD; every other member stays
bit for bit as it is packed, so that the same wheel gives the same bytes and a large one takes
no time.  A wheel that is none (no RECORD, two members of one name) stays as it is, and the
host refuses it.
"""

from __future__ import annotations

import argparse
import base64
import copy
import hashlib
import os
import re
import shutil
import struct
import sys
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_UNLISTED = 74
_DAMAGED = (ValueError, EOFError, RuntimeError, struct.error, zipfile.BadZipFile, zlib.error)
"""What zipfile raises for what is no zip file, or a damaged or encrypted one."""
_RECORD = re.compile(r"[^/]+\.dist-info/RECORD")
"""The wheel's own: deeper ones are of what it vendors."""
NAME = "farm.cdx.json"
"""Named by the tool, as auditwheel's and others' are, so that none takes another's place."""


class Wheel:
    """A wheel as pip wrote it.

    Raises:
        ValueError: It is none: not one RECORD, or members that share a name or a place.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with zipfile.ZipFile(path) as source:
            infos = source.infolist()
            self.names = {info.filename for info in infos}
            records = [info for info in infos if _RECORD.fullmatch(info.filename)]
            starts = {info.header_offset for info in infos}
            if len(records) != 1 or not len(infos) == len(self.names) == len(starts):
                raise ValueError("it is no whole wheel")
            (self.record,) = records
            self.rows = source.read(self.record).decode("utf-8")

    def add(self, content: bytes) -> str:
        """Write it anew with one more member, the last but RECORD; returns that one's name."""
        folder = self.record.filename.rpartition("/")[0]
        names = (NAME, *(f"farm-{number}.cdx.json" for number in range(2, len(self.names) + 3)))
        paths = (f"{folder}/sboms/{name}" for name in names)
        path = next(path for path in paths if path not in self.names)  # what was there stays
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        row = f"{path},sha256={digest},{len(content)}" + ("\r\n" if "\r\n" in self.rows else "\n")
        lines = self.rows.splitlines(keepends=True)
        own = (n for n, line in enumerate(lines) if line.startswith(self.record.filename))
        lines.insert(next(own, 0), row)
        self.write({path: content, self.record.filename: "".join(lines).encode()})
        return path

    def write(self, last: dict[str, bytes]) -> None:
        """Write it anew: all but RECORD as it is packed, then these members."""
        temporary, start = self.path.with_suffix(".new"), self.record.header_offset
        with zipfile.ZipFile(self.path) as source, zipfile.ZipFile(temporary, "w") as target:
            infos = source.infolist()
            later = [info.header_offset for info in infos if info.header_offset > start]
            end = min(later, default=source.start_dir)
            for first, stop in ((0, start), (end, source.start_dir)):
                copy_bytes(source.fp, target.fp, first, stop)
            for info in infos:
                if info.filename != self.record.filename:
                    kept = copy.copy(info)
                    kept.header_offset -= end - start if info.header_offset > start else 0
                    target.filelist.append(kept)
                    target.NameToInfo[kept.filename] = kept
            target.start_dir = source.start_dir - (end - start)
            for name, content in last.items():
                target.writestr(like(self.record, name), content)
        shutil.copymode(self.path, temporary)
        temporary.replace(self.path)


def like(record: zipfile.ZipInfo, name: str) -> zipfile.ZipInfo:
    """Return a member with the time, rights and packing of RECORD."""
    made = zipfile.ZipInfo(name, record.date_time)
    made.compress_type = record.compress_type
    made.create_system, made.external_attr = record.create_system, record.external_attr
    return made


def copy_bytes(given: Any, taken: Any, first: int, stop: int) -> None:  # noqa: ANN401 - files of zipfile
    """Append a range of a file to another."""
    given.seek(first)
    while first < stop:
        block = given.read(min(stop - first, 1 << 20))
        if not block:
            raise ValueError("it ends too early")
        taken.write(block)
        first += len(block)


def main(arguments: Sequence[str]) -> int:
    """Add to every wheel of a folder; return 0, or 74 with one line that says why not."""
    parser = argparse.ArgumentParser(prog="embed", description=__doc__)
    parser.add_argument("folder", type=Path, help="where wheels and their SBOMs are")
    folder = parser.parse_args(arguments).folder
    os.umask(0o022)
    for path in sorted(folder.glob("*.whl")):
        text = path.with_name(f"{path.name}.cdx.json")
        if not text.exists():
            continue
        try:
            print(f"{path.name}: {Wheel(path).add(text.read_bytes())}", flush=True)
        except _DAMAGED as error:
            print(f"farm: embed: {path.name} stays as it is: {error}", flush=True)
        except OSError as error:
            print(f"farm: error: embed: {error}", file=sys.stderr, flush=True)
            return EXIT_UNLISTED
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
