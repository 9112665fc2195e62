"""Where bundles are opened, and with what they are built."""

from __future__ import annotations

import tempfile
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from farm.host.files import storage_errors
from farm.host.in_use import in_use
from farm.load.folders import mark_cache
from farm.load.project import shipped_root
from farm.repro.find import find_bundle
from farm.repro.opening import open_bundle
from farm.repro.trust import require_trusted
from farm.store.blobs import Store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.engine.engine import Engine
    from farm.events import Sink
    from farm.load.project import Project
    from farm.repro.opening import Opened
    from farm.run.options import BuildOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Where farm stands: a bundle needs no project, but one may say what is meant."""

    cache: Path
    project: Project | None = None
    out: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """With what a bundle is built: ``engine`` is one that is there, else the options choose."""

    cache: Path
    options: BuildOptions
    sink: Sink
    cancel: threading.Event = field(default_factory=threading.Event)
    engine: Engine | None = None


@contextmanager
def opened_at(word: str, grounds: Grounds, *, networked: bool = False) -> Iterator[Opened]:
    """Find, open and check a bundle, to be read; its files are gone when the context ends.

    Raises:
        UsageError: nothing is meant by the word, or it is no bundle.
        IntegrityError: the bundle was cut or changed.
        StorageError: the cache folder cannot be written.
    """
    path = find_bundle(word, grounds.out)
    folder = grounds.cache / "tmp"
    with storage_errors(grounds.cache):
        mark_cache(grounds.cache)
        folder.mkdir(exist_ok=True)
    with in_use(grounds.cache), tempfile.TemporaryDirectory(dir=folder, prefix="bundle-") as name:
        opened = open_bundle(path, Path(name), networked=networked)
        yield replace(opened, ours=_is_below(path, grounds.out))


def _is_below(path: Path, folder: Path | None) -> bool:
    return folder is not None and path.resolve().is_relative_to(folder.resolve())


@contextmanager
def opened_for(
    word: str, grounds: Grounds, *, trust_base: bool = False, networked: bool = False
) -> Iterator[Opened]:
    """Open a bundle to build it: its base may be made here, of packages that it holds, too.

    Raises:
        BaseError: its base has packages that nothing here names, without ``trust_base``.
        FarmError: see `opened_at`.
    """
    with opened_at(word, grounds, networked=networked) as opened:
        if not trust_base:
            roots = grounds.project.roots if grounds.project else (shipped_root(),)
            require_trusted(opened.unit, grounds.cache, roots)
        store = Store(grounds.cache / "store")
        for sha256, path in opened.debs.items():
            store.add_file(path, expected=sha256)
        yield opened
