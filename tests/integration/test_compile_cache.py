"""The compile cache: nothing is compiled twice, the bytes are the same, and it fails no build."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.farming import Farm, copy_project, sharing

if TYPE_CHECKING:
    from pathlib import Path

    from farm.engine.endpoint import Endpoint
    from tests.support.farming import Done

pytestmark = pytest.mark.engine

FILES = 20
"""So many that one of them is the twentieth part."""
UNIT = "many@1.0:cpu"


class Project:
    """A package of twenty files like none before: the engine of all tests keeps what they made."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.recipe = farm.root / "recipes/many.yaml"
        self.mark = f"of_{os.urandom(8).hex()}"
        self.environment()

    def environment(self, **values: str) -> None:
        """Give the variants another environment: another identity, the same compiles."""
        text = json.dumps({"MANY_MARK": self.mark, **values})
        lines = self.recipe.read_text().splitlines()
        told = (f"    env: {text}" if line.startswith("    env: ") else line for line in lines)
        self.recipe.write_text("\n".join([*told, ""]))

    def build(self, *options: str) -> str:
        """Build; returns the wheel's sha256."""
        done = self.farm.build(UNIT, *options)
        assert done.code == 0, done.said
        assert done.outcomes() == {UNIT: "built"}
        (wheel,) = self.result().glob("*.whl")
        return hashlib.sha256(wheel.read_bytes()).hexdigest()

    def result(self, variant: str = "cpu") -> Path:
        return self.farm.result(variant, "many-1.0")

    @property
    def log(self) -> str:
        return (self.result() / "logs/compile.log").read_text()

    @property
    def answers(self) -> Counter[str]:
        """How often the cache had what was compiled, in the last build."""
        return answers(self.result())


def answers(result: Path) -> Counter[str]:
    calls = map(json.loads, (result / "logs/calls.jsonl").read_text().splitlines())
    return Counter(call["cache"] for call in calls if call["kind"] == "compile")


@pytest.fixture
def project(farm_cache: Path, private_engine: Endpoint, tmp_path: Path) -> Project:
    del private_engine
    return Project(sharing(farm_cache, copy_project("many", tmp_path / "many")))


def test_nothing_is_compiled_twice_and_the_bytes_are_the_same(project: Project) -> None:
    first = project.build()
    assert project.answers == {"miss": FILES}
    assert "without" not in project.log
    project.environment(MANY_NOTE="another reason")
    again = project.build()
    assert project.answers == {"hit": FILES}
    project.environment(MANY_NOTE="a third one")
    without = project.build("--no-compile-cache")
    assert project.answers == {"none": FILES}
    anew = project.build("--rebuild")
    assert project.answers == {"none": FILES}
    assert first == again == without == anew


def test_device_code_has_the_same_bytes(
    farm_cache: Path, private_engine: Endpoint, tmp_path: Path
) -> None:
    """clang names it by a hash of its arguments, which the cache orders anew."""
    del private_engine
    root = copy_project("accelerators", tmp_path / "kernel")
    farm, recipe = sharing(farm_cache, root), root / "recipes/kernel.yaml"
    text, mark, wheels = recipe.read_text(), f"-DOF_{os.urandom(8).hex()}", set()
    for answer, *options in (["miss"], ["hit"], ["none", "--no-compile-cache"]):
        # Another identity each time, but the same compile.
        env = f"env:\n  HIPFLAGS: {mark}\n  NOTE: {answer}\n"
        recipe.write_text(text.replace("env:\n", env, 1))
        done = farm.build("kernel@1.0:rocm70", *options)
        assert done.code == 0, done.said
        result = farm.result("rocm70", "kernel-1.0")
        calls = map(json.loads, (result / "logs/calls.jsonl").read_text().splitlines())
        assert {c["cache"] for c in calls if c["source"].endswith("/kernel.cu")} == {answer}
        (wheel,) = result.glob("*.whl")
        wheels.add(wheel.read_bytes())
    assert len(wheels) == 1


def test_a_patch_of_one_file_compiles_one_file(project: Project) -> None:
    first = project.build()
    project.environment(MANY_CHANGED="int more(void) { return 1; }")
    assert project.build() != first
    assert project.answers == {"hit": FILES - 1, "miss": 1}


def test_two_containers_at_once_use_one_cache(project: Project) -> None:
    done = project.farm.build("-j", "2", "many")
    assert done.code == 0, done.said
    both = answers(project.result()) + answers(project.result("other"))
    assert both.total() == 2 * FILES
    assert both["miss"] >= FILES
    project.environment(MANY_NOTE="third")
    project.build()
    assert project.answers == {"hit": FILES}


HARMS = {
    "emptied": "find /farm/compiled/sccache -type f -exec truncate -s 0 {} +",
    "cut": "find /farm/compiled/sccache -type f -exec truncate -s 100 {} +",
    "overwritten": "find /farm/compiled/sccache -type f | while read f; do "
    "printf 'no such thing' | dd of=$f bs=1 seek=60 conv=notrunc status=none; done",
    "removed": "rm -rf /farm/compiled/*",
    "links": "rm -rf /farm/compiled/*; ln -s /nowhere /farm/compiled/sccache; "
    "ln -s /nowhere /farm/compiled/proved",
    "a file": "rm -rf /farm/compiled/*; touch /farm/compiled/sccache /farm/compiled/proved",
    "the server killed": "for p in $(ls /proc); do case $(readlink /proc/$p/exe) in */sccache) "
    "kill -9 $p;; esac; done",
    "the program": "for f in /farm/programs/*; do echo other >$f; done",
}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS)
def test_whatever_a_build_does_to_the_cache_the_next_ones_succeed(
    project: Project, harm: str
) -> None:
    first = project.build()
    project.environment(MANY_HARM=harm)
    assert project.build() == first
    for note in ("the next", "the one after"):
        project.environment(MANY_NOTE=note)
        assert project.build() == first
    assert project.answers == {"hit": FILES}, project.log


def test_a_size_that_is_none_is_refused(project: Project) -> None:
    for size, what in (("lots", "is not a size"), ("0", "is not a size"), ("1 MiB", "too little")):
        done = project.farm.build(UNIT, "--compile-cache", size)
        assert done.code == 2
        assert what in done.stderr


def test_a_build_that_was_killed_compiles_again_next_to_nothing(
    fresh_cache: Path, tmp_path: Path
) -> None:
    """Killed when all was compiled, and nothing was kept of it but what the cache has."""
    project = Project(Farm(root=copy_project("many", tmp_path / "many"), cache=fresh_cache))
    project.environment(MANY_SLEEP_S="900")
    with project.farm.start(UNIT) as running:
        running.until_it_compiles()
        running.signal(signal.SIGKILL)
    project.environment(MANY_NOTE="farm was killed")
    project.build()
    assert project.answers["miss"] <= FILES // 20


def test_it_is_counted_cut_and_carried(project: Project, tmp_path: Path) -> None:
    project.build()
    farm, folder = project.farm, tmp_path / "carried"
    before = told(farm.run("cache", "stats", "many", "--json"))
    assert before["files"] >= FILES
    assert told(farm.run("cache", "export", str(folder), "many", "--json"))["files"] >= FILES
    assert [path.name for path in folder.iterdir()] == ["many.compiled.tar"]
    assert (
        told(farm.run("cache", "prune", "many", "--max-size", "1 TiB", "--json"))["files"] >= FILES
    )
    emptied = told(farm.run("cache", "prune", "many", "--json"))
    assert (emptied["files"], emptied["size_bytes"], emptied["oldest_s"]) == (0, 0, None)
    assert told(farm.run("cache", "import", str(folder), "--json"))["files"] >= FILES
    project.environment(MANY_NOTE="from another machine")
    project.build()
    assert project.answers == {"hit": FILES}


def told(done: Done) -> dict[str, Any]:
    assert done.code == 0, done.said
    (only,) = json.loads(done.stdout)["caches"]
    return dict(only)


def test_a_file_that_no_cache_wrote_is_refused(project: Project, tmp_path: Path) -> None:
    folder = tmp_path / "carried"
    folder.mkdir()
    done = project.farm.run("cache", "import", str(folder))
    assert done.code == 2
    assert "PACKAGE.compiled.tar" in done.stderr
    (folder / "many.compiled.tar").write_bytes(b"no tar at all")
    done = project.farm.run("cache", "import", str(folder))
    assert done.code == 6, done.said
    assert "many" in done.stderr
