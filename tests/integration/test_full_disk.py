"""The disk is full in mid-build, the engine's or that of the results: said so, and room helps.

The disks are small file systems on loop devices; they need root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from farm.engine import private
from tests.support.engines import own_engine
from tests.support.farming import Farm, copy_project, quiet, sharing, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.engine

MIB = 1024**2
CPU, BULKY, NOISY = "tiny@1.0:cpu", "tiny@1.0:bulky", "tiny@1.0:noisy"
BULK_MIB = 250


@contextmanager
def disk(folder: Path, size_mib: int) -> Iterator[Path]:
    """A file system of its own, gone afterwards."""
    image, mounted = folder / "disk", folder / "small"
    with image.open("wb") as file:
        file.truncate(size_mib * MIB)
    mounted.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-m0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(mounted)], check=True)
    try:
        yield mounted
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
        image.unlink()


def fill(folder: Path, *, leave_mib: int) -> Path:
    """Take the free space of a disk but for a little."""
    filler = folder / "filler"
    size = shutil.disk_usage(folder).free - max(leave_mib, 1) * MIB
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        os.posix_fallocate(file.fileno(), 0, size)
        file.seek(size)
        while not leave_mib:
            file.write(bytes(4096))
    return filler


def assert_nothing_runs_on(farm: Farm) -> None:
    assert until(lambda: not farm.steps_running()), farm.steps_running()
    assert until(lambda: not farm.processes()), farm.processes()


def test_the_engines_disk_is_full_while_it_compiles(farm_cache: Path, tmp_path: Path) -> None:
    root = copy_project("faults", tmp_path / "project")
    recipe = root / "recipes/tiny.yaml"
    recipe.write_text(recipe.read_text().replace('"700"', f'"{BULK_MIB}"'))
    with disk(tmp_path, 1500) as small, own_engine(farm_cache, small / "cache") as cache:
        farm = Farm(root=root, cache=cache)
        assert farm.build(CPU).code == 0
        filler = fill(small, leave_mib=BULK_MIB // 2)
        done = farm.build(BULKY)
        assert done.code == 11, done.said[-2000:]
        ended = done.ended(BULKY)
        assert "space" in ended["message"]
        assert ended["hint"]
        assert "Traceback" not in done.stderr
        assert not farm.result("bulky").exists()
        assert_nothing_runs_on(farm)
        filler.unlink()
        again = farm.build(BULKY, CPU)
        assert again.code == 0, again.said[-2000:]
        assert again.outcomes() == {BULKY: "built", CPU: "unchanged"}


@pytest.fixture(scope="module")
def cache(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With an engine of its own: these tests look at all that runs in it."""
    with own_engine(farm_cache, tmp_path_factory.mktemp("disks") / "cache") as folder:
        private.ensure_running(folder, quiet)  # by no project whose processes are looked for
        yield folder


@pytest.fixture
def farm(cache: Path, tmp_path: Path) -> Farm:
    """A project with results of its own."""
    return sharing(cache, copy_project("faults", tmp_path / "project"))


@pytest.mark.parametrize("leave_mib", [0, 2, 60])
def test_the_disk_of_the_results_is_full(farm: Farm, tmp_path: Path, leave_mib: int) -> None:
    """From the first file on, while the log grows, or only when logs are put beside the wheel."""
    with disk(tmp_path, 320) as small:
        out = small / "out"
        place = f"--output-dir={out}"
        assert farm.build(place, CPU).code == 0
        filler = fill(small, leave_mib=leave_mib)
        done = farm.build(place, NOISY)
        assert done.code == 11, done.said[-2000:]
        assert "no space left" in done.said
        assert "Traceback" not in done.stderr
        assert not (out / "tiny-1.0/noisy").exists()
        assert_nothing_runs_on(farm)
        assert farm.build(place, CPU).outcomes() == {CPU: "unchanged"}
        filler.unlink()
        again = farm.build(place, NOISY)
        assert again.code == 0, again.said[-2000:]
        # "unchanged" where the result was kept in the cache, and only its place was full
        assert again.outcomes()[NOISY] in {"built", "unchanged"}


def test_the_cache_is_full_when_sources_are_staged(farm: Farm, tmp_path: Path) -> None:
    with disk(tmp_path, 16) as small:
        cache = small / "cache"
        cache.mkdir()
        for name in ("bases", "engine"):
            (cache / name).symlink_to(farm.cache / name)
        filler = fill(small, leave_mib=0)
        starved = Farm(root=farm.root, cache=cache)
        done = starved.build(CPU)
        assert done.code == 11, done.said[-2000:]
        assert "no space left" in done.said
        filler.unlink()
        assert starved.run("list").code == 0
