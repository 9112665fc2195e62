"""Bases: root file systems bootstrapped from Debian packages, kept by content as images."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected by callers
from typing import TYPE_CHECKING, Literal

from farm.debian.rootfs import RootfsSpec
from farm.errors import BaseError
from farm.host.files import storage_error
from farm.host.locks import holding, waiting

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from farm.debian.toolbox import Toolbox
    from farm.events import Sink
    from farm.model.unit import RootfsBase

__all__ = ["BaseImage", "RootfsSpec", "bootstrap", "ensure", "resolved", "spec_of"]


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
    from farm.debian import toolbox

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
    from farm.debian import bootstrapping

    folder = _folder(spec, cache)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = folder.with_suffix(".lock")
        with holding(lock, cancel=cancel, on_wait=waiting(sink, f"the base {spec.suite}")):
            found = resolved(spec, cache)
            if found:
                return found
            for leftover in (folder, folder.with_suffix(".part")):
                if leftover.exists():
                    shutil.rmtree(leftover)
            bootstrapping.make(spec, folder, tools, sink, cancel=cancel)
    except OSError as error:
        raise storage_error(error, folder) from error
    made = resolved(spec, cache)
    if made is None:
        raise BaseError(f"the base in {folder} vanished while it was made")
    return made


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
