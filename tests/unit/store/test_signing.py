"""Envelopes: what was signed comes out, and nothing else is believed."""

from __future__ import annotations

import base64
import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import IntegrityError, UsageError
from farm.store.signing import key_id, read_private_key, read_public_key, sign, verify

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TYPE = "application/vnd.in-toto+json"
KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


def openssl(*words: str) -> bytes:
    return subprocess.run(["openssl", *words], check=True, capture_output=True).stdout


@given(payload=st.binary(max_size=200))
def test_what_was_signed_comes_out(payload: bytes) -> None:
    envelope = sign(payload, TYPE, KEY)
    trusted = [OTHER.public_key(), KEY.public_key()]
    assert verify(json.loads(json.dumps(envelope)), TYPE, trusted) == payload
    assert envelope == sign(payload, TYPE, KEY)


def test_the_signature_is_of_the_encoding_that_dsse_demands() -> None:
    envelope = sign(b"hello world", "http://example.com/HelloWorld", KEY)
    signed = b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"  # of its protocol.md
    (only,) = envelope["signatures"]
    KEY.public_key().verify(base64.b64decode(only["sig"]), signed)
    assert only["keyid"] == key_id(KEY.public_key())


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda e: e.update(payload=base64.b64encode(b"evil").decode()), "was changed"),
        (lambda e: e.update(sign(b"text", TYPE, OTHER)), "signed by another key"),
        (
            lambda e: e["signatures"][0].update(keyid=key_id(KEY.public_key()), sig="AAAA"),
            "changed",
        ),
        (lambda e: e.update(payloadType="text/plain"), "envelope of 'text/plain'"),
        (lambda e: e.update(sign(b"text", "text/plain", KEY)), "envelope of 'text/plain'"),
        (lambda e: e.update(sign(b"text", "other", KEY), payloadType=TYPE), "was changed"),
        (lambda e: e.update(signatures=[]), "is not signed"),
        (lambda e: e.pop("signatures"), "no signed envelope"),
        (lambda e: e.update(signatures=["a"]), "no signed envelope"),
        (lambda e: e.update(payload="no base64!"), "no signed envelope"),
        (lambda e: e.update(payload=3), "no signed envelope"),
    ],
)
def test_nothing_else_is_believed(change: Callable[[dict[str, Any]], object], word: str) -> None:
    envelope = sign(b"text", TYPE, KEY)
    change(envelope)
    with pytest.raises(IntegrityError, match=word):
        verify(envelope, TYPE, [KEY.public_key()])


@given(envelope=JSON)
def test_anything_else_is_no_envelope(envelope: object) -> None:
    with pytest.raises(IntegrityError):
        verify(envelope, TYPE, [KEY.public_key()])


def test_a_hostile_name_of_a_key_is_not_shown() -> None:
    envelope = sign(b"text", TYPE, OTHER)
    envelope["signatures"][0]["keyid"] = "\x1b[31mevil"
    with pytest.raises(IntegrityError) as caught:
        verify(envelope, TYPE, [KEY.public_key()])
    assert "of no plain name" in caught.value.message
    assert "\x1b" not in caught.value.message


def test_keys_of_openssl_are_read_and_the_signature_holds_there_too(tmp_path: Path) -> None:
    private, public = tmp_path / "key.pem", tmp_path / "key.pub"
    openssl("genpkey", "-algorithm", "ed25519", "-out", str(private))
    openssl("pkey", "-in", str(private), "-pubout", "-out", str(public))
    envelope = sign(b"text", TYPE, read_private_key(private))
    assert verify(envelope, TYPE, [read_public_key(public)]) == b"text"
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    (tmp_path / "signed").write_bytes(b"DSSEv1 %d %b 4 text" % (len(TYPE), TYPE.encode()))
    words = ["-verify", "-pubin", "-inkey", str(public), "-rawin", "-in", str(tmp_path / "signed")]
    assert b"Success" in openssl("pkeyutl", *words, "-sigfile", str(tmp_path / "sig"))


def unfit(tmp_path: Path, how: str) -> Path:
    path = tmp_path / "key"
    if how == "rsa":
        openssl("genpkey", "-algorithm", "rsa", "-out", str(path))
    elif how == "password":
        openssl(
            "genpkey", "-algorithm", "ed25519", "-aes256", "-pass", "pass:x", "-out", str(path)
        )
    elif how == "folder":
        path.mkdir()
    elif how != "absent":
        path.write_text(how)
    return path


@pytest.mark.parametrize("how", ["rsa", "password", "folder", "absent", "", "s3cr3t words"])
@pytest.mark.parametrize("read", [read_private_key, read_public_key])
def test_what_is_no_key_is_told_and_not_quoted(
    tmp_path: Path, how: str, read: Callable[[Path], object]
) -> None:
    with pytest.raises(UsageError) as caught:
        read(unfit(tmp_path, how))
    said = f"{caught.value.message} {caught.value.hint}"
    assert str(tmp_path / "key") in said
    assert "s3cr3t" not in said
