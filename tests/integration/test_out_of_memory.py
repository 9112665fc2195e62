"""The kernel ends what takes more memory than all builds may have: told apart, and tried again.

The limit is that of the cgroup of a private engine's builds; it needs root.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.engine import private
from farm.engine.limits import limit_of
from farm.engine.place import place_of
from tests.support.engines import own_engine
from tests.support.farming import Farm, copy_project, quiet

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engine

MIB = 2**20
LIMIT_MIB = 500
HUNGRY = "tiny@1.0:hungry"
EATS = """\
import multiprocessing, os, sys

def eat(mib, both):
    taken = bytearray(os.urandom(4096)) * (mib * 256)
    both.wait()  # till the others have theirs, too

def eat_all():
    jobs, mib = int(os.environ["MAX_JOBS"]), int(os.environ["TINY_EAT_MIB"])
    both = multiprocessing.Barrier(jobs)
    eating = [multiprocessing.Process(target=eat, args=(mib, both)) for _ in range(jobs)]
    for each in eating:
        each.start()
    while any(each.is_alive() for each in eating):
        for each in eating:
            each.join(0.1)
        if any(each.exitcode for each in eating):
            for each in eating:
                each.kill()
            sys.exit("a job ended without a word")
"""


@pytest.fixture(scope="module")
def cache(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With an engine whose builds may have little memory together."""
    with own_engine(farm_cache, tmp_path_factory.mktemp("memory") / "cache") as folder:
        private.ensure_running(folder, quiet)
        place, top = place_of(folder), Path("/sys/fs/cgroup")
        names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "memory.max")
        groups = (top / "memory" / place.cgroup[1:], top / place.cgroup[1:])
        for file in (group / name for name in names for group in groups):
            if file.exists():
                file.write_text(str(LIMIT_MIB * MIB), encoding="ascii")
        assert limit_of(place) == LIMIT_MIB * MIB
        yield folder


def project(tmp_path: Path, cache: Path, mib: int) -> Farm:
    """Its package takes ``mib`` for each of MAX_JOBS jobs at once, none of them a compiler."""
    root = copy_project("faults", tmp_path / "project")
    recipe = root / "recipes/tiny.yaml"
    given, begins = recipe.read_text(encoding="utf-8"), "class Build(build_ext):"
    ran, eats, told = (
        "        super().run()",
        "        eat_all()",
        'env: {TINY_KILL_COMPILER: "1"}',
    )
    assert told in given
    edits = [
        {"file": "setup.py", "replace": begins, "by": f"{EATS}\n\n{begins}", "reason": "it eats"},
        {"file": "setup.py", "replace": ran, "by": f"{eats}\n{ran}", "reason": "it eats"},
    ]
    hungry = f'env: {{TINY_EAT_MIB: "{mib}"}}\n    edits: {json.dumps(edits)}'
    recipe.write_text(given.replace(told, hungry), encoding="utf-8")
    return Farm(root=root, cache=cache)


def test_what_does_not_fit_at_once_is_built_with_half_as_many_jobs(
    cache: Path, tmp_path: Path
) -> None:
    farm = project(tmp_path, cache, LIMIT_MIB * 6 // 10)
    done = farm.build("--max-jobs=2", HUNGRY)
    assert done.code == 0, done.said[-3000:]
    (told,) = (e["text"] for e in done.of("Notice", HUNGRY) if "memory ran out" in e["text"])
    assert told.endswith("tried once more with MAX_JOBS=1")
    record = farm.record("hungry")
    assert record["max_jobs"] == 1
    assert not record["compile"]["oom_kills"]


def test_what_does_not_fit_alone_fails_with_a_code_of_its_own(cache: Path, tmp_path: Path) -> None:
    farm = project(tmp_path, cache, LIMIT_MIB * 2)
    done = farm.build("--max-jobs=2", HUNGRY)
    assert done.code == 13, done.said[-3000:]
    ended = done.ended(HUNGRY)
    assert ended["message"].startswith("memory ran out in the step compile")
    assert "MAX_JOBS=1" in ended["hint"]
    assert ended["step"] == "compile"
    assert len([e for e in done.of("Notice", HUNGRY) if "tried once more" in e["text"]]) == 1
    assert not farm.result("hungry").exists()
