"""Write down what of others a build shows that nobody pinned by name, for its wheels' SBOMs.

Submodules that lie in the sources, which crates cargo compiled and under which licences,
static libraries of the system and whose they are, licence files of each source.  It reads
what a build left in its folders and its log.  That may be anything: what cannot be read is left
out, and a build without such things leaves empty lists.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

EXIT_UNLISTED = 74
MAX_BYTES = 64 << 20
"""Of a file of commands, or the log: beyond this nothing is read."""
COMMANDS = {"build.ninja", "rules.ninja", "link.txt"}
"""Ninja's files, and that of make for each target (CMake's Makefile generator)."""
EMPTY_BYTES = 8
"""Of a library that holds nothing, as glibc's libdl.a since 2.34."""
SIDECAR = ".submodules.json"
"""What inside/unpack.py leaves beside a git source: path and commit of each submodule."""
_COMPILED = re.compile(r"^\s*Compiling (\S+) v(\S+)", re.MULTILINE)
_LICENCE = re.compile(r'^license\s*=\s*"([^"\n]*)"', re.MULTILINE)
_LICENCE_FILE = re.compile(r"(licen[cs]e|copying|copyright|notice)([-_.].*)?", re.IGNORECASE)
_ARCHIVE = re.compile(r"(?<![\w/=.-])(/[\w./+-]+\.a)(?![\w.])")
_LIBRARY = re.compile(r"(?<!\S)-l([\w.+-]+)")
_FOLDER = re.compile(r"(?<!\S)-L[\"']?(/[^\s\"']+)")
_SUBMODULE = re.compile(r"^\s*(path|url)\s*=\s*(.+?)\s*$", re.MULTILINE)


def sha256(path: Path) -> str:
    """Return a file's digest in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def read(path: Path) -> str:
    """Return a file's text, whatever it holds; of one that is too large, or none, nothing."""
    try:
        if path.is_file() and path.stat().st_size <= MAX_BYTES:
            return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        pass
    return ""


def walk(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Yield every folder below one, with the names of its files, in a fixed order."""
    for folder, names, files in os.walk(root):
        names.sort()
        yield Path(folder), sorted(files)


def submodules(root: Path) -> list[dict[str, str]]:
    """Return the submodules whose files lie below ``root``, by their paths.

    ``commit`` is known where git brought them, and empty where they came in an archive.
    """
    commits: dict[Path, str] = {}
    found: dict[Path, str] = {}
    for folder, files in walk(root):
        for name in files:
            if name.endswith(SIDECAR):
                outer = folder / name[: -len(SIDECAR)]
                commits.update({outer / path: c for path, c in mapping(folder / name).items()})
        if ".gitmodules" in files:
            found.update({folder / path: url for path, url in gitmodules(folder)})
    return [
        {
            "path": path.relative_to(root).as_posix(),
            "url": url,
            "commit": commits.get(path, ""),
        }
        for path, url in sorted(found.items())
        if path.is_dir() and any(path.iterdir())
    ]


def gitmodules(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield path and URL of each submodule that a ``.gitmodules`` names; none leads outside."""
    for section in re.split(r"^\s*\[", read(folder / ".gitmodules"), flags=re.MULTILINE)[1:]:
        found = dict(_SUBMODULE.findall(section))
        if "url" in found and not {"", ".", ".."} & set(found.get("path", "").split("/")):
            yield found["path"], found["url"]


def mapping(path: Path) -> dict[str, str]:
    """Return an object of texts that a JSON file holds; of anything else nothing."""
    try:
        found = json.loads(read(path))
    except (ValueError, RecursionError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def licence_files(folder: Path) -> list[str]:
    """Return the names of licence files at the top of a folder."""
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if _LICENCE_FILE.fullmatch(p.name))


def crate_licences(root: Path | None) -> dict[str, str]:
    """Return what the manifest of each crate, by ``<name>-<version>``, says of its licence."""
    manifests = root.glob("*/*/Cargo.toml") if root else ()
    found = ((p.parent.name, _LICENCE.search(read(p))) for p in manifests)
    # Cargo's old form of "or" is a slash.
    return {name: said[1].replace("/", " OR ") for name, said in sorted(found) if said}


def compiled(log: str) -> list[str]:
    """Return the crates that cargo said that it compiled, by ``<name>-<version>``."""
    return sorted({f"{name}-{version}" for name, version in _COMPILED.findall(log)})


def static_libraries(root: Path, log: str) -> list[dict[str, Any]]:
    """Return the packages of static libraries that link commands name, with these libraries.

    The commands stand in Ninja's and make's files, and in the log.  A library that they name
    without a path is static where a folder of theirs has it so and none has it shared.  What
    was built below ``root`` is of the sources, which are listed anyway.
    """
    texts = [
        log,
        *(read(folder / n) for folder, names in walk(root) for n in names if n in COMMANDS),
    ]
    folders = {"/usr/lib/x86_64-linux-gnu", *(f for text in texts for f in _FOLDER.findall(text))}
    names = {name for text in texts for name in _LIBRARY.findall(text)}
    shared = {name for f in folders for name in names if Path(f, f"lib{name}.so").exists()}
    paths = {path for text in texts for path in _ARCHIVE.findall(text)}
    paths |= {f"{folder}/lib{name}.a" for folder in folders for name in names - shared}
    made: dict[tuple[str, str, str], list[dict[str, str]]] = {}
    for path in sorted({Path(path).resolve() for path in paths}):
        there = path.is_file() and path.stat().st_size > EMPTY_BYTES
        if there and root.resolve() not in path.parents:
            owner = wheel_of(path) or debian_package_of(path)
            made.setdefault(owner, []).append({"name": path.name, "sha256": sha256(path)})
    return [
        {"kind": kind, "name": name, "version": version, "files": files}
        for (kind, name, version), files in sorted(made.items())
        if name
    ]


def wheel_of(path: Path) -> tuple[str, str, str] | None:
    """Return kind, name and version of the unpacked wheel that a file belongs to."""
    for folder in path.parents:
        for record in sorted(folder.glob("*.dist-info/RECORD")):
            row = f"{path.relative_to(folder).as_posix()},"
            if any(line.startswith(row) for line in read(record).splitlines()):
                name, _, version = record.parent.name[: -len(".dist-info")].rpartition("-")
                return "pypi", re.sub(r"[-_.]+", "-", name).lower(), version
    return None


def debian_package_of(path: Path) -> tuple[str, str, str]:
    """Return kind, name and version of the Debian package that a file belongs to, or nothing."""
    # Its file lists may name it without the /usr into which all was moved.
    owners = said("dpkg-query", "--search", str(path), str(path)[len("/usr") :])
    owner = owners.partition("\n")[0].partition(": ")[0].partition(",")[0]
    version = said("dpkg-query", "--show", "--showformat=${Version}", owner) if owner else ""
    return ("deb", owner.partition(":")[0], version) if version else ("", "", "")


def said(*argv: str) -> str:
    """Return what a program prints; nothing where there is none."""
    try:
        done = subprocess.run(
            argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False, timeout=60
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.decode("utf-8", "replace").strip()


def parts(sources: Path, crates: Path | None, log: str) -> dict[str, Any]:
    """Return all of it; paths of ``licence_files`` are relative to ``sources``."""
    inner = submodules(sources)
    folders = [sources, sources / "sources"]
    tops = [p for folder in folders if folder.is_dir() for p in folder.iterdir() if p.is_dir()]
    places = [*tops, *(sources / each["path"] for each in inner)]
    files = {place.relative_to(sources).as_posix(): licence_files(place) for place in places}
    return {
        "submodules": inner,
        "licence_files": {path: names for path, names in sorted(files.items()) if names},
        "crate_licences": crate_licences(crates),
        "compiled": compiled(log),
        "static": static_libraries(sources, log),
    }


def main(arguments: Sequence[str]) -> int:
    """Write the file; return 0, or 74 with one line that says why not."""
    parser = argparse.ArgumentParser(prog="parts", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sources", type=Path, required=True, help="where sources were built")
    parser.add_argument("--crates", type=Path, help="where crates are unpacked, if there are some")
    parser.add_argument("--log", type=Path, required=True, help="what the build printed")
    options = parser.parse_args(arguments)
    try:
        found = parts(options.sources, options.crates, read(options.log))
        options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"farm: error: parts: {error}", file=sys.stderr, flush=True)
        return EXIT_UNLISTED
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
