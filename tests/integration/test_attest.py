"""What is in a wheel and beside it, from a real build: valid, whole, and without a secret."""

from __future__ import annotations

import hashlib
import json
import subprocess
import zipfile
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from farm.attest.provenance import digest_set
from farm.attest.sbom import embedded
from farm.attest.schema import schema
from farm.store.record import Input
from tests.support.attesting import valid_provenance, valid_sbom
from tests.support.farming import Farm, copy_project, sharing
from tests.unit.source.test_git import git, nested

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("private_engine")]

SECRET = "pl4nted-s3cret"  # noqa: S105 - to be found nowhere
UNITS = (("cpu", "tiny-1.0"), ("pure", "flit-core-3.12.0"), ("pure", "mdurl-0.1.2"))


def with_secrets(farm: Farm, folder: Path) -> Farm:
    """A machine whose environment is full of what must not get out."""
    bundle = folder / f"ca-{SECRET}.pem"
    bundle.write_text(f"# {SECRET}\n")
    url = f"https://user:{SECRET}@index.example.org/simple?token={SECRET}"
    return farm.with_variables(
        GITHUB_TOKEN=SECRET, PIP_INDEX_URL=url, UV_INDEX_URL=url, PIP_CERT=str(bundle)
    )


@pytest.fixture(scope="module")
def farms(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Farm]:
    """A package with an extension, and two of which one builds the other; by package."""
    found: dict[str, Farm] = {}
    for name, selector in (("faults", "tiny:cpu"), ("pair", "mdurl")):
        folder = tmp_path_factory.mktemp("attest")
        farm = sharing(farm_cache, copy_project(name, folder / name))
        assert farm.run("fetch", selector).code == 0
        # What is fetched already asks no index: nobody answers at the planted one.
        done = with_secrets(farm, folder).build(selector, "--offline")
        assert done.code == 0, done.said
        found |= {p.name: farm for p in farm.out.glob("*-*")}
    return found


@pytest.fixture(params=UNITS, ids=[package for _, package in UNITS])
def result(request: pytest.FixtureRequest, farms: dict[str, Farm]) -> Path:
    variant, package = request.param
    return farms[package].result(variant, package)


def record_of(result: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((result / "record.json").read_text())
    return found


def provenance_of(result: Path) -> dict[str, Any]:
    (path,) = result.glob("*.whl.provenance.json")
    return valid_provenance(path.read_text())


def test_both_sboms_are_valid_and_the_record_names_what_lies_beside(result: Path) -> None:
    (wheel,) = result.glob("*.whl")
    valid_sbom(embedded(wheel))
    valid_sbom((result / f"{wheel.name}.cdx.json").read_text())
    listed = {each["name"]: each["digest"] for each in record_of(result)["attestations"]}
    assert listed == {
        name: f"sha256:{hashlib.sha256((result / name).read_bytes()).hexdigest()}"
        for name in (f"{wheel.name}.cdx.json", f"{wheel.name}.provenance.json")
    }


def test_the_record_fits_its_schema(result: Path) -> None:
    jsonschema.validate(record_of(result), schema())


def test_manifest_and_provenance_name_the_same_inputs(result: Path) -> None:
    manifest = json.loads((result / "manifest.json").read_text())
    listed = provenance_of(result)["predicate"]["buildDefinition"]["resolvedDependencies"]
    found = {each["name"]: each["digest"] for each in listed}
    context = {each["path"]: each["digest"] for each in manifest["context"]}
    sums = record_of(result)["base"]["sha256"]
    base = {f"base/{name}": f"sha256:{value}" for name, value in sums.items()}
    others = {"manifest.json", "Dockerfile", manifest["base"]["image"]}
    assert found.keys() == context.keys() | base.keys() | others
    for name, digest in (context | base).items():
        expected = digest_set(Input(name=name, digest=digest))
        assert expected.items() <= found[name].items()
        assert "sha256" in found[name]
    assert found["manifest.json"]["sha256"] == record_of(result)["identity"]
    dockerfile = (result / "Dockerfile").read_bytes()
    assert found["Dockerfile"]["sha256"] == hashlib.sha256(dockerfile).hexdigest()


def test_the_subject_is_the_wheel(result: Path) -> None:
    (wheel,) = result.glob("*.whl")
    subject = provenance_of(result)["subject"][0]
    sha256 = hashlib.sha256(wheel.read_bytes()).hexdigest()
    assert subject == {"name": wheel.name, "digest": {"sha256": sha256}}


def test_the_record_says_where_it_was_built(farms: dict[str, Farm]) -> None:
    record = farms["tiny-1.0"].record("cpu")
    assert record["engine_version"]
    assert record["machine"]["cores"] >= 1
    assert record["machine"]["kernel"].startswith("Linux ")
    assert record["options"]["offline"] is True
    assert record["base"]["sha256"].keys() == record["base"]["packages"].keys()
    (packed,) = (each["packed"] for each in record["inputs"] if each["packed"])
    assert len(packed) == 64


def test_a_needed_wheel_is_a_tool_and_no_part(farms: dict[str, Farm]) -> None:
    farm = farms["mdurl-0.1.2"]
    needed = farm.wheel("pure", "flit-core-3.12.0")
    (path,) = farm.result("pure", "mdurl-0.1.2").glob("*.cdx.json")
    found = {each["name"]: each for each in valid_sbom(path.read_text())["components"]}
    assert found["flit-core"]["scope"] == "excluded"
    sha256 = hashlib.sha256(needed.read_bytes()).hexdigest()
    assert found["flit-core"]["hashes"] == [{"alg": "SHA-256", "content": sha256}]
    assert found["gcc-14-base"]["purl"].startswith("pkg:deb/debian/gcc-14-base@14.")


def test_what_was_planted_is_nowhere(farms: dict[str, Farm]) -> None:
    for farm in set(farms.values()):
        files = [path for path in farm.out.rglob("*") if path.is_file()]
        assert len(files) > 10
        for path in files:
            assert SECRET.encode() not in path.read_bytes(), path
    for wheel in farms["tiny-1.0"].out.rglob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            assert not any(SECRET.encode() in archive.read(name) for name in archive.namelist())


def test_built_anew_the_wheel_and_its_sbom_have_the_same_bytes(farms: dict[str, Farm]) -> None:
    farm = farms["tiny-1.0"]
    before = farm.wheel("cpu").read_bytes()
    assert farm.build("--rebuild", "tiny:cpu").outcomes() == {"tiny@1.0:cpu": "built"}
    assert farm.wheel("cpu").read_bytes() == before


def test_what_was_changed_beside_a_wheel_is_put_there_again(farms: dict[str, Farm]) -> None:
    farm = farms["tiny-1.0"]
    (path,) = farm.result("cpu").glob("*.provenance.json")
    before = path.read_text()
    path.write_text(before.replace("tiny", "evil"))
    assert farm.build("tiny:cpu").outcomes() == {"tiny@1.0:cpu": "unchanged"}
    assert path.read_text() == before


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, Path]:
    """A private key and its public half, as openssl writes them."""
    private, public = tmp_path / "farm.key", tmp_path / "farm.pub"
    for words in (
        ("genpkey", "-algorithm", "ed25519", "-out", str(private)),
        ("pkey", "-in", str(private), "-pubout", "-out", str(public)),
    ):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    return {"private": private, "public": public}


def test_a_signed_provenance_is_verified_and_the_key_is_nowhere(
    farms: dict[str, Farm], keys: dict[str, Path]
) -> None:
    farm = farms["tiny-1.0"]
    signing = ("--sign-key", str(keys["private"]), "tiny:cpu")
    before = farm.build(*signing)
    assert before.outcomes() == {"tiny@1.0:cpu": "unchanged"}
    assert "is not signed, since it was built before" in before.said
    assert farm.build("--force", *signing).outcomes() == {"tiny@1.0:cpu": "built"}
    wheel = str(farm.wheel("cpu"))
    checked = farm.run("check", "--trust-key", str(keys["public"]), wheel)
    assert (checked.code, "signed by a trusted key" in checked.stdout) == (0, True), checked.said
    names = [each["name"] for each in farm.record("cpu")["attestations"]]
    assert [name.rpartition(".whl")[2] for name in names] == [
        ".cdx.json",
        ".provenance.json",
        ".intoto.jsonl",
    ]
    secret = keys["private"].read_text().splitlines()[1].encode()
    files = [path for path in farm.out.rglob("*") if path.is_file()]
    assert not any(secret in path.read_bytes() for path in files)


def test_what_is_no_key_ends_a_build_before_it_begins(
    farms: dict[str, Farm], keys: dict[str, Path]
) -> None:
    farm = farms["tiny-1.0"]
    runs = farm.runs()
    done = farm.with_variables(FARM_SIGN_KEY=str(keys["public"])).run("build", "tiny:cpu")
    assert (done.code, "no key in PEM that can be used" in done.stderr) == (2, True), done.said
    assert farm.runs() == runs


def test_a_commits_submodules_are_listed_at_their_own_commits(
    farm_cache: Path, tmp_path: Path
) -> None:
    url, commit = nested(tmp_path)
    farm = sharing(farm_cache, copy_project("faults", tmp_path / "project"))
    recipe = farm.root / "recipes/tiny.yaml"
    text = recipe.read_text(encoding="utf-8")
    source = f"{{git: '{url}', commit: {commit}, submodules: true}}"
    further = f"    sources: {{outer: {{source: {source}, reason: to be listed}}}}\nvariants:\n"
    recipe.write_text(text.replace("variants:\n", further), encoding="utf-8")
    done = farm.build("tiny:cpu")
    assert done.code == 0, done.said
    sbom = valid_sbom(embedded(farm.wheel("cpu")))
    found = {
        each["properties"][0]["value"]: each["pedigree"]["commits"][0]["uid"]
        for each in sbom["components"]
    }
    middle = "sources/outer/third party/middle"
    assert found == {
        "sources/outer": commit,
        middle: git(tmp_path / "middle", "rev-parse", "HEAD"),
        f"{middle}/deps/inner": git(tmp_path / "inner", "rev-parse", "HEAD"),
    }
