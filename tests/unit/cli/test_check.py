"""``farm check``: wheels from anywhere, with and without a recipe."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from farm.attest.files import attest
from farm.store.record import WheelFile
from tests.support.attesting import made_at
from tests.support.fake_engine import minimal_wheel
from tests.support.projects import DEMO, project_at
from tests.unit.inspect.test_device_code import real
from tests.unit.inspect.test_wheel import WheelMaker
from tests.unit.run.test_acceptance import wheel_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Farm


@pytest.fixture
def cuda(tmp_path: Path) -> Path:
    files = {
        "demo_pkg/_C.so": real("cuda-86-90a.so"),
        "demo_pkg/_host.so": real("cuda-host-only.so"),
    }
    return WheelMaker(folder=tmp_path, files=files).write()


def test_a_wheel_is_told_module_by_module_without_any_project(
    farm: Farm, cuda: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = farm("check", str(cuda))
    assert ended.code == 0, ended.err
    (row,) = (line for line in ended.out.splitlines() if line.startswith("demo_pkg/_C.so"))
    assert "sm_86 sm_90a" in row
    (row,) = (line for line in ended.out.splitlines() if line.startswith("demo_pkg/_host.so"))
    assert "sm_86(empty)" in row


def test_the_same_as_json(farm: Farm, cuda: Path) -> None:
    ended = farm("check", "--json", str(cuda))
    (told,) = json.loads(ended.out)["wheels"]
    modules = told["wheel"]["modules"]
    code = [(each["arch"], each["kernels"]) for m in modules for each in m["device_code"]]
    assert code == [("sm_86", 1), ("sm_90a", 1), ("compute_86", 0), ("sm_86", 0)]
    assert told["oldest_system"]["manylinux"] == "manylinux_2_5"
    assert [finding["code"] for finding in told["findings"]] == ["licence-none"]


def test_each_wheel_is_looked_at_even_if_another_is_refused(
    farm: Farm, cuda: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "a-1.0-py3-none-any.whl"
    broken.write_bytes(b"no zip file")
    ended = farm("check", str(broken), str(cuda))
    assert ended.code == 10
    assert "demo_pkg/_C.so" in ended.out
    assert "is no whole zip file" in ended.err


def test_a_wheel_is_held_against_a_recipe(farm: Farm, tmp_path: Path) -> None:
    project_at(tmp_path / "project", {"recipes/demo.yaml": DEMO})
    root = str(tmp_path / "project")
    selector = "demo"
    right = farm("-C", root, "check", str(wheel_at(tmp_path / "a")), "--as", selector)
    assert right.code == 0, right.err
    other = farm("-C", root, "check", str(wheel_at(tmp_path / "b", name="x")), "--as", selector)
    assert (other.code, "x" in other.out) == (10, True)


@pytest.mark.parametrize(
    ("selector", "recipe", "told"),
    [
        ("domo", DEMO, (2, "there is no recipe 'domo'")),
        ("demo:cpv", DEMO, (2, "demo has no variant 'cpv'")),
        ("demo:cpu demo; id", DEMO, (2, "demo; id")),
        ("demo", DEMO + "env: {A: '${b}'}\n", (3, "problem in what the recipes say")),
    ],
)
def test_broken_wheels_are_told_together_with_what_is_wrong_with_the_recipe(
    farm: Farm, cuda: Path, selector: str, recipe: str, told: tuple[int, str]
) -> None:
    folder = cuda.parent
    project_at(folder / "project", {"recipes/demo.yaml": recipe})
    broken = folder / "a-1.0-py3-none-any.whl"
    broken.write_bytes(b"no zip file")
    wheels = (str(broken), str(folder / "absent-1-py3-none-any.whl"), str(cuda))
    ended = farm("-C", str(folder / "project"), "check", *wheels, "--as", selector)
    assert ended.code == told[0]
    assert told[1] in ended.err
    besides = [line for line in ended.err.splitlines() if line.strip().startswith("besides, ")]
    assert len(besides) == 2
    assert "a-1.0-py3-none-any.whl is no whole zip file" in besides[0]
    assert "absent-1-py3-none-any.whl" in besides[1]


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--smoke-test"], "--smoke-test needs --as"),
        (["--smoke-test", "--as", "demo"], "demo@1.0.0:cpu has no smoke_test: it takes a moon"),
        (["--smoke-test", "--as", "demo", "--engine", "steam"], "--engine 'steam' is not auto"),
    ],
)
def test_a_smoke_test_takes_a_recipe_that_has_one(
    farm: Farm, tmp_path: Path, more: list[str], told: str
) -> None:
    recipe = DEMO + "smoke_test: {skip: it takes a moon}\n"
    project_at(tmp_path / "project", {"recipes/demo.yaml": recipe})
    wheel = str(wheel_at(tmp_path / "a"))
    ended = farm("-C", str(tmp_path / "project"), "check", wheel, *more)
    assert (ended.code, told in ended.err) == (2, True), ended.err


def test_a_smoke_test_whose_requirements_are_not_locked_is_not_begun(
    farm: Farm, tmp_path: Path
) -> None:
    recipe = DEMO + "smoke_test: {imports: [demo]}\n"
    project_at(tmp_path / "project", {"recipes/demo.yaml": recipe})
    wheel = str(wheel_at(tmp_path / "a"))
    ended = farm("-C", str(tmp_path / "project"), "check", wheel, "--as", "demo", "--smoke-test")
    assert (ended.code, "run: farm lock demo@1.0.0:cpu" in ended.err) == (14, True), ended.err


@pytest.fixture
def attested(tmp_path: Path) -> Path:
    """A wheel with a signed provenance beside it, and the keys ``right`` and ``wrong``."""
    keys = {name: Ed25519PrivateKey.generate() for name in ("right", "wrong")}
    for name, key in keys.items():
        form = (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        (tmp_path / name).write_bytes(key.public_key().public_bytes(*form))
    filename, content = minimal_wheel("demo", "1.0.0")
    path = tmp_path / filename
    path.write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    wheel = WheelFile(filename=filename, sha256=sha256, size_bytes=len(content))
    attest(tmp_path, made_at(tmp_path / "project", wheel), keys["right"])
    return path


def test_a_provenance_beside_a_wheel_is_told(farm: Farm, attested: Path) -> None:
    ended = farm("check", str(attested))
    assert ended.code == 0, ended.err
    assert "provenance beside it: built as demo@1.0.0:cpu by farm" in ended.out
    told = json.loads(farm("check", "--json", str(attested)).out)["wheels"][0]["provenance"]
    assert (told["unit"], told["verified"]) == ("demo@1.0.0:cpu", False)


def test_a_signature_is_demanded_with_a_key(farm: Farm, attested: Path, tmp_path: Path) -> None:
    right = farm("check", "--trust-key", str(tmp_path / "right"), str(attested))
    assert right.code == 0, right.err
    assert "signed by a trusted key" in right.out
    wrong = farm("check", "--trust-key", str(tmp_path / "wrong"), str(attested))
    assert wrong.code == 10
    assert "signed by another key" in wrong.out
    none = farm("check", "--trust-key", str(tmp_path / "nowhere"), str(attested))
    assert (none.code, "nowhere cannot be read" in none.err) == (2, True)


def test_a_wheel_that_its_provenance_does_not_fit_is_refused(farm: Farm, attested: Path) -> None:
    told = attested.with_name(f"{attested.name}.provenance.json")
    told.write_text(told.read_text().replace("sha256", "sha255"))
    ended = farm("check", str(attested))
    assert (ended.code, "what lies beside it is no provenance" in ended.out) == (10, True)
