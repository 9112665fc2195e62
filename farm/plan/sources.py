"""Sources as the plan carries them, from the models that the recipe holds."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from farm.model.source import (
    ArchiveSource,
    GitSource,
    SdistSource,
    TreeSource,
    WheelSource,
    wheel_filename,
)
from farm.model.unit import Source, git_digest

if TYPE_CHECKING:
    from farm.load.library import Library
    from farm.model.recipe import Recipe


def main_source(recipe: Recipe, version: str, library: Library) -> Source:
    """The source of the package itself."""
    spec = recipe.versions[version].source
    if isinstance(spec, SdistSource):
        name = f"{recipe.package.replace('-', '_')}-{version}.tar.gz"
        digest = f"sha256:{spec.sdist}"
        return Source(name=recipe.package, kind="sdist", filename=name, digest=digest)
    return resolve_source(recipe.package, spec, library)


def resolve_source(name: str, spec: object, library: Library) -> Source:
    """A further source, or a package's own that is no sdist."""
    match spec:
        case ArchiveSource():
            return Source(
                name=name,
                kind="archive",
                filename=f"{name}-{_plain_name(spec.archive)}",
                digest=f"sha256:{spec.sha256}",
                url=spec.archive,
            )
        case GitSource():
            return Source(
                name=name,
                kind="git",
                filename=f"{name}-{spec.commit[:12]}.tar",
                digest=git_digest(spec.commit, spec.submodules),
                url=spec.git,
                submodules=spec.submodules,
            )
        case TreeSource():
            # One that is not there is told by the library, of which no unit then comes.
            digest, path = library.trees.get(spec.tree, ("", None))
            return Source(
                name=name,
                kind="tree",
                filename=f"{name}.tar",
                digest=f"tree:{digest}",
                path=path,
            )
        case WheelSource():
            return Source(
                name=name,
                kind="wheel",
                filename=wheel_filename(spec.wheel),
                digest=f"sha256:{spec.sha256}",
                url=spec.wheel,
            )
    raise AssertionError(f"unknown source {spec!r}")


def _plain_name(url: str) -> str:
    """The last part of a URL as a file name that means nothing to a shell, at most 100 long."""
    name = re.split(r"[?#]", url, maxsplit=1)[0].rsplit("/", 1)[-1]
    return re.sub(r"[^A-Za-z0-9._+-]", "_", name)[-100:]
