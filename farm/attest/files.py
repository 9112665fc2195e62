"""Write what lies beside a wheel: its SBOM, its provenance."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.attest.provenance import PAYLOAD, statement
from farm.host.files import write_whole
from farm.store.record import Input
from farm.store.signing import sign

if TYPE_CHECKING:
    from pathlib import Path

    from farm.attest.made import Made
    from farm.store.record import Record
    from farm.store.signing import PrivateKey

SBOM, PROVENANCE, SIGNED = ".cdx.json", ".provenance.json", ".intoto.jsonl"
"""What is added to a wheel's name."""


def attest(folder: Path, made: Made, key: PrivateKey | None = None) -> Record:
    """Write what lies beside the one wheel in a folder; returns the record that names it.

    With a key, the provenance lies there once more, in an envelope that it signed.

    Raises:
        StorageError: the disk is full.
    """
    from farm.attest.sbom import beside, embedded  # 0.2 s, which acceptance paid

    (wheel,) = made.wheels
    inner = embedded(folder / wheel.filename)
    texts = {SBOM: beside(inner, made)} if inner else {}
    written = [_write(folder, wheel.filename + end, text) for end, text in texts.items()]
    told = statement(made, written)
    written.append(_write(folder, wheel.filename + PROVENANCE, told))
    if key is not None:
        envelope = json.dumps(sign(told.encode(), PAYLOAD, key)) + "\n"
        written.append(_write(folder, wheel.filename + SIGNED, envelope))
    return replace(made.record, attestations=tuple(written))


def is_signed(record: Record) -> bool:
    """Whether a signed provenance lies beside the wheels of a record."""
    return any(each.name.endswith(SIGNED) for each in record.attestations)


def _write(folder: Path, name: str, text: str) -> Input:
    write_whole(folder / name, text)
    return Input(name=name, digest=f"sha256:{hashlib.sha256(text.encode()).hexdigest()}")
