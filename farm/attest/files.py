"""Write what lies beside a wheel: its SBOM, its provenance."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.attest.provenance import statement
from farm.host.files import write_whole
from farm.store.record import Input

if TYPE_CHECKING:
    from pathlib import Path

    from farm.attest.made import Made
    from farm.store.record import Record

SBOM, PROVENANCE = ".cdx.json", ".provenance.json"
"""What is added to a wheel's name."""


def attest(folder: Path, made: Made) -> Record:
    """Write what lies beside the one wheel in a folder; returns the record that names it.

    Raises:
        StorageError: the disk is full.
    """
    from farm.attest.sbom import beside, embedded  # half a second, while a wheel was built

    (wheel,) = made.wheels
    inner = embedded(folder / wheel.filename)
    texts = {SBOM: beside(inner, made)} if inner else {}
    written = [_write(folder, wheel.filename + end, text) for end, text in texts.items()]
    told = _write(folder, wheel.filename + PROVENANCE, statement(made, written))
    return replace(made.record, attestations=(*written, told))


def _write(folder: Path, name: str, text: str) -> Input:
    write_whole(folder / name, text)
    return Input(name=name, digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")
