"""The schema of records: in step with the class, and what a record fits."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from farm.attest.schema import KINDS, schema, schema_text
from farm.store.record import WheelFile, write_record
from tests.support.attesting import OTHER, made_at

if TYPE_CHECKING:
    from farm.store.record import Record

ROOT = Path(__file__).parents[3]
ON_DISK = ROOT / "docs/reference/record.schema.json"
WRITE = bool(os.environ.get("FARM_WRITE_GOLDENS"))  # read before the tests' world is emptied


@pytest.fixture
def record(tmp_path: Path) -> Record:
    wheel = WheelFile(filename="demo-1.0.0-py3-none-any.whl", sha256=OTHER, size_bytes=5)
    return made_at(tmp_path / "project", wheel).record


def written(record: Record, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(write_record(folder, record).read_text())
    return found


def test_the_schema_on_disk_is_that_of_the_class() -> None:
    if WRITE:
        ON_DISK.write_text(schema_text(), encoding="utf-8")
    assert ON_DISK.read_text(encoding="utf-8") == schema_text(), "make goldens"


def test_it_can_be_written_by_a_command() -> None:
    command = [sys.executable, "-m", "farm.attest.schema"]
    done = subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
    assert done.stdout == schema_text().encode()


def test_every_key_is_described_and_needed() -> None:
    whole = schema()
    for kind in KINDS:
        definition = whole if kind.__name__ == "Record" else whole["$defs"][kind.__name__]
        keys = {field.name for field in dataclasses.fields(kind)}
        assert definition["properties"].keys() == keys == set(definition["required"])
        assert all(part["description"] for part in definition["properties"].values())


def test_a_record_fits_it(record: Record, tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(written(record, tmp_path), schema())


@pytest.mark.parametrize(
    "change", [{"more": 1}, {"format": 1}, {"archs": "sm_86"}, {"wheels": [{}]}, {"unit": None}]
)
def test_what_is_no_record_does_not(
    record: Record, tmp_path: Path, change: dict[str, object]
) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(written(record, tmp_path) | change, schema())
