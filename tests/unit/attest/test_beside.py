"""What the provenance beside a wheel is worth: nothing that does not fit is believed."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.attest.beside import vouched
from farm.attest.files import attest, is_signed
from farm.store.record import WheelFile
from tests.support.attesting import made_at
from tests.support.fake_engine import minimal_wheel

if TYPE_CHECKING:
    from pathlib import Path

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32))
TRUSTED = (OTHER.public_key(), KEY.public_key())
KEPT = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    """A wheel with its provenance, signed too."""
    name, content = minimal_wheel("demo", "1.0.0")
    folder = tmp_path / "result"
    folder.mkdir()
    (folder / name).write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    file = WheelFile(filename=name, sha256=sha256, size_bytes=len(content))
    assert is_signed(attest(folder, made_at(tmp_path / "project", file), KEY))
    return folder / name


def digest(wheel: Path) -> str:
    return hashlib.sha256(wheel.read_bytes()).hexdigest()


def plain(wheel: Path) -> Path:
    return wheel.with_name(f"{wheel.name}.provenance.json")


def signed(wheel: Path) -> Path:
    return wheel.with_name(f"{wheel.name}.intoto.jsonl")


def refusal(wheel: Path, *trusted: Any) -> str:
    found, findings = vouched(wheel, digest(wheel), trusted)
    assert found is None
    (finding,) = findings
    assert finding.code == "provenance"
    return finding.message


def test_it_says_of_which_unit_the_wheel_is(wheel: Path) -> None:
    found, findings = vouched(wheel, digest(wheel))
    assert findings == ()
    assert found is not None
    assert (found.unit, found.verified) == ("demo@1.0.0:cpu", False)
    assert "who says so was not verified" in str(found)


def test_a_trusted_key_is_verified(wheel: Path) -> None:
    found, findings = vouched(wheel, digest(wheel), TRUSTED)
    assert findings == ()
    assert found is not None
    assert found.verified
    assert "signed by a trusted key" in str(found)


def test_without_one_there_is_nothing_to_say_unless_a_key_is_given(wheel: Path) -> None:
    plain(wheel).unlink()
    signed(wheel).unlink()
    assert vouched(wheel, digest(wheel)) == (None, ())
    assert "no signed provenance" in refusal(wheel, *TRUSTED)


def test_another_file_of_that_name_is_refused(wheel: Path) -> None:
    wheel.write_bytes(wheel.read_bytes() + b"more")
    assert "of another file: " in refusal(wheel)
    assert "of another file: " in refusal(wheel, *TRUSTED)


def test_another_wheel_that_borrows_one_is_refused(wheel: Path) -> None:
    other = wheel.rename(wheel.with_name("demo-2.0.0-py3-none-any.whl"))
    plain(wheel).rename(plain(other))
    assert "of another file: no such file" in refusal(other)


def test_another_signer_and_a_changed_statement_are_refused(wheel: Path) -> None:
    assert "signed by another key" in refusal(wheel, OTHER.public_key())
    envelope = json.loads(signed(wheel).read_text())
    signed(wheel).write_text(json.dumps(envelope | {"payload": "e30="}))
    assert "was changed after it was signed" in refusal(wheel, *TRUSTED)
    signed(wheel).write_text(json.dumps(envelope | {"signatures": []}))
    assert "is not signed" in refusal(wheel, *TRUSTED)
    signed(wheel).write_bytes(b"\xff\xfe{")
    assert "no signed envelope" in refusal(wheel, *TRUSTED)


def test_the_unsigned_one_does_not_count_where_a_key_is_given(wheel: Path) -> None:
    plain(wheel).write_text("anything")
    found, _ = vouched(wheel, digest(wheel), TRUSTED)
    assert found is not None


def test_one_of_another_kind_or_size_is_refused(wheel: Path) -> None:
    document = json.loads(plain(wheel).read_text())
    plain(wheel).write_text(json.dumps(document | {"predicateType": "https://x.org/\x1b[31m"}))
    assert "of another kind" in refusal(wheel)
    assert "\x1b" not in refusal(wheel)
    with plain(wheel).open("r+b") as file:
        file.truncate(65 << 20)
    assert "larger than any provenance" in refusal(wheel)
    plain(wheel).write_bytes(b"[" * 100_000)
    assert "no provenance of farm" in refusal(wheel)


def test_hostile_words_are_shown_without_their_control_characters(wheel: Path) -> None:
    document = json.loads(plain(wheel).read_text())
    asked = document["predicate"]["buildDefinition"]["externalParameters"]
    asked["unit"] = "\x1b[2Jevil" + "x" * 999
    plain(wheel).write_text(json.dumps(document))
    found, _ = vouched(wheel, digest(wheel))
    assert found is not None
    assert "\x1b" not in str(found)
    assert len(found.unit) == 100


@KEPT
@given(data=st.data(), value=JSON)
def test_any_damage_is_refused_or_changes_nothing(
    wheel: Path, data: st.DataObject, value: object
) -> None:
    document = json.loads(plain(wheel).read_text())
    place: Any = document
    while True:
        keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or not place[key] or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = value
    before = plain(wheel).read_text()
    try:
        plain(wheel).write_text(json.dumps(document))
        found, findings = vouched(wheel, digest(wheel))
        assert (found is None) == bool(findings)
    finally:
        plain(wheel).write_text(before)
