"""Images that an engine has: bases are loaded into it by their content."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

from farm.errors import BaseError, EngineError, FarmError, StorageError

if TYPE_CHECKING:
    from farm.debian.bases import BaseImage
    from farm.engine.endpoint import Endpoint


def load(base: BaseImage, endpoint: Endpoint) -> None:
    """Make sure that an engine has the base under its tag.

    Raises:
        BaseError: The engine refuses the archive.
        EngineError: The engine cannot be reached.
        StorageError: The engine's disk is full.
    """
    ids = {base.image_id, base.manifest_digest}
    if _image_id(base.tag, endpoint) in ids:
        return
    done = docker(endpoint, "load", "--quiet", "--input", str(base.archive))
    if done.returncode:
        raise _load_failure(base, endpoint, done.stderr)
    if _image_id(base.tag, endpoint) in ids:
        return
    # containerd's store loads the image without its name.
    for image in (base.manifest_digest, base.image_id):
        if docker(endpoint, "tag", image, base.tag).returncode == 0:
            return
    raise BaseError(
        f"the engine {endpoint.name} loaded {base.archive} but does not know {base.tag}",
        hint="use another engine (farm engine up)",
    )


def _load_failure(base: BaseImage, endpoint: Endpoint, text: str) -> FarmError:
    lines = tuple(line for line in text.splitlines() if line.strip())[-5:]
    if "no space left on device" in text.lower():
        return StorageError(
            f"the disk of the engine {endpoint.name} is full: {base.tag} does not fit",
            hint="free some space there (docker builder prune, farm clean)",
            details=lines,
        )
    if "cannot connect" in text.lower() or "connection refused" in text.lower():
        return EngineError(
            f"the engine {endpoint.name} cannot be reached",
            hint="see farm doctor",
            details=lines,
        )
    return BaseError(
        f"the engine {endpoint.name} cannot load {base.archive}",
        hint="delete that file's folder to bootstrap the base anew",
        details=lines,
    )


def _image_id(tag: str, endpoint: Endpoint) -> str | None:
    done = docker(endpoint, "image", "inspect", "--format", "{{.Id}}", tag)
    return done.stdout.strip() if done.returncode == 0 else None


def docker(endpoint: Endpoint, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a docker command of an engine to its end."""
    return subprocess.run(
        [*endpoint.docker, *arguments],
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        env=endpoint.environment(),
    )
