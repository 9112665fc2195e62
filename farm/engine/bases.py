"""Bases: root file systems bootstrapped from Debian packages, kept by content as images."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected by callers
from typing import TYPE_CHECKING, Literal

from farm.engine.rootfs import RootfsSpec
from farm.errors import BaseError, EngineError, FarmError, StorageError

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from farm.engine.endpoint import Endpoint
    from farm.engine.toolbox import Toolbox
    from farm.events import Sink
    from farm.model.unit import RootfsBase

__all__ = ["BaseImage", "RootfsSpec", "bootstrap", "ensure", "load", "resolved", "spec_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseImage:
    """A bootstrapped base.

    ``digest`` is the layer's, ``image_id`` and ``manifest_digest`` are what
    engines call the image (classic store, containerd's store), ``packages``
    the exact versions, ``size_bytes`` the archive's.
    """

    key: str
    suite: str
    snapshot: str | None
    origin: Literal["mirror", "snapshot"]
    digest: str
    image_id: str
    manifest_digest: str
    tag: str
    packages: tuple[tuple[str, str], ...]
    archive: Path
    size_bytes: int


def spec_of(base: RootfsBase) -> RootfsSpec:
    """Return what a unit's base is made of; its name does not matter."""
    packages = tuple(sorted(set(base.packages)))
    return RootfsSpec(
        suite=base.suite,
        packages=packages,
        snapshot=base.snapshot,
        components=base.components,
        exclude_paths=base.exclude_paths,
    )


def resolved(spec: RootfsSpec, cache: Path) -> BaseImage | None:
    """Return the base if it is already bootstrapped and its archive is whole."""
    folder = _folder(spec, cache)
    archive = folder / "image.tar"
    try:
        kept = json.loads((folder / "base.json").read_text(encoding="utf-8"))
        if archive.stat().st_size != kept["size_bytes"]:
            return None
        packages = tuple((str(name), str(version)) for name, version in kept.pop("packages"))
        return BaseImage(**kept, packages=packages, archive=archive)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def ensure(
    spec: RootfsSpec, cache: Path, sink: Sink, *, cancel: threading.Event | None = None
) -> BaseImage:
    """Return the base, making it, and the toolbox that it takes, where they are not there.

    Raises:
        BaseError, EngineError, FetchError, StorageError, CancelledError: As
            ``bootstrap`` and ``toolbox.prepare``.
    """
    found = resolved(spec, cache)
    if found:
        return found
    from farm.engine import toolbox

    tools = toolbox.prepare(cache, sink, cancel=cancel)
    return bootstrap(spec, cache, tools, sink, cancel=cancel)


def bootstrap(
    spec: RootfsSpec,
    cache: Path,
    tools: Toolbox,
    sink: Sink,
    *,
    cancel: threading.Event | None = None,
) -> BaseImage:
    """Return the base, bootstrapping it first if it is not there.

    Raises:
        BaseError: A package does not exist, or the mirror cannot be reached.
        EngineError: No mirror is configured, or namespaces cannot be made.
        StorageError: The disk is full.
        CancelledError: ``cancel`` was set.
    """
    found = resolved(spec, cache)
    if found:
        return found
    _check(spec)
    from farm.engine import bootstrapping, children, packages

    folder = _folder(spec, cache)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_suffix(".lock")
        with children.holding(lock, sink, what=f"the base {spec.suite}", cancel=cancel):
            found = resolved(spec, cache)
            if found:
                return found
            for leftover in (folder, folder.with_suffix(".part")):
                if leftover.exists():
                    shutil.rmtree(leftover)
            bootstrapping.make(spec, folder, tools, sink, cancel=cancel)
    except OSError as error:
        raise packages.storage_error(error, folder) from error
    made = resolved(spec, cache)
    if made is None:
        raise BaseError(f"the base in {folder} vanished while it was made")
    return made


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


def _folder(spec: RootfsSpec, cache: Path) -> Path:
    return cache / "bases" / spec.key


def _check(spec: RootfsSpec) -> None:
    """Refuse what would mean something else on a command line."""
    patterns: Sequence[tuple[str, str]] = (
        (r"[a-z][a-z0-9-]{0,30}", spec.suite),
        (r"[0-9]{8}T[0-9]{6}Z", spec.snapshot or "20260101T000000Z"),
        *((r"[a-z0-9][a-z0-9+.-]+", name) for name in spec.packages),
        *((r"[a-z][a-z-]+", name) for name in spec.components),
        *((r"/[A-Za-z0-9_.+*/-]+", path) for path in spec.exclude_paths),
    )
    for pattern, text in patterns:
        if not re.fullmatch(pattern, text):
            raise BaseError(f"no name of a Debian suite, date, package or file: {text!r}")
