"""The SBOM beside a wheel: that in it, and all that built it, by hash."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest

from farm.attest.sbom import beside, embedded, fault_of
from farm.inside import embed, sbom
from farm.store.record import WheelFile
from tests.support.attesting import OTHER, SECRET, made_at, valid_sbom
from tests.support.fake_engine import minimal_wheel
from tests.support.projects import SHA

if TYPE_CHECKING:
    from pathlib import Path

    from farm.attest.made import Made

INNER = f"https://u:{SECRET}@x.org/in"
PARTS: dict[str, Any] = {
    "submodules": [{"path": "sources/sub/in", "url": INNER, "commit": ""}],
    "licence_files": {},
    "crate_licences": {},
    "compiled": [],
    "static": [{"kind": "deb", "name": "gcc-14", "version": "14.2.0-19", "files": []}],
}


@pytest.fixture
def made(tmp_path: Path) -> Made:
    wheel = WheelFile(filename="demo-1.0.0-py3-none-any.whl", sha256=OTHER, size_bytes=5)
    return made_at(tmp_path / "project", wheel)


@pytest.fixture
def wheel(tmp_path: Path, made: Made) -> Path:
    """A wheel with the SBOM that its build puts into it."""
    folder = tmp_path / "wheels"
    folder.mkdir()
    name, content = minimal_wheel("demo", "1.0.0", files={"demo/x.so": b"\x7fELF"})
    (folder / name).write_bytes(content)
    (entry,) = (e for e in made.manifest.context if e.target == "inside/pinned.json")
    (tmp_path / "pinned.json").write_text(entry.text)
    (tmp_path / "parts.json").write_text(json.dumps(PARTS))
    options = ["--pinned", f"{tmp_path}/pinned.json", "--parts", f"{tmp_path}/parts.json"]
    assert sbom.main([str(folder), *options]) == 0
    assert embed.main([str(folder)]) == 0
    return folder / name


def test_the_one_in_a_wheel_is_found_and_valid(wheel: Path) -> None:
    text = embedded(wheel)
    assert fault_of(text) == ""
    assert SECRET not in text
    names = {each["name"] for each in valid_sbom(text)["components"]}
    assert names == {"arc", "sub", "in", "one", "two", "gcc-14"}


def test_the_one_beside_it_lists_all_tools_by_hash_as_excluded(wheel: Path, made: Made) -> None:
    inner, outer = json.loads(embedded(wheel)), valid_sbom(beside(embedded(wheel), made))
    tools = {each["name"]: each for each in outer["components"] if each.get("scope") == "excluded"}
    assert {name: each["hashes"][0]["content"] for name, each in tools.items()} == {
        "gcc-14": OTHER,
        "libc6": SHA,
        "locked": SHA,
        "nvcc": SHA,
        "torch": OTHER,
    }
    assert tools["libc6"]["purl"] == "pkg:deb/debian/libc6@1:2.41"
    kept = [each["purl"] for each in outer["components"] if each.get("scope") != "excluded"]
    assert sorted(kept) == sorted(each["purl"] for each in inner["components"])
    programs = outer["metadata"]["tools"]["components"]
    assert {each["name"]: each["version"] for each in programs} == {
        "farm": made.record.farm,
        "GNU": "14.2",
    }
    package = outer["metadata"]["component"]
    assert package["hashes"] == [{"alg": "SHA-256", "content": OTHER}]
    assert package["pedigree"] == inner["metadata"]["component"]["pedigree"]
    serial = inner["serialNumber"].removeprefix("urn:uuid:")
    assert {"type": "bom", "url": f"urn:cdx:{serial}/1"} in package["externalReferences"]
    assert outer["serialNumber"] != inner["serialNumber"]


def test_everything_is_reached_from_the_package(wheel: Path, made: Made) -> None:
    outer = valid_sbom(beside(embedded(wheel), made))
    root = outer["metadata"]["component"]["bom-ref"]
    (found,) = (each for each in outer["dependencies"] if each["ref"] == root)
    assert set(found["dependsOn"]) == {each["bom-ref"] for each in outer["components"]}


def test_the_same_build_gives_the_same_text(wheel: Path, made: Made) -> None:
    assert beside(embedded(wheel), made) == beside(embedded(wheel), made)
    assert SECRET not in beside(embedded(wheel), made)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("{", "Expecting property name"),
        ("[]", "is not of type 'object'"),
        ('{"bomFormat": "CycloneDX", "specVersion": "1.6", "more": 1}', "more"),
        ('{"bomFormat": "SPDX", "specVersion": "1.6"}', "is not one of"),
        ("\x00" * 9, "Expecting value"),
    ],
)
def test_what_is_no_sbom_is_told(text: str, fault: str) -> None:
    assert fault in fault_of(text)
    assert len(fault_of(text)) <= 500


def test_a_wheel_without_one_has_none(tmp_path: Path) -> None:
    path = tmp_path / "a.whl"
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("a-1.dist-info/sboms/cargo.cdx.json", "{}")
    assert embedded(path) == ""
