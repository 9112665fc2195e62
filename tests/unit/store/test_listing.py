"""Listings of shared results: everything that may come from elsewhere is looked at first."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from farm.model.key import UnitKey
from farm.store.listing import (
    PAYLOAD,
    RefusedError,
    Why,
    belongs,
    listing_of,
    read_listing,
    text_of,
)
from farm.store.record import Record
from farm.store.results import Result
from farm.store.signing import key_id, sign

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

KEY = UnitKey(package="demo", version="1.0", variant="cpu")
IDENTITY, OTHER = "ab" * 32, "cd" * 32
WHEEL = "demo-1.0-cp313-cp313-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
MINE = Ed25519PrivateKey.from_private_bytes(bytes(32))
THEIRS = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)


def data() -> dict[str, Any]:
    names = {WHEEL: OTHER, "record.json": OTHER, "manifest.json": IDENTITY}
    files = [{"name": n, "sha256": d, "size_bytes": 3} for n, d in names.items()]
    return {"format": 1, "unit": KEY.label, "identity": IDENTITY, "expected": "e", "files": files}


def read(content: bytes, *trusted: Ed25519PrivateKey) -> bool:
    keys = [key.public_key() for key in trusted]
    return read_listing(content, KEY, IDENTITY, keys).signed


def refused(content: bytes, *trusted: Ed25519PrivateKey) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        read(content, *trusted)
    assert caught.value.message.isprintable()
    return caught.value


def result_in(folder: Path) -> Result:
    record = Record(
        unit=KEY.label, package="demo", version="1.0", variant="cpu", python="3.13",
        accelerator="cpu", archs=(), features=(), toolchain="cpu", host_compiler="gcc-14",
        identity=IDENTITY, outcome="built", expected="e",
    )  # fmt: skip
    return Result(record=record, folder=folder)


def add(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda d: d["files"].append({"name": name, "sha256": OTHER, "size_bytes": 1})


def test_what_is_listed_is_read(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    for name in (WHEEL, f"{WHEEL}.cdx.json", "record.json", "logs/build.log", "secrets.txt"):
        (tmp_path / name).write_text(name)
    (tmp_path / "Dockerfile").symlink_to("secrets.txt")
    found = listing_of(result_in(tmp_path), KEY)
    assert [each.name for each in found.files] == [
        WHEEL,
        f"{WHEEL}.cdx.json",
        "logs/build.log",
        "record.json",
    ]
    assert found.files[2].size_bytes == len("logs/build.log")
    assert found.wheels == found.files[:1]


def test_a_signed_listing_is_read_with_and_without_its_key() -> None:
    content = json.dumps(sign(json.dumps(data()).encode(), PAYLOAD, MINE)).encode()
    assert read(content, THEIRS, MINE)
    assert read(content)
    assert not read(json.dumps(data()).encode())


def test_what_is_stored_is_signed_by_the_key(tmp_path: Path) -> None:
    listing = listing_of(result_in(tmp_path), KEY)
    assert json.loads(text_of(listing, None))["unit"] == KEY.label
    assert json.loads(text_of(listing, MINE))["payloadType"] == PAYLOAD


def test_with_a_key_nothing_else_is_read() -> None:
    text = json.dumps(data()).encode()
    unsigned = refused(text, MINE)
    assert (unsigned.why, unsigned.message) == (Why.UNSIGNED, "it is not signed")
    envelope = sign(text, PAYLOAD, THEIRS)
    foreign = refused(json.dumps(envelope).encode(), MINE)
    assert foreign.why is Why.FOREIGN
    assert f"signed by another key ({key_id(THEIRS.public_key())[:16]}" in foreign.message
    envelope["payload"] = base64.b64encode(text.replace(b"1.0", b"1.1")).decode()
    assert "changed after it was signed" in refused(json.dumps(envelope).encode(), THEIRS).message


@pytest.mark.parametrize("number", [0, 2, 99])
def test_another_format_is_refused_with_its_number(number: int) -> None:
    told = refused(json.dumps({"format": number, "what": "ever"}).encode())
    assert (told.why, told.message) == (
        Why.NEWER,
        f"it has format {number}, and this farm reads 1",
    )


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda d: d.update(unit="demo@1.0:cuda"), "of another unit ('demo@1.0:cuda')"),
        (lambda d: d.update(identity=OTHER), "of another identity (cdcdcdcdcdcd)"),
        (lambda d: d.update(format="1"), "format"),
        (lambda d: d.update(format=True), "format"),
        (lambda d: d.pop("format"), "format"),
        (lambda d: d.update(more="x"), "more"),
        (lambda d: d.pop("expected"), "expected"),
        (lambda d: d.update(expected="x" * 100), "expected"),
        (lambda d: d.update({"\x1b[31m": "x"}), "[31m"),
        (lambda d: d.update(files={}), "files"),
        (lambda d: d.update(files=[]), "no wheel"),
        (lambda d: d["files"].pop(0), "no wheel"),
        (lambda d: d["files"].pop(1), "no record"),
        (lambda d: d["files"].pop(2), "manifest is not"),
        (lambda d: d["files"][2].update(sha256=OTHER), "manifest is not"),
        (lambda d: d["files"][0].update(sha256="AB" * 32), "files.0.sha256"),
        (lambda d: d["files"][0].update(sha256="ab" * 32 + "\n"), "files.0.sha256"),
        (lambda d: d["files"][0].update(sha256=3), "files.0.sha256"),
        (lambda d: d["files"][0].update(size_bytes=-1), "files.0.size_bytes"),
        (lambda d: d["files"][0].update(size_bytes=1.5), "files.0.size_bytes"),
        (lambda d: d["files"][0].update(size_bytes=True), "files.0.size_bytes"),
        (lambda d: d["files"][0].update(size_bytes=1 << 62), "files.0.size_bytes"),
        (lambda d: d["files"].extend(d["files"] * 40), "files"),
        (lambda d: d["files"][1].update(size_bytes=1 << 30), "record.json larger than any"),
        (add(WHEEL), "a file twice"),
        (add("../record.json"), "no file of a result"),
        (add(f"../{WHEEL}"), "no file of a result"),
        (add(f"a/{WHEEL}"), "no file of a result"),
        (add(f"/{WHEEL}"), "no file of a result"),
        (add("/etc/passwd"), "no file of a result"),
        (add("logs/../../x"), "no file of a result"),
        (add("logs"), "no file of a result"),
        (add(""), "no file of a result"),
        (add("."), "no file of a result"),
        (add(f"{WHEEL}\0"), "no file of a result"),
        (add(f"{WHEEL}\n"), "no file of a result"),
        (add("demo.py"), "no file of a result"),
        (add(f"{'a' * 300}-1.0-py3-none-any.whl"), "no file of a result"),
    ],
)
@pytest.mark.parametrize("signed", [True, False])
def test_what_was_tampered_with_is_refused_with_a_word(
    change: Callable[[dict[str, Any]], object], word: str, *, signed: bool
) -> None:
    made = data()
    change(made)
    content = json.dumps(made).encode()
    if signed:  # by one who may, even: a key vouches for no nonsense
        content = json.dumps(sign(content, PAYLOAD, MINE)).encode()
    told = refused(content, *([MINE] if signed else []))
    assert told.why is Why.DAMAGED
    assert word in told.message


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b"[" * 100_000, b'{"payloadType": "x"}', b"1" * 5000],
)
def test_what_is_no_listing_is_refused(content: bytes) -> None:
    assert refused(content).why is Why.DAMAGED


@given(content=st.binary(max_size=300))
def test_nothing_but_a_refusal_comes_of_rubbish(content: bytes) -> None:
    refused(content)


@given(name=st.text(max_size=40))
def test_no_name_of_a_file_leads_out_of_its_folder(name: str) -> None:
    if belongs(name):
        assert ".." not in name.split("/")
        assert not name.startswith("/")
        assert name.count("/") <= 1
