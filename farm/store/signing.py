"""Signatures: envelopes of what was signed, as DSSE has them, by ed25519 keys.

https://github.com/secure-systems-lab/dsse/blob/master/protocol.md and envelope.md.  Keys are
PEM files as ``openssl genpkey -algorithm ed25519`` and ``openssl pkey -pubout`` write them;
nothing of a private one is ever shown.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Any, TypeAlias

from farm.errors import IntegrityError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

    PrivateKey: TypeAlias = Ed25519PrivateKey
    PublicKey: TypeAlias = Ed25519PublicKey

_MAX_KEY_BYTES = 1 << 16


def read_private_key(path: Path) -> PrivateKey:
    """The key to sign with.

    Raises:
        UsageError: it cannot be read, or is no ed25519 key without a password.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    hint = "make one: openssl genpkey -algorithm ed25519 -out FILE; it must have no password"
    key = _load(path, lambda content: load_pem_private_key(content, None), hint)
    if not isinstance(key, Ed25519PrivateKey):
        raise UsageError(f"{path} is no ed25519 key", hint=hint)
    return key


def read_public_key(path: Path) -> PublicKey:
    """A key to trust.

    Raises:
        UsageError: it cannot be read, or is no public ed25519 key.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    hint = "the public half of a key: openssl pkey -in PRIVATE -pubout -out FILE"
    key = _load(path, load_pem_public_key, hint)
    if not isinstance(key, Ed25519PublicKey):
        raise UsageError(f"{path} is no ed25519 key", hint=hint)
    return key


def _load(path: Path, parse: Callable[[bytes], object], hint: str) -> object:
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        with path.open("rb") as file:
            return parse(file.read(_MAX_KEY_BYTES))
    except OSError as error:
        raise UsageError(f"the key {path} cannot be read: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Not the library's words, which may quote what is in the file.
        raise UsageError(f"{path} is no key in PEM that can be used", hint=hint) from None


def key_id(key: PublicKey) -> str:
    """What envelopes call a key: sha256 of its DER form (SubjectPublicKeyInfo), in hex."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).hexdigest()


def sign(payload: bytes, payload_type: str, key: PrivateKey) -> dict[str, Any]:
    """The envelope of a payload; ed25519 gives the same signature each time."""
    signature = key.sign(_encoded(payload, payload_type))
    return {
        "payloadType": payload_type,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [
            {"keyid": key_id(key.public_key()), "sig": base64.b64encode(signature).decode()}
        ],
    }


def verify(envelope: object, payload_type: str, trusted: Sequence[PublicKey]) -> bytes:
    """What is in an envelope, if it is of that type and one of the keys signed it.

    Whose signature it is says the signature; the names of keys in it are only shown.

    Raises:
        IntegrityError: it is no envelope, of another type, not signed, or signed by others.
    """
    from cryptography.exceptions import InvalidSignature

    payload, signatures = _opened(envelope, payload_type)
    signed = _encoded(payload, payload_type)
    for key in trusted:
        for _, signature in signatures:
            try:
                key.verify(signature, signed)
            except InvalidSignature:
                continue
            return payload
    names = ", ".join(name for name, _ in signatures)
    known = ", ".join(key_id(key)[:16] for key in trusted)
    if not signatures:
        raise IntegrityError("it is not signed", hint=f"trusted is: {known}")
    raise IntegrityError(
        f"it was changed after it was signed, or signed by another key ({names})",
        hint=f"trusted is: {known}",
    )


def unverified(envelope: object, payload_type: str) -> bytes:
    """What is in an envelope of that type, whoever signed it.

    Raises:
        IntegrityError: it is no envelope, or of another type.
    """
    return _opened(envelope, payload_type)[0]


def _opened(envelope: object, payload_type: str) -> tuple[bytes, list[tuple[str, bytes]]]:
    """The payload, and each signature with what it calls its key."""
    try:
        if not isinstance(envelope, dict):
            raise TypeError  # noqa: TRY301 - one answer to all that is none
        found = envelope["payloadType"]
        payload = base64.b64decode(envelope["payload"], validate=True)
        signatures = [
            (_name(each.get("keyid", "")), base64.b64decode(each["sig"], validate=True))
            for each in envelope["signatures"]
        ]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise IntegrityError("it is no signed envelope (DSSE)") from error
    if found != payload_type:
        raise IntegrityError(f"it is an envelope of {str(found)[:80]!r}, not of {payload_type!r}")
    return payload, signatures


def _name(text: object) -> str:
    """What may be shown of a key's name, which anybody may have written."""
    name = str(text)
    return name[:16] if name.isascii() and name.isalnum() else "of no plain name"


def _encoded(payload: bytes, payload_type: str) -> bytes:
    """What is signed: the type too, and lengths, so that one cannot be taken for another."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)
