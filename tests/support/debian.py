"""Debian packages and repositories made by tests: real ones, of a few bytes."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

from farm.debian.archive import Source
from farm.model.debian import Deb, DebSet

if TYPE_CHECKING:
    from pathlib import Path

DATE = "20260101T000000Z"


def deb(name: str, version: str = "1", digest: str = "a") -> Deb:
    """A package that only has a name."""
    path = f"debian/pool/main/{name}_{version}_all.deb"
    return Deb(name=name, version=version, sha256=digest * 64, size=10, path=path)


def debs(*names: str) -> DebSet:
    """Such packages."""
    return DebSet.of(tuple(deb(name) for name in names), DATE)


def make_deb(folder: Path, name: str, version: str, *fields: str) -> Path:
    """A package that can be installed, with further fields of its control file."""
    folder.mkdir(parents=True, exist_ok=True)
    tree = folder / f"{name}-{version.replace(':', '-')}-tree"
    (tree / "DEBIAN").mkdir(parents=True, exist_ok=True)
    lines = (
        *(f"Package: {name}", f"Version: {version}", "Architecture: all"),
        *("Maintainer: t <t@example.org>", *fields, "Description: d"),
    )
    (tree / "DEBIAN/control").write_text("\n".join(lines) + "\n", encoding="utf-8")
    written = folder / f"{name}_{version.replace(':', '%3a')}_all.deb"
    build = ["dpkg-deb", "--root-owner-group", "-Znone", "-b", str(tree), str(written)]
    subprocess.run(build, check=True, capture_output=True)
    return written


def repository(root: Path, suite: str, *packages: Path, state: str = "") -> Source:
    """Put packages into a suite of an archive below ``root``; returns how apt gets at them."""
    dist = root / "dists" / suite
    index = dist / "main" / f"binary-{_architecture()}"
    index.mkdir(parents=True)
    pool = root / "pool" / suite
    pool.mkdir(parents=True)
    stanzas = []
    for package in packages:
        content = package.read_bytes()
        (pool / package.name).write_bytes(content)
        control = subprocess.run(["dpkg-deb", "-f", package], check=True, capture_output=True)
        stanzas.append(
            f"{control.stdout.decode()}Filename: pool/{suite}/{package.name}\n"
            f"Size: {len(content)}\nSHA256: {hashlib.sha256(content).hexdigest()}\n"
        )
    (index / "Packages").write_text("\n".join(stanzas), encoding="utf-8")
    text = (index / "Packages").read_bytes()
    digest = hashlib.sha256(text).hexdigest()
    name = index.relative_to(dist) / "Packages"
    (dist / "Release").write_text(
        f"Suite: {state or suite}\nCodename: {suite}\nDate: Thu, 01 Jan 2026 00:00:00 UTC\n"
        f"Architectures: {_architecture()}\nComponents: main\n"
        + ("NotAutomatic: yes\n" if suite == "experimental" else "")
        + f"SHA256:\n {digest} {len(text)} {name}\n",
        encoding="utf-8",
    )
    return Source(archive="debian", uri=f"copy:{root}", suite=suite, options="trusted=yes")


def _architecture() -> str:
    command = ["dpkg", "--print-architecture"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
