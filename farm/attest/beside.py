"""Does the provenance beside a wheel fit it?  What lies there may come from anybody."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from farm.attest.files import PROVENANCE, SIGNED
from farm.attest.provenance import PAYLOAD, PREDICATE, STATEMENT
from farm.errors import IntegrityError
from farm.inside.sbom import clean
from farm.inspect.findings import Finding
from farm.store.signing import verify

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from farm.store.signing import PublicKey

MAX_BYTES: Final = 64 << 20
"""Largest provenance that is read; that of a package with 600 crates has 0.3 MB."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """What a provenance says of a wheel; ``verified`` if a trusted key signed it."""

    unit: str
    identity: str
    farm: str
    finished: str
    verified: bool

    def __str__(self) -> str:
        signed = "signed by a trusted key" if self.verified else "who says so was not verified"
        built = f"built as {self.unit} by farm {self.farm}, {self.finished}"
        return f"{built}; identity {self.identity[:12]}; {signed}"


def vouched(
    wheel: Path, sha256: str, trusted: Sequence[PublicKey] = ()
) -> tuple[Vouched | None, tuple[Finding, ...]]:
    """What the provenance beside a wheel of this digest says, and what is wrong with it.

    Without one there is nothing to say, but with ``trusted`` keys there must be one that is
    signed by one of these.
    """
    try:
        text = _statement(wheel, trusted)
        if text is None:
            return None, ()
        return _fitting(wheel, sha256, text, verified=bool(trusted)), ()
    except IntegrityError as error:
        return None, (Finding(code="provenance", message=error.message),)


def _statement(wheel: Path, trusted: Sequence[PublicKey]) -> bytes | None:
    """The statement; with keys, only what one of them signed.

    Raises:
        IntegrityError: it cannot be read, or is not signed so.
    """
    plain, signed = (wheel.with_name(wheel.name + end) for end in (PROVENANCE, SIGNED))
    if trusted:
        if not signed.is_file():
            raise IntegrityError(f"there is no signed provenance beside it ({signed.name})")
        try:
            return verify(json.loads(_read(signed)), PAYLOAD, trusted)
        except (ValueError, RecursionError) as error:
            raise IntegrityError(f"{signed.name} is no signed envelope (DSSE)") from error
        except IntegrityError as error:
            raise IntegrityError(f"{signed.name}: {error.message}; {error.hint}") from error
    return _read(plain) if plain.is_file() else None


def _read(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise IntegrityError(f"{path.name} is larger than any provenance")
        return path.read_bytes()
    except OSError as error:
        raise IntegrityError(f"{path.name} cannot be read: {error.strerror}") from error


def _fitting(wheel: Path, sha256: str, text: bytes, *, verified: bool) -> Vouched:
    try:
        document = json.loads(text)
        kinds = (document["_type"], document["predicateType"])
        digests = {each["name"]: each["digest"]["sha256"] for each in document["subject"]}
        if kinds != (STATEMENT, PREDICATE):
            raise IntegrityError(f"the provenance beside it is of another kind: {_shown(kinds)}")
        if digests.get(wheel.name) != sha256:
            told = _shown(digests.get(wheel.name, "no such file"))
            raise IntegrityError(f"the provenance beside it is of another file: {told}")
        return _said(document["predicate"], verified=verified)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise IntegrityError("what lies beside it is no provenance of farm") from error


def _said(predicate: dict[str, Any], *, verified: bool) -> Vouched:
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    return Vouched(
        unit=_shown(definition["externalParameters"]["unit"]),
        identity=_shown(definition["internalParameters"]["identity"]),
        farm=_shown(details["builder"]["version"]["farm"]),
        finished=_shown(details["metadata"]["finishedOn"]),
        verified=verified,
    )


def _shown(text: object) -> str:
    return clean(str(text))[:100]
