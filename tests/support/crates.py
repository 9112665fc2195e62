"""A cargo registry of our own on the loopback, and crates for it."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from dataclasses import dataclass, field
from pathlib import Path  # noqa: TC003 - dataclass fields

from farm.model.crates import Crate

# Of the shape by which every Cargo.lock names the default registry.
REGISTRY = "registry+https://github.com/rust-lang/example.org-index"


def crate_bytes(name: str, version: str, files: dict[str, str] | None = None) -> bytes:
    """A ``.crate``: what ``cargo package`` would pack."""
    manifest = f'[package]\nname = "{name}"\nversion = "{version}"\nedition = "2021"\n'
    whole = {"Cargo.toml": manifest, "src/lib.rs": "", **(files or {})}
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path, text in whole.items():
            info = tarfile.TarInfo(f"{name}-{version}/{path}")
            info.size, info.mtime = len(text.encode()), 1_000_000_000
            tar.addfile(info, io.BytesIO(text.encode()))
    return gzip.compress(packed.getvalue(), mtime=0)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@dataclass(kw_only=True)
class Registry:
    """A registry of the sparse protocol, as files of a folder.

    https://doc.rust-lang.org/cargo/reference/registry-index.html
    """

    folder: Path
    url: str
    pins: list[Crate] = field(default_factory=list)

    def __post_init__(self) -> None:
        (self.folder / "index").mkdir(parents=True)
        (self.folder / "dl").mkdir()
        config = {"dl": f"{self.url}/dl/{{crate}}-{{version}}.crate"}
        (self.folder / "index/config.json").write_text(json.dumps(config))

    def add(
        self, name: str, version: str, *, needs: dict[str, str] | None = None, yanked: bool = False
    ) -> Crate:
        """Publish a crate; returns its pin."""
        content = crate_bytes(name, version)
        (self.folder / "dl" / f"{name}-{version}.crate").write_bytes(content)
        row = {
            "name": name, "vers": version, "cksum": sha256(content), "features": {},
            "yanked": yanked, "deps": [_dependency(*item) for item in (needs or {}).items()],
        }  # fmt: skip
        with self.entry(name).open("a") as file:
            file.write(json.dumps(row) + "\n")
        self.pins.append(Crate(name=name, version=version, sha256=sha256(content)))
        return self.pins[-1]

    def entry(self, name: str) -> Path:
        """The index file of a crate whose name has four letters or more."""
        path = self.folder / "index" / name[:2] / name[2:4] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def file(self, crate: Crate) -> Path:
        """What the registry gives for a crate."""
        return self.folder / "dl" / crate.filename

    def user_home(self, folder: Path) -> Path:
        """A cargo folder of a user whose configuration replaces the default registry by this."""
        folder.mkdir()
        (folder / "config.toml").write_text(
            '[source.crates-io]\nreplace-with = "ours"\n'
            f'[source.ours]\nregistry = "sparse+{self.url}/index/"\n[net]\nretry = 0\n'
        )
        return folder


def _dependency(name: str, requirement: str) -> dict[str, object]:
    return {
        "name": name, "req": requirement, "features": [], "optional": False,
        "default_features": True, "target": None, "kind": "normal",
    }  # fmt: skip
