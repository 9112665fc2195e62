"""Provenance: every input with its hash, no secret, and what in-toto's library takes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from farm.attest.provenance import BUILD_TYPE, digest_set, statement
from farm.store.record import Input, WheelFile
from tests.support.attesting import COMMIT, OTHER, PACKED, SECRET, made_at, valid_provenance
from tests.support.projects import SHA

if TYPE_CHECKING:
    from pathlib import Path

    from farm.attest.made import Made

WHEEL = WheelFile(filename="demo-1.0.0-py3-none-any.whl", sha256=OTHER, size_bytes=5)
SBOM = Input(name=f"{WHEEL.filename}.cdx.json", digest=f"sha256:{SHA}")


@pytest.fixture
def made(tmp_path: Path) -> Made:
    return made_at(tmp_path / "project", WHEEL)


def dependencies(made: Made) -> dict[str, dict[str, Any]]:
    found = valid_provenance(statement(made, [SBOM]))
    listed = found["predicate"]["buildDefinition"]["resolvedDependencies"]
    names = [each["name"] for each in listed]
    assert len(names) == len(set(names))
    return {each["name"]: each for each in listed}


def test_it_is_about_the_wheel_and_its_sbom(made: Made) -> None:
    found = valid_provenance(statement(made, [SBOM]))
    assert found["subject"] == [
        {"name": WHEEL.filename, "digest": {"sha256": OTHER}},
        {"name": SBOM.name, "digest": {"sha256": SHA}},
    ]
    assert found["predicateType"] == "https://slsa.dev/provenance/v1"


def test_every_input_of_the_manifest_is_there_and_nothing_that_went_not_in(made: Made) -> None:
    listed = dependencies(made)
    context = {entry.target: entry.digest for entry in made.manifest.context}
    base = {f"base/{name}": f"sha256:{s}" for name, s in made.record.base["sha256"].items()}
    others = {"manifest.json", "Dockerfile", "farm-base:x"}
    assert listed.keys() == context.keys() | base.keys() | others
    for name, digest in (context | base).items():
        expected = digest_set(Input(name=name, digest=digest))
        assert expected.items() <= listed[name]["digest"].items()
    assert listed["manifest.json"]["digest"] == {"sha256": made.record.identity}
    assert all(value for each in listed.values() for value in each["digest"].values())


def test_inputs_have_names_that_others_know(made: Made) -> None:
    listed = dependencies(made)
    found = {name: each["uri"] for name, each in listed.items() if "uri" in each}
    wheel = "w-1-py3-none-any.whl"
    assert found == {
        "base/gcc-14": "pkg:deb/debian/gcc-14@14.2.0-19",
        "base/libc6": "pkg:deb/debian/libc6@1:2.41",
        f"crates/{COMMIT}.tar": f"git+https://x.org/two@{COMMIT}",
        "crates/one-1.0.0.crate": "pkg:cargo/one@1.0.0",
        "sources/arc-a.tgz": "https://x.org/a.tgz",
        f"sources/sub-{COMMIT[:12]}.tar": f"git+https://x.org/sub@{COMMIT}",
        f"wheels/{wheel}": f"https://x.org/{wheel}",
        "wheels/locked-1-py3-none-any.whl": (
            "pkg:pypi/locked@1?file_name=locked-1-py3-none-any.whl"
        ),
        "wheels/torch-2-py3-none-any.whl": "pkg:pypi/torch@2?file_name=torch-2-py3-none-any.whl",
        "toolkit/nvcc-1-py3-none-any.whl": "pkg:pypi/nvcc@1?file_name=nvcc-1-py3-none-any.whl",
    }


def test_it_says_what_was_asked_and_who_ran_it(made: Made) -> None:
    predicate = valid_provenance(statement(made, []))["predicate"]
    definition, details = predicate["buildDefinition"], predicate["runDetails"]
    assert definition["buildType"] == BUILD_TYPE
    assert definition["externalParameters"]["unit"] == made.record.unit
    assert definition["internalParameters"]["identity"] == made.record.identity
    assert definition["internalParameters"]["needs"] == [
        {"unit": "torch@2:stub", "identity": OTHER}
    ]
    assert definition["internalParameters"]["machine"]["cores"] == 4
    assert details["builder"]["version"] == {"farm": made.record.farm, "engine": "28.5.2"}
    assert details["metadata"]["invocationId"] == f"{made.record.run}/{made.record.unit}"
    assert details["metadata"]["startedOn"] == "2023-11-14T22:13:20Z"
    assert details["metadata"]["finishedOn"] >= details["metadata"]["startedOn"]


def test_no_secret_gets_there(made: Made) -> None:
    assert SECRET not in statement(made, [])
    assert SECRET not in str(made.record)


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        (f"sha256:{SHA}", {"sha256": SHA}),
        (f"git:{COMMIT}", {"gitCommit": COMMIT}),
        (f"git:{COMMIT}+submodules=a,b", {"gitCommit": COMMIT}),
        (f"tree:{SHA}", {"farmTree": SHA}),
    ],
)
def test_digests_have_the_names_of_in_toto(digest: str, expected: dict[str, str]) -> None:
    assert digest_set(Input(name="a", digest=digest)) == expected
    packed = digest_set(Input(name="a", digest=digest, packed=PACKED))
    assert packed == (expected if "sha256" in expected else expected | {"sha256": PACKED})


def test_a_base_by_image_has_its_digest(made: Made) -> None:
    record = replace(made.record, base={"image": f"x@sha256:{OTHER}"})
    listed = dependencies(replace(made, record=record))
    assert not any(name.startswith("base/") for name in listed)
    assert listed["farm-base:x"]["digest"] == {"sha256": SHA}
