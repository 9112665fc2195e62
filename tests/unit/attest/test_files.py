"""What lies beside a wheel is written whole, named in its record, and believed by hash."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from farm.attest.files import attest
from farm.errors import StorageError
from farm.inside import embed
from farm.store.record import WheelFile, write_record
from farm.store.results import find_result, result_folder
from tests.support.attesting import made_at, valid_provenance, valid_sbom
from tests.support.fake_engine import minimal_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from farm.attest.made import Made

TEXT = """{"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1,
 "serialNumber": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
 "metadata": {"component": {"type": "library", "name": "demo", "bom-ref": "a"}}}"""


@pytest.fixture
def made(tmp_path: Path) -> Made:
    """A wheel in the folder of its result, with an SBOM in it."""
    name, content = minimal_wheel("demo", "1.0.0")
    folder = tmp_path / "out/demo-1.0.0/cpu"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(content)
    (folder / f"{name}.cdx.json").write_text(TEXT)
    assert embed.main([str(folder)]) == 0
    (folder / f"{name}.cdx.json").unlink()
    data = (folder / name).read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    wheel = WheelFile(filename=name, sha256=sha256, size_bytes=len(data))
    return made_at(tmp_path / "project", wheel)


def test_both_are_valid_and_named_by_their_hash(made: Made, tmp_path: Path) -> None:
    folder = result_folder(tmp_path / "out", made.unit.key)
    record = attest(folder, made)
    name = made.wheels[0].filename
    names = [f"{name}.cdx.json", f"{name}.provenance.json"]
    assert [each.name for each in record.attestations] == names
    for each in record.attestations:
        found = hashlib.sha256((folder / each.name).read_bytes()).hexdigest()
        assert each.digest == f"sha256:{found}"
    valid_sbom((folder / names[0]).read_text())
    subjects = valid_provenance((folder / names[1]).read_text())["subject"]
    assert [each["name"] for each in subjects] == [name, names[0]]


def test_a_wheel_without_an_sbom_has_none_beside_it(made: Made, tmp_path: Path) -> None:
    folder = result_folder(tmp_path / "out", made.unit.key)
    (folder / made.wheels[0].filename).write_bytes(minimal_wheel("demo", "1.0.0")[1])
    record = attest(folder, made)
    assert [each.name.rpartition(".whl")[2] for each in record.attestations] == [
        ".provenance.json"
    ]


@pytest.mark.parametrize("harm", ["changed", "removed", "linked"])
def test_a_result_of_which_one_was_harmed_is_as_good_as_absent(
    made: Made, tmp_path: Path, harm: str
) -> None:
    out = tmp_path / "out"
    folder = result_folder(out, made.unit.key)
    record = attest(folder, made)
    write_record(folder, record)
    assert find_result(out, made.unit.key, record.identity)
    path = folder / record.attestations[1].name
    if harm == "changed":
        path.write_text(path.read_text().replace("demo", "evil"))
    else:
        text = path.read_text()
        path.unlink()
    if harm == "linked":
        (tmp_path / "elsewhere").write_text(text)
        path.symlink_to(tmp_path / "elsewhere")
    assert find_result(out, made.unit.key, record.identity) is None


def test_a_folder_that_cannot_be_written_is_a_storage_error(made: Made, tmp_path: Path) -> None:
    folder = result_folder(tmp_path / "out", made.unit.key)
    name = made.wheels[0].filename
    (folder / f"{name}.cdx.json").mkdir()
    with pytest.raises(StorageError, match="cannot write"):
        attest(folder, made)
