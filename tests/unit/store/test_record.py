"""``record.json``: read back as written, and nothing else is taken for one."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.errors import ExitCode, StorageError
from farm.store.record import (
    NAME,
    Input,
    Record,
    StepTime,
    WheelFile,
    read_record,
    write_record,
)

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = Record(
    unit="demo@1.0:cpu",
    package="demo",
    version="1.0",
    variant="cpu",
    python="3.13",
    accelerator="cpu",
    archs=("sm_86",),
    features=("rust",),
    toolchain="cpu",
    host_compiler="gcc-14",
    identity="ab" * 32,
    outcome="built",
    started_s=1.7e9,
    seconds=37,
    base={"tag": "farm-base:x", "packages": {"gcc": "14"}},
    env={"A": 'ü \\ " $'},
    inputs=(Input(name="a", digest="sha256:1", origin="https://x"),),
    needs=(Input(name="torch@2:stub", digest="cd" * 32),),
    wheels=(WheelFile(filename="demo.whl", sha256="ef" * 32, size_bytes=3),),
    steps=(StepTime(name="compile", seconds=36.5, cached=False),),
    compile={"exit_status": 0, "peak_rss_bytes": 588_000_000},
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=6,
)
KEPT = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def test_a_record_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    path = write_record(tmp_path, WHOLE)
    assert read_record(tmp_path) == WHOLE
    assert path.read_text().endswith("}\n")
    assert [p.name for p in tmp_path.iterdir()] == [NAME]


def test_the_same_record_is_the_same_bytes(tmp_path: Path) -> None:
    assert write_record(tmp_path, WHOLE).read_bytes() == write_record(tmp_path, WHOLE).read_bytes()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"3",
        b'"x"',
        b"{}",
        b'{"format": 1}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"format": ' + b"1" * 5000 + b"}",
        json.dumps(asdict(WHOLE) | {"format": 3}).encode(),
        json.dumps(asdict(WHOLE) | {"format": True}).encode(),
        json.dumps(asdict(WHOLE) | {"more": 1}).encode(),
    ],
)
def test_what_is_no_record_is_none(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    assert read_record(tmp_path) is None


def test_a_record_of_format_1_is_read_and_lacks_what_came_later(tmp_path: Path) -> None:
    later = ("options", "machine", "engine_version", "attestations")
    old = {key: value for key, value in asdict(WHOLE).items() if key not in later}
    old["inputs"] = [{"name": "a", "digest": "sha256:1", "origin": "https://x"}]
    old["needs"] = [{"name": "torch@2:stub", "digest": "cd" * 32, "origin": ""}]
    (tmp_path / NAME).write_text(json.dumps(old | {"format": 1}))
    assert read_record(tmp_path) == replace(WHOLE, format=1)


def test_no_file_or_a_folder_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    assert read_record(tmp_path / "nowhere") is None
    (tmp_path / NAME).mkdir()
    assert read_record(tmp_path) is None


@KEPT
@given(data=st.binary(max_size=200))
def test_any_bytes_are_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / NAME).write_bytes(data)
    assert read_record(tmp_path) is None


@KEPT
@given(cut=st.integers(0, 10_000))
def test_a_record_that_was_cut_is_none(tmp_path: Path, cut: int) -> None:
    data = write_record(tmp_path, WHOLE).read_bytes().rstrip()
    (tmp_path / NAME).write_bytes(data[: cut % len(data)])
    assert read_record(tmp_path) is None


@KEPT
@given(name=st.sampled_from([field.name for field in fields(Record)]), value=JSON)
def test_any_value_in_any_field_is_none_or_a_record_of_the_right_types(
    tmp_path: Path, name: str, value: object
) -> None:
    (tmp_path / NAME).write_text(json.dumps(asdict(WHOLE) | {name: value}))
    found = read_record(tmp_path)
    if found is None:
        return
    for field in fields(Record):
        same = type(getattr(WHOLE, field.name))
        kinds: tuple[type, ...] = (int, float) if field.type == "float" else (same,)
        assert isinstance(getattr(found, field.name), kinds)
    assert all(isinstance(item, str) for item in (*found.archs, *found.features))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("wheels", [{"filename": 3, "sha256": "x", "size_bytes": 1}]),
        ("wheels", [{"filename": "a", "sha256": "x", "size_bytes": "1"}]),
        ("wheels", [{"filename": "a"}]),
        ("wheels", {"filename": "a"}),
        ("wheels", 3),
        ("attestations", [{"name": 3, "digest": "x"}]),
        ("machine", []),
        ("steps", [{"name": "a", "seconds": "1", "cached": False}]),
        ("archs", [1]),
        ("seconds", "37"),
        ("exit_code", 1.5),
        ("unit", None),
    ],
)
def test_wrong_types_are_no_record(tmp_path: Path, name: str, value: Any) -> None:
    (tmp_path / NAME).write_text(json.dumps(asdict(WHOLE) | {name: value}))
    assert read_record(tmp_path) is None


def test_a_full_disk_is_a_storage_error_and_the_old_record_stays(tmp_path: Path) -> None:
    before = write_record(tmp_path, WHOLE).read_bytes()
    (tmp_path / f".{NAME}.tmp").symlink_to("/dev/full")
    with pytest.raises(StorageError, match="No space left") as caught:
        write_record(tmp_path, WHOLE)
    assert caught.value.code is ExitCode.STORAGE
    assert caught.value.hint
    assert (tmp_path / NAME).read_bytes() == before


def test_a_folder_that_is_not_there_is_a_storage_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        write_record(tmp_path / "nowhere", WHOLE)
