"""Where a bundle is opened: a folder for its files, which is gone afterwards."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.host.files import storage_errors
from farm.host.in_use import in_use
from farm.load.folders import mark_cache
from farm.load.project import shipped_root
from farm.repro.find import find_bundle
from farm.repro.opening import open_bundle
from farm.repro.trust import require_trusted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.load.project import Project
    from farm.repro.opening import Opened


@dataclass(frozen=True, slots=True, kw_only=True)
class Grounds:
    """Where farm stands: a bundle needs no project, but one may say what is meant."""

    cache: Path
    project: Project | None = None
    out: Path | None = None


@contextmanager
def opened_for(
    word: str, grounds: Grounds, *, trust_base: bool = False, networked: bool = False
) -> Iterator[Opened]:
    """Find, open and check a bundle; its files are gone when the context ends.

    Raises:
        UsageError: nothing is meant by the word, or it is no bundle.
        IntegrityError: the bundle was cut or changed.
        BaseError: its base has packages that nothing here names, without ``trust_base``.
        StorageError: the cache folder cannot be written.
    """
    path = find_bundle(word, grounds.out)
    folder = grounds.cache / "tmp"
    with storage_errors(grounds.cache):
        mark_cache(grounds.cache)
        folder.mkdir(exist_ok=True)
    with in_use(grounds.cache), tempfile.TemporaryDirectory(dir=folder, prefix="bundle-") as name:
        opened = open_bundle(path, Path(name), networked=networked)
        if not trust_base:
            roots = grounds.project.roots if grounds.project else (shipped_root(),)
            require_trusted(opened.unit, grounds.cache, roots)
        yield opened
