"""The disk is full in mid-build, the engine's or that of the results: said so, and room helps.

The disks are small file systems on loop devices; they need root.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from farm.engine import daemon_api, private
from tests.support.engines import own_engine
from tests.support.farming import PATIENCE_S, Farm, copy_project, quiet, sharing, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.engine

MIB = 1024**2
CPU, BULKY, NOISY = "tiny@1.0:cpu", "tiny@1.0:bulky", "tiny@1.0:noisy"
BULK_MIB = 250
TOO_LONG_S = 20.0
"""No base is made in so little time."""


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
        where = f"no space left on the disk of the engine private, {cache}/engine/data ("
        assert where in ended["message"]
        assert "MB free there" in ended["message"]
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


def test_a_base_that_will_not_fit_is_refused_before_it_is_made(farm: Farm, tmp_path: Path) -> None:
    with disk(tmp_path, 320) as small:
        cache = small / "cache"
        cache.mkdir()
        for name in ("store", "engine"):
            (cache / name).symlink_to(farm.cache / name)
        cramped = Farm(root=farm.root, cache=cache)
        done = cramped.build(CPU)
        assert done.code == 11, done.said[-2000:]
        message = done.ended(CPU)["message"]
        assert re.search(r"the base \S+ will not fit: it needs [\d,.]+ MB, and [\d.]+ MB", message)
        assert f"for the base in {cache}/bases" in message
        assert "--no-preflight" in done.ended(CPU)["hint"]
        assert not list((cache / "bases").glob("*/image.tar"))
        assert done.ended(CPU)["seconds"] < TOO_LONG_S


def test_a_result_as_large_as_the_last_one_is_seen_not_to_fit(farm: Farm, tmp_path: Path) -> None:
    """It is made to look larger than it is, so that nothing need be."""
    with disk(tmp_path, 320) as small:
        place = f"--output-dir={small / 'out'}"
        assert farm.build(place, CPU).code == 0
        os.truncate(small / "out/tiny-1.0/cpu/logs/build.log", 400 * MIB)
        done = farm.build(place, "--rebuild", CPU)
        assert done.code == 11, done.said[-2000:]
        assert f"MB for its result in {small / 'out'}" in done.ended(CPU)["message"]
        assert farm.build(place, "--rebuild", "--no-preflight", CPU).code == 0


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


def test_the_engine_lets_go_what_its_build_cache_may_not_take(
    farm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_CACHE_LIMIT", f"{BULK_MIB} MiB")  # half of it for the engine
    root = copy_project("faults", tmp_path / "project")
    recipe = root / "recipes/tiny.yaml"
    recipe.write_text(recipe.read_text().replace('"700"', f'"{BULK_MIB}"'))
    with own_engine(farm_cache, tmp_path / "cache") as cache:
        socket = private.ensure_running(cache, quiet).socket

        def taken() -> int:
            told = daemon_api.get_json(socket, "/system/df?type=build-cache", timeout_s=60)
            return sum(each["Size"] for each in told["BuildCache"] or ())

        farm = Farm(root=root, cache=cache)
        done = farm.build(BULKY)
        assert done.code == 0, done.said[-2000:]
        assert taken() > BULK_MIB * MIB
        # BuildKit looks a minute after a build at the earliest.
        assert until(lambda: taken() <= BULK_MIB * MIB // 2, PATIENCE_S), taken()
        assert farm.build(BULKY).outcomes() == {BULKY: "unchanged"}
