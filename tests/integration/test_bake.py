"""What ``farm bake`` writes gives, by plain ``docker buildx bake``, the bytes that farm built."""

from __future__ import annotations

import hashlib
import json
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.support.farming import Farm, add_variant, copy_project, sharing

if TYPE_CHECKING:
    from pathlib import Path

    from farm.engine.endpoint import Endpoint

pytestmark = pytest.mark.engine

VARIANTS = ("cpu", "other")
OTHER = (
    'edits: [{file: tiny/core.c, replace: "FromLong(42)", by: "FromLong(43)", '
    "reason: another answer}]"
)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def bake(engine: Endpoint, folder: Path, *targets: str) -> tuple[int, str]:
    """Call bake as a user does who has no farm: its status, and what it printed."""
    argv = [*engine.docker, "buildx", "bake", "--progress=plain", *targets]
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env=engine.environment(), cwd=folder
    )
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def farm(
    farm_cache: Path, private_engine: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Farm:
    del private_engine
    root = copy_project("faults", tmp_path_factory.mktemp("bake") / "project")
    add_variant(root, "other", OTHER)
    farm = sharing(farm_cache, root)
    done = farm.build(*(f"tiny:{variant}" for variant in VARIANTS))
    assert done.code == 0, done.said
    return farm


@pytest.fixture(scope="module")
def baked(farm: Farm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two variants that build and one that does not compile."""
    folder = tmp_path_factory.mktemp("baked") / "there"
    units = [f"tiny:{variant}" for variant in (*VARIANTS, "broken")]
    done = farm.run("bake", *units, "--output", str(folder))
    assert done.code == 0, done.said
    return folder


def test_bake_gives_the_bytes_that_farm_built(
    farm: Farm, private_engine: Endpoint, baked: Path
) -> None:
    code, said = bake(private_engine, baked, *VARIANTS)
    assert code == 0, said
    for variant in VARIANTS:
        wheel = farm.wheel(variant)
        out = baked / "out/tiny-1.0" / variant
        assert sha256(out / wheel.name) == sha256(wheel)
    assert sha256(farm.wheel("cpu")) != sha256(farm.wheel("other"))


def test_bake_takes_the_number_of_jobs_from_a_file(private_engine: Endpoint, baked: Path) -> None:
    (baked / "jobs").write_text("MAX_JOBS=5\n")
    code, said = bake(private_engine, baked, "--no-cache", "other")
    assert code == 0, said
    status = json.loads((baked / "out/tiny-1.0/other/status.json").read_text())
    assert status["jobs"]["MAX_JOBS"] == "5"


def test_two_variants_differ_in_what_their_recipe_says_and_in_code(farm: Farm) -> None:
    done = farm.run("diff", "--json", *(f"tiny@1.0:{variant}" for variant in VARIANTS))
    assert done.code == 0, done.said
    found = json.loads(done.stdout)["differences"]
    assert {change["name"] for change in found["inputs"]} == {
        *("unit", "identity", "file edits/tiny.json", "file inside/edit.py"),
        "file inside/pinned.json",  # what becomes of the SBOM names the edit
    }
    assert {change["name"] for change in found["results"]} <= {"sha256", "size"}
    causes = {each["cause"] for each in found["files"] if each["path"].endswith(".so")}
    assert "code" in causes
    assert causes <= {"code", "build id"}


def test_a_failing_compile_fails_and_its_log_can_be_had(
    private_engine: Endpoint, baked: Path
) -> None:
    code, said = bake(private_engine, baked, "broken")
    assert code != 0
    assert "no wheel was made; its log: docker buildx bake tiny-1-0-broken-result" in said
    code, said = bake(private_engine, baked, "tiny-1-0-broken-result")
    assert code == 0, said
    log = (baked / "out/tiny-1.0/broken/logs/compile.log").read_text()
    assert "forty_two" in log


def test_a_unit_that_needs_another_has_its_wheel_in_its_context(
    farm_cache: Path, private_engine: Endpoint, tmp_path: Path
) -> None:
    farm = sharing(farm_cache, copy_project("pair", tmp_path / "project"))
    folder = tmp_path / "there"
    refused = farm.run("bake", "mdurl", "--output", str(folder))
    assert refused.code == 2
    assert "farm build flit-core@3.12.0:pure" in refused.stderr
    assert farm.build("mdurl").code == 0
    assert farm.run("bake", "mdurl", "--output", str(folder)).code == 0
    code, said = bake(private_engine, folder)
    assert code == 0, said
    wheel = farm.wheel("pure", "mdurl-0.1.2")
    assert sha256(folder / "out/mdurl-0.1.2/pure" / wheel.name) == sha256(wheel)
