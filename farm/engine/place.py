"""Where everything of one cache folder's private engine lies."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

_SOCKET_LIMIT_BYTES = 100
"""A Unix socket's path may have 107 bytes (unix(7)); clients append to it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """``folder`` holds what lasts, ``run`` the socket; ``cgroup`` is below every hierarchy."""

    folder: Path
    run: Path
    cgroup: str

    @property
    def data(self) -> Path:
        """Images, layers and build cache."""
        return self.folder / "data"

    @property
    def socket(self) -> Path:
        """Where dockerd listens."""
        return self.run / "docker.sock"

    @property
    def log(self) -> Path:
        """What dockerd said since the last start."""
        return self.folder / "dockerd.log"

    @property
    def network_log(self) -> Path:
        """What its network said since the last start."""
        return self.folder / "network.log"

    @property
    def state(self) -> Path:
        """Written when everything has come up, and only then."""
        return self.folder / "state.json"

    @property
    def engine_identity(self) -> Path:
        """Who the engine's outermost process is."""
        return self.folder / "engine.pid"

    @property
    def network_identity(self) -> Path:
        """Who its network process is."""
        return self.folder / "network.pid"


def place_of(cache: Path) -> Place:
    """Return the places of the engine that belongs to a cache folder."""
    folder = Path(os.path.realpath(cache / "engine"))  # one engine, however its folder is called
    tag = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    run = folder / "run"
    if len(os.fsencode(run / "docker.sock")) > _SOCKET_LIMIT_BYTES:
        run = Path("/run") / f"farm-{tag}"  # root's own, and emptied by a reboot
    return Place(folder=folder, run=run, cgroup=f"/farm-{tag}")
