"""The whole path for real: a recipe in, wheel and logs and record out, and nothing built twice."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm import __version__
from tests.support.farming import Farm, copy_project, in_container, sharing

if TYPE_CHECKING:
    from collections.abc import Callable

    from farm.engine.endpoint import Endpoint

pytestmark = pytest.mark.engine

WHEEL = "tiny-1.0-cp313-cp313-linux_x86_64.whl"
TINY = "tiny@1.0:cpu"
STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def farm(
    farm_cache: Path, private_engine: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Farm:
    """The project with one C function, built once."""
    del private_engine
    root = copy_project("faults", tmp_path_factory.mktemp("build") / "tiny")
    made = sharing(farm_cache, root)
    done = made.build("tiny:cpu")
    assert done.code == 0, done.said
    assert done.outcomes() == {TINY: "built"}
    return made


@pytest.fixture(scope="module")
def pair(
    farm_cache: Path, private_engine: Endpoint, tmp_path_factory: pytest.TempPathFactory
) -> Farm:
    """Two real packages, one of which builds the other; built once."""
    del private_engine
    root = copy_project("pair", tmp_path_factory.mktemp("build") / "pair")
    made = sharing(farm_cache, root)
    done = made.build("mdurl")
    assert done.code == 0, done.said
    order = [event["unit"] for event in done.events if event["event"] == "UnitStarted"]
    assert order == ["flit-core@3.12.0:pure", "mdurl@0.1.2:pure"]
    assert set(done.outcomes().values()) == {"built"}
    return made


def test_the_wheel_works_in_a_clean_container(farm: Farm, private_engine: Endpoint) -> None:
    image = farm.record("cpu")["base"]["tag"]
    script = "from tiny import _core; print(_core.answer())"
    assert in_container(private_engine, image, farm.wheel("cpu"), script) == "42"


def test_a_result_is_the_wheel_its_record_its_dockerfile_and_its_logs(farm: Farm) -> None:
    names = {p.relative_to(farm.result("cpu")).as_posix() for p in farm.result("cpu").rglob("*")}
    logs = {"logs", "logs/build.log", "logs/compile.log", "logs/calls.jsonl"}
    beside = {f"{WHEEL}.cdx.json", f"{WHEEL}.provenance.json"}
    files = {"record.json", "Dockerfile", "manifest.json", "bundle.tar"}
    assert names == {WHEEL, *beside, *files, *logs}


def test_the_record_says_how_it_was_made(farm: Farm) -> None:
    record = farm.record("cpu")
    (wheel,) = record["wheels"]
    path = farm.wheel("cpu")
    assert wheel == {
        "filename": WHEEL,
        "sha256": sha256(path),
        "size_bytes": path.stat().st_size,
    }
    assert record["unit"] == TINY
    assert record["farm"] == __version__
    assert record["hermetic"] is True
    assert record["jobs"].startswith(f"MAX_JOBS={record['max_jobs']}, ")
    assert "compilers take turns on" in record["jobs"]
    assert record["base"]["packages"]["gcc-14"].startswith("14.")
    assert record["base"]["tag"] in (farm.result("cpu") / "Dockerfile").read_text()
    assert {"requirements", "patched", "compile"} <= {step["name"] for step in record["steps"]}
    compiled = record["compile"]
    assert compiled["exit_status"] == 0
    assert compiled["user_s"] > 0
    assert compiled["peak_rss_bytes"] > 10_000_000
    assert (farm.runs()[0] / "tiny-1.0/cpu/record.json").read_text() == (
        farm.result("cpu") / "record.json"
    ).read_text()


def test_every_input_is_recorded_by_digest(farm: Farm) -> None:
    lock = (farm.root / "recipes/locks/tiny/1.0/cpu-py3.13.txt").read_text()
    found = re.search(r"sha256:([0-9a-f]{64})", lock)
    assert found
    digests = {item["digest"] for item in farm.record("cpu")["inputs"]}
    assert f"sha256:{found[1]}" in digests
    assert all(re.fullmatch(r"(sha256|tree):[0-9a-f]{64}", digest) for digest in digests)


def test_the_log_is_whole_with_times_and_steps(farm: Farm) -> None:
    logs = farm.result("cpu") / "logs"
    lines = (logs / "build.log").read_text().splitlines()
    assert all(re.match(STAMP + " ", line) for line in lines), lines[:5]
    text = "\n".join(line.split(" ", 1)[1] for line in lines)
    for step in ("requirements", "patched", "compile"):
        assert f"==> {step}" in text
    said = (logs / "compile.log").read_text().splitlines()
    assert any("gcc-14" in line and "core.c" in line for line in said)
    for line in said:
        assert f"[compile] {line}".rstrip() in text


def test_asked_again_it_says_unchanged_and_needs_no_engine(farm: Farm) -> None:
    before = farm.runs()
    nowhere = farm.with_variables(
        FARM_ENGINE="user", DOCKER_HOST="tcp://127.0.0.1:9", PATH="/nowhere"
    )
    done = nowhere.build("tiny:cpu")
    assert done.code == 0, done.said
    assert done.outcomes() == {TINY: "unchanged"}
    assert farm.runs() == before
    assert TINY in farm.run("build", "--progress=plain", "tiny:cpu").stderr


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def remove(path: Path) -> None:
    path.unlink()


def link_elsewhere(path: Path) -> None:
    """Right by content, but not a file of the result's own."""
    moved = path.parent.parent / path.name
    path.rename(moved)
    path.symlink_to(moved)


@pytest.mark.parametrize("touch", [flip, cut, remove, link_elsewhere])
def test_a_wheel_that_was_touched_is_not_served(
    farm: Farm, touch: Callable[[Path], None], tmp_path: Path
) -> None:
    out = Path(shutil.copytree(farm.out, tmp_path / "out", symlinks=True))
    same = farm.run("plan", "--output-dir", str(out), "tiny:cpu")
    assert "to build" not in same.stdout
    touch(out / "tiny-1.0/cpu" / WHEEL)
    touched = farm.run("plan", "--output-dir", str(out), "tiny:cpu")
    assert "its result is kept" in touched.stdout


def test_a_wheel_that_was_touched_is_put_there_again(farm: Farm) -> None:
    path, whole = farm.wheel("cpu"), sha256(farm.wheel("cpu"))
    flip(path)
    assert farm.build("tiny:cpu").outcomes() == {TINY: "unchanged"}
    assert sha256(farm.wheel("cpu")) == whole
    assert farm.build("tiny:cpu").outcomes() == {TINY: "unchanged"}


@pytest.mark.parametrize("damage", ["", "{", "null", '{"unit": 1}', "\0\xff"])
def test_a_damaged_record_is_no_result(farm: Farm, damage: str, tmp_path: Path) -> None:
    out = Path(shutil.copytree(farm.out, tmp_path / "out", symlinks=True))
    (out / "tiny-1.0/cpu/record.json").write_text(damage, encoding="latin-1")
    planned = farm.run("plan", "--output-dir", str(out), "tiny:cpu")
    assert planned.code == 0, planned.said
    assert "its result is kept" in planned.stdout


def test_rebuild_compiles_again_and_gives_the_same_bytes(farm: Farm) -> None:
    whole = sha256(farm.wheel("cpu"))
    done = farm.build("--rebuild", "tiny:cpu")
    assert done.outcomes() == {TINY: "built"}
    (compiled,) = (e for e in done.of("StepFinished", TINY) if e["step"] == "compile")
    assert compiled["cached"] is False
    assert sha256(farm.wheel("cpu")) == whole


def test_force_asks_the_engine_whose_cache_answers(farm: Farm) -> None:
    whole = sha256(farm.wheel("cpu"))
    done = farm.build("--force", "tiny:cpu")
    assert done.outcomes() == {TINY: "built"}
    (compiled,) = (e for e in done.of("StepFinished", TINY) if e["step"] == "compile")
    assert compiled["cached"] is True
    assert sha256(farm.wheel("cpu")) == whole


def test_another_number_of_jobs_compiles_nothing_again(
    farm_cache: Path, private_engine: Endpoint, tmp_path: Path
) -> None:
    """In a unit of its own: BuildKit makes one step of equal ones that run at the same time."""
    del private_engine
    root = copy_project("faults", tmp_path / "jobs")
    recipe = root / "recipes/tiny.yaml"
    own = "    toolchain: cpu\n    env: {TINY_TEST: jobs}\n"
    recipe.write_text(recipe.read_text().replace("    toolchain: cpu\n", own, 1), encoding="utf-8")
    farm = sharing(farm_cache, root)
    for how, jobs, cached in (("--rebuild", "3", False), ("--force", "1", True)):
        done = farm.build(how, "--max-jobs", jobs, "tiny:cpu")
        assert done.outcomes() == {TINY: "built"}, done.said
        (compiled,) = (e for e in done.of("StepFinished", TINY) if e["step"] == "compile")
        assert compiled["cached"] is cached
        record = farm.record("cpu")
        assert record["max_jobs"] == int(jobs)
        assert record["compile"]["jobs"] == {"MAX_JOBS": "3"}


@pytest.fixture(scope="module")
def by_hand(farm: Farm, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``farm render --output`` makes for a build without farm."""
    folder = tmp_path_factory.mktemp("render") / "by-hand"
    done = farm.run("render", "tiny:cpu", "--output", str(folder))
    assert done.code == 0, done.said
    return folder


def docker_build(engine: Endpoint, folder: Path, out: Path) -> tuple[int, str]:
    """A build by hand: its status, and what it printed."""
    argv = [*engine.buildx, "build", "--progress=plain", f"--output={out}", str(folder)]
    env = engine.environment()
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env)
    return done.returncode, done.stderr


def test_a_build_by_hand_gives_the_wheel(
    farm: Farm, private_engine: Endpoint, by_hand: Path, tmp_path: Path
) -> None:
    code, said = docker_build(private_engine, by_hand, tmp_path / "out")
    assert code == 0, said
    assert sha256(tmp_path / "out" / WHEEL) == sha256(farm.wheel("cpu"))


@pytest.mark.parametrize("name", ["inside/step.py", "inside/unpack.py", "wheels/requirements.txt"])
def test_a_context_of_other_content_is_refused_by_the_dockerfile_itself(
    private_engine: Endpoint, by_hand: Path, tmp_path: Path, name: str
) -> None:
    folder = tmp_path / "tampered"
    shutil.copytree(by_hand, folder)
    path = folder / name
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b"\n# planted\n")
    code, said = docker_build(private_engine, folder, tmp_path / "out")
    assert code != 0
    assert f"farm: error: /farm/{name}: not what its digest says" in said


def test_a_dry_run_writes_nothing(farm: Farm, tmp_path: Path) -> None:
    root = copy_project("faults", tmp_path / "project")
    cache = tmp_path / "cache"
    fresh = Farm(root=root, cache=cache)
    before = sorted(root.rglob("*"))
    done = fresh.run("build", "--dry-run", "tiny:cpu", "follower")
    assert done.code == 0, done.said
    assert "MAX_JOBS=" in done.stdout
    assert sorted(root.rglob("*")) == before
    assert not cache.exists()
    assert json.loads(fresh.run("plan", "--json", "tiny:cpu").stdout)["units"]


def test_a_needed_wheel_enters_by_its_hash(pair: Farm) -> None:
    (needed,) = pair.record("pure", "flit-core-3.12.0")["wheels"]
    record = pair.record("pure", "mdurl-0.1.2")
    inputs = {item["digest"]: item["name"] for item in record["inputs"]}
    assert inputs[f"sha256:{needed['sha256']}"].endswith(needed["filename"])
    (need,) = record["needs"]
    assert need["digest"] == pair.record("pure", "flit-core-3.12.0")["identity"]


def test_rebuild_of_what_needs_another_leaves_the_other_and_gives_the_same_bytes(
    pair: Farm,
) -> None:
    whole = sha256(pair.wheel("pure", "mdurl-0.1.2"))
    done = pair.build("--rebuild", "mdurl")
    assert done.outcomes() == {"flit-core@3.12.0:pure": "unchanged", "mdurl@0.1.2:pure": "built"}
    assert sha256(pair.wheel("pure", "mdurl-0.1.2")) == whole


def test_a_needed_wheel_that_is_lost_is_put_there_again_and_its_dependent_stays(
    pair: Farm,
) -> None:
    shutil.rmtree(pair.result("pure", "flit-core-3.12.0"))
    done = pair.build("mdurl")
    assert set(done.outcomes().values()) == {"unchanged"}
    assert pair.wheel("pure", "flit-core-3.12.0").exists()
