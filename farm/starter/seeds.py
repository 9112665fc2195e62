"""The package that a new project begins with: farm's own example, or one from the index."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.errors import UsageError

if TYPE_CHECKING:
    from farm.source.index import PackageIndex

_LONGEST_NAME = 100
"""As in a recipe's ``package``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seed:
    """One version of a package, by the hash of its sdist.

    ``extensions`` is what its wheel must hold, and ``imports`` what must be importable,
    where that is known; ``lock`` and ``smoke_test_lock`` are the texts of its lock files,
    where farm brings them.
    """

    package: str
    version: str
    sha256: str
    summary: str
    extensions: tuple[str, ...] = ()
    imports: tuple[str, ...] = ()
    lock: str = ""
    smoke_test_lock: str = ""


def example() -> Seed:
    """A small package with a C extension that compiles in a second; needs no network."""
    return Seed(
        package="markupsafe",
        version="3.0.3",
        sha256="722695808f4b6457b320fdc131280796bdceb04ab50fe1795cd540799ebe1698",
        summary="Escapes text for HTML, with a small C extension",
        extensions=("markupsafe/_speedups.*.so",),
        imports=("markupsafe._speedups",),
        lock=read("example.lock.txt"),
        smoke_test_lock=read("example.smoke-test.txt"),
    )


def from_index(name: str, index: PackageIndex | None = None) -> Seed:
    """The newest release of a package that has an sdist.

    Raises:
        UsageError: it is no package's name.
        FetchError: the index has no such package, or no sdist of it, or cannot be asked.
    """
    from packaging.utils import canonicalize_name, is_normalized_name

    from farm.source.index import PackageIndex

    package = canonicalize_name(name)
    if not is_normalized_name(package) or len(package) > _LONGEST_NAME:
        raise UsageError(f"{name[:80]!r} is not the name of a package")
    index = index or PackageIndex()
    version = index.newest_version(package)
    file = index.find_sdist(package, version)
    summary = f"{package} from its sdist"
    return Seed(package=package, version=version, sha256=file.sha256, summary=summary)


def read(name: str) -> str:
    """The text of a file that travels with farm."""
    from importlib.resources import files

    return (files("farm.starter") / "files" / name).read_text(encoding="utf-8")
