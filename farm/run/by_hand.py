"""A unit's build as a folder, for who builds it without farm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import UsageError
from farm.host.files import storage_errors
from farm.run.layout import write_context
from farm.run.prerequisites import bring_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from farm.events import Sink
    from farm.model.unit import Unit
    from farm.run.options import BuildOptions
    from farm.run.settle import Identified, Settled


def require_needs(unit: Unit, settled: Mapping[str, Settled]) -> None:
    """A context without the wheels that a unit needs would only fail to build.

    Raises:
        UsageError: one of them is not built yet.
    """
    missing = [need.label for need in unit.needs if settled[need.label].result is None]
    if missing:
        raise UsageError(
            f"{unit.label} needs {', '.join(missing)}, which is not built yet",
            hint=f"build it first: farm build {' '.join(missing)}",
        )


def require_empty(folder: Path) -> None:
    """What lies in a folder already is nobody's to overwrite.

    Raises:
        UsageError: it holds something, or is none.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is no folder", hint="name a new folder")
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(f"{folder} is not empty", hint="name a new folder")


def write_build(
    identified: Identified, folder: Path, cache: Path, options: BuildOptions, sink: Sink
) -> None:
    """Write a unit's Dockerfile and context, staged inputs included; all but its base.

    Raises:
        FetchError, IntegrityError: an input could not be brought.
        StorageError: the disk is full, or the folder cannot be written.
    """
    staged = bring_inputs(identified.unit, cache, options, sink)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_context(folder, identified.manifest.context, staged, linked=False)
        (folder / "Dockerfile").write_text(identified.manifest.dockerfile, encoding="utf-8")
