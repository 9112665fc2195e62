"""Wheels that build without an error, tried where they were not built."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from farm.engine.gpu import Gpu
from farm.errors import SmokeTestError
from farm.load.library import gather
from farm.load.project import find_project
from farm.plan.plan import Choice, make_plan
from farm.plan.select import parse_selector
from farm.run import smoke_test
from farm.run.options import BuildOptions
from farm.run.prerequisites import Prerequisites
from farm.run.resources import Resources
from farm.run.settle import template_folders
from farm.run.smoke_test import SmokeTestBed, try_wheel, wheel_at
from farm.run.tasks import Tasks
from farm.store.record import read_record
from tests.support.farming import Farm, copy_project, quiet, sharing

if TYPE_CHECKING:
    from farm.model.unit import Unit
    from farm.render.context import Wheel
    from tests.support.farming import Done

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("private_engine")]

PACKAGE = "tried-1.0"
GOOD = ["good", "packaged", "stubbed"]
BAD = {
    "undeclared": ("smoke_test", "import tried fails .*: No module named 'setuptools'"),
    "unlocked": ("installed", "cannot be tried: .*requirement packaging>=24 (from tried)"),
    "openmp": ("smoke_test", "import tried._fast fails .*: libgomp.so.1: cannot open shared"),
    "unneeded": ("stubs", "nothing needs libgomp.so.1: take it out of smoke_test.stubs"),
    "there": ("stubs", "libz.so.1 is there: smoke_test.stubs must not name it"),
    "crashes": ("smoke_test", "import tried fails in a clean container: ended by signal 11"),
    "wrong": ("smoke_test", "script fails in a clean container: AssertionError: 1.0"),
}
"""Variants that build, and in which step what is said of each one's wheel."""


@pytest.fixture(scope="module")
def farm(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Farm:
    root = copy_project("smoke", tmp_path_factory.mktemp("smoke") / "project")
    return sharing(farm_cache, root)


@pytest.fixture(scope="module")
def done(farm: Farm) -> Done:
    return farm.build("tried")


@pytest.mark.parametrize("variant", GOOD)
def test_a_wheel_that_works_is_served_with_what_was_tried(
    done: Done, farm: Farm, variant: str
) -> None:
    assert done.ended(f"tried@1.0:{variant}")["outcome"] == "built"
    tried = farm.record(variant, PACKAGE)["smoke_test"]
    expected = {
        "good": ["import tried", "import tried.inner", "script"],
        "packaged": ["import tried", "import tried._fast"],
        "stubbed": ["import tried", "import tried._fast", "script"],
    }
    assert [each["what"] for each in tried["passed"]] == expected[variant]
    assert ("libgomp1" in tried["base"]["packages"]) == (variant == "packaged")
    assert tried["stubs"] == (["libgomp.so.1"] if variant == "stubbed" else [])


def test_there_is_no_network_and_nothing_of_the_build(done: Done, farm: Farm) -> None:
    del done
    log = (farm.result("good", PACKAGE) / "logs/smoke-test.log").read_text(encoding="utf-8")
    assert "no network: " in log


@pytest.mark.parametrize("variant", BAD)
def test_a_wheel_that_does_not_work_is_put_aside_with_its_reason(
    done: Done, farm: Farm, variant: str
) -> None:
    ended = done.ended(f"tried@1.0:{variant}")
    step, reason = BAD[variant]
    assert (ended["outcome"], ended["exit_code"], ended["step"]) == ("failed", 16, step)
    begins, _, ends = reason.partition(".*")
    assert begins in ended["message"]
    assert ends in ended["message"]
    aside = Path(ended["log"]).parent / "rejected"
    assert f"the wheel was put aside in {aside}" in ended["hint"]
    assert len(list(aside.glob("tried-1.0-*.whl"))) == 1
    record = json.loads((aside.parent / "record.json").read_text(encoding="utf-8"))
    assert (record["exit_code"], record["message"]) == (16, ended["message"])
    assert not farm.result(variant, PACKAGE).exists()


def test_what_is_missing_is_told_with_where_to_name_it(done: Done) -> None:
    assert "smoke_test.system_packages" in done.ended("tried@1.0:openmp")["hint"]
    assert (
        "smoke_test.requires, then 'farm lock tried@1.0"
        in (done.ended("tried@1.0:unlocked")["hint"])
    )


def test_another_smoke_test_tries_the_wheel_again_and_builds_nothing(
    done: Done, farm: Farm
) -> None:
    del done
    recipe = farm.root / "recipes/tried.yaml"
    before, wheel = recipe.read_text(encoding="utf-8"), farm.wheel("good", PACKAGE)
    built = wheel.stat().st_mtime_ns
    try:
        recipe.write_text(before.replace("major == 1", "major == 2"), encoding="utf-8")
        again = farm.build("tried:good")
        ended = again.ended("tried@1.0:good")
        assert (ended["outcome"], ended["exit_code"]) == ("failed", 16)
        assert f"stays in {farm.result('good', PACKAGE)}" in ended["hint"]
        recipe.write_text(before.replace("import tried\n", "import tried as t\n"), "utf-8")
        # The script now fails for another reason, its own: it was run anew.
        assert "NameError" in farm.build("tried:good").ended("tried@1.0:good")["message"]
    finally:
        recipe.write_text(before, encoding="utf-8")
    kept = farm.build("tried:good")
    assert kept.outcomes() == {"tried@1.0:good": "unchanged"}
    assert not [e for e in kept.events if e["event"] == "StepStarted"]
    assert wheel.stat().st_mtime_ns == built


def test_a_wheel_from_elsewhere_is_put_to_a_smoke_test_by_farm_check(
    done: Done, farm: Farm
) -> None:
    path = str(farm.wheel("good", PACKAGE))
    passed = farm.run("check", path, "--as", "tried:good", "--smoke-test")
    assert passed.code == 0, passed.said
    assert "in a clean container: import tried, import tried.inner, script" in passed.stdout
    told = farm.run("check", path, "--as", "tried:good", "--smoke-test", "--json")
    assert len(json.loads(told.stdout)["wheels"][0]["smoke_test"]["passed"]) == 3
    aside = Path(done.ended("tried@1.0:openmp")["log"]).parent / "rejected"
    (other,) = aside.glob("*.whl")
    failed = farm.run("check", path, str(other), "--as", "tried:openmp", "--smoke-test")
    assert failed.code == 10  # the first wheel has no such module, the second cannot be loaded
    assert "No module named 'tried._fast'" in failed.stderr
    assert "libgomp.so.1: cannot open shared object file" in failed.stderr
    alone = farm.run("check", str(other), "--as", "tried:openmp", "--smoke-test")
    assert alone.code == 16
    assert "smoke_test.system_packages" in alone.stderr


def unit_of(farm: Farm, *, gpu_script: str) -> Unit:
    """A unit for rocm, as far as its GPU goes; everything else is that of a small wheel."""
    from dataclasses import replace

    library = gather(find_project(root=farm.root), ["tried"])
    (unit,) = make_plan(library, [parse_selector("tried:good")], Choice()).units
    assert unit.smoke_test is not None
    test = replace(unit.smoke_test, gpu_script=gpu_script)
    return replace(unit, accelerator="rocm", smoke_test=test)


def tried(farm: Farm, unit: Unit, wheel: Wheel, folder: Path) -> dict[str, object]:
    """Put a wheel to the smoke test of a unit; its log is left in the folder."""

    async def play() -> dict[str, object]:
        tasks = Tasks(Resources({}), threading.Event())
        options = BuildOptions(engine="private")
        with TemporaryDirectory(dir=folder) as scratch:
            bed = SmokeTestBed(
                folder=folder,
                scratch=Path(scratch),
                prerequisites=Prerequisites(farm.cache, options, quiet, tasks),
                templates=template_folders(find_project(root=farm.root)),
                sink=quiet,
            )
            return await try_wheel(unit, wheel, (), bed)

    return asyncio.run(play())


SCRIPT = """
import os, stat, tried
assert stat.S_ISCHR(os.stat("/dev/kfd").st_mode)
print(tried.VERSION, open("/farm/driver/libdriver.so.1").read())
"""


def test_a_gpu_and_its_driver_are_handed_into_a_container_for_the_gpu_script(
    done: Done, farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # No GPU is here: a device that every machine has stands in for it, a file for its driver.
    del done
    driver = tmp_path / "libdriver.so.1"
    driver.write_text("driver of the kernel")
    gpu = Gpu(devices=(("/dev/null", "/dev/kfd"),), libraries=(driver,))
    monkeypatch.setattr(smoke_test, "find_gpu", lambda _: gpu)
    record = read_record(farm.result("good", PACKAGE))
    assert record is not None
    wheel = wheel_at(farm.result("good", PACKAGE), record.wheels[0])
    told = tried(farm, unit_of(farm, gpu_script=SCRIPT), wheel, tmp_path)
    assert told["gpu"] == "passed"
    log = (tmp_path / smoke_test.LOG).read_text(encoding="utf-8")
    assert "1.0 driver of the kernel" in log
    with pytest.raises(SmokeTestError, match=r"gpu_script fails .*: ZeroDivisionError"):
        tried(farm, unit_of(farm, gpu_script="1 / 0"), wheel, tmp_path)


def test_a_gpu_script_where_no_gpu_is_is_told_not_to_have_run(
    done: Done, farm: Farm, tmp_path: Path
) -> None:
    del done
    record = read_record(farm.result("good", PACKAGE))
    assert record is not None
    wheel = wheel_at(farm.result("good", PACKAGE), record.wheels[0])
    if Path("/dev/kfd").exists():
        pytest.skip("this machine has a GPU")
    told = tried(farm, unit_of(farm, gpu_script="1 / 0"), wheel, tmp_path)
    assert told["gpu"] == "not run: this machine shows no GPU for rocm"
    assert json.dumps(told)
