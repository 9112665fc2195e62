"""Ending a build after configuring: cmake stands aside, and what it would do is counted.

That it does so with a real CMake and ninja is shown by tests/integration/test_until.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from farm.inside import until

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

STEPS = [
    "Building CUDA object CMakeFiles/_C.dir/csrc/permute_cols.cu.o",
    "Building CUDA object CMakeFiles/_C.dir/csrc/attention/merge.cu.o",
    "Building CXX object CMakeFiles/_C.dir/csrc/torch_bindings.cpp.o",
    "Linking CXX shared module _C.abi3.so",
    "Linking CXX static library libx.a",
    "Running hipify",
]
# Tells what it is called with, and plays CMake with Ninja: a dry run prints descriptions
# as ninja does, after NINJA_STATUS.
CMAKE = """#!/bin/sh
echo "$@" >>{log}
case "$*" in
  *" -n")
    n=0
    while read -r step; do
      n=$((n + 1))
      [ "$NINJA_STATUS" = "@farm %f/%t@ " ] && echo "@farm $n/6@ $step"
    done <{steps}
    exit {dry}
    ;;
esac
"""
NINJA = """#!/bin/sh
echo "ninja $@" >>{log}
made=CMakeFiles/_C.dir/csrc/permute_cols.cu.o
printf '# ninja log v6\\n100\\t1350\\t1\\t%s\\tabc\\n' $made >$2/.ninja_log
exit {made}
"""


class World:
    """A build folder, and a cmake that says what it is asked."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root, self.out = root, root / "out"
        self.bin, self.build, self.log = root / "bin", root / "build", root / "log"
        for folder in (self.bin, self.build):
            folder.mkdir()
        (root / "steps").write_text("\n".join(STEPS) + "\n")
        self.write(dry=0, made=0)
        monkeypatch.setenv("PATH", f"{self.bin}:/usr/bin:/bin")
        monkeypatch.delenv(until.NESTED, raising=False)

    def write(self, *, dry: int, made: int, generator: str = "Ninja") -> None:
        names = {"log": self.log, "steps": self.root / "steps", "dry": dry, "made": made}
        for name, text in (("cmake", CMAKE), ("ninja", NINJA)):
            path = self.bin / name
            path.write_text(text.format(**names))
            path.chmod(0o755)
        (self.build / "CMakeCache.txt").write_text(
            f"CMAKE_GENERATOR:INTERNAL={generator}\n"
            f"CMAKE_MAKE_PROGRAM:FILEPATH={self.bin / 'ninja'}\n"
        )

    def install(self, *only: str) -> int:
        globs = [f"--only={glob}" for glob in only]
        return until.main(["install", "--out", str(self.out), *globs])

    def cmake(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Call what is named cmake, in the folder above the build's."""
        return subprocess.run(
            [str(self.bin / "cmake"), *arguments],
            cwd=self.root,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[str]:
        return self.log.read_text().splitlines() if self.log.exists() else []

    def report(self) -> dict[str, object]:
        found = json.loads((self.out / "steps.json").read_text())
        assert isinstance(found, dict)
        return found


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


def test_what_is_no_build_goes_to_the_real_cmake(world: World) -> None:
    assert world.install() == 0
    assert world.cmake("-S", "a b", "-DX=$(id)").returncode == 0
    assert world.calls() == ["-S a b -DX=$(id)"]


def test_a_build_is_counted_by_kind_and_ends(world: World) -> None:
    world.install()
    done = world.cmake("--build", "build", "-v", "--target", "_C", "-j", "3")
    assert done.returncode == until.EXIT_STOPPED
    assert "it has 6 steps" in done.stdout
    assert world.calls() == ["--build build --target _C -j 3 -- -n"]
    assert world.report() == {
        "total": 6,
        "kinds": {"compile CUDA": 2, "compile CXX": 1, "link": 2, "other": 1},
        "objects": [],
        "exit_status": 0,
    }


def test_options_for_ninja_stay_where_they_are(world: World) -> None:
    world.install()
    world.cmake("--build", "build", "--", "-k", "0")
    assert world.calls() == ["--build build -- -k 0 -n"]


def test_installing_twice_wraps_once(world: World) -> None:
    world.install()
    world.install()
    world.cmake("--version")
    assert world.calls() == ["--version"]


def test_a_cmake_that_cmake_starts_is_left_alone(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.install()
    monkeypatch.setenv(until.NESTED, "1")
    assert world.cmake("--build", "build").returncode == 0
    assert world.calls() == ["--build build"]


def test_only_what_matches_is_made_with_its_time(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_JOBS", "2")
    world.install("permute_cols.cu")
    assert world.cmake("--build", "build").returncode == until.EXIT_STOPPED
    path = "CMakeFiles/_C.dir/csrc/permute_cols.cu.o"
    assert world.calls()[-1] == f"ninja -C build -j 2 {path}"
    assert world.report()["objects"] == [{"object": path, "seconds": 1.25}]


def test_an_object_that_cannot_be_made_fails_the_build(world: World) -> None:
    world.write(dry=0, made=1)
    world.install("*.cu")
    assert world.cmake("--build", "build").returncode == 1
    assert world.report()["exit_status"] == 1


def test_a_glob_that_matches_nothing_says_what_there_is(world: World) -> None:
    world.install("permute_cols.cu", "no_such.cu")
    done = world.cmake("--build", "build")
    assert done.returncode == until.EXIT_BROKEN
    assert "no object matches 'no_such.cu'; there are 3, as CMakeFiles" in done.stderr
    assert not (world.out / "steps.json").exists()


def test_makefiles_cannot_be_counted(world: World) -> None:
    world.write(dry=0, made=0, generator="Unix Makefiles")
    world.install()
    done = world.cmake("--build", "build")
    assert done.returncode == until.EXIT_BROKEN
    assert "farm: error: until: " in done.stderr
    assert "'Unix Makefiles'; add ninja to requires" in done.stderr


def test_a_dry_run_that_fails_is_told(world: World) -> None:
    world.write(dry=1, made=0)
    world.install()
    done = world.cmake("--build", "build")
    assert done.returncode == until.EXIT_BROKEN
    assert "ninja cannot say what it would do" in done.stderr


def test_an_environment_without_cmake_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert until.main(["install", "--out", str(tmp_path)]) == until.EXIT_BROKEN
    assert "has no cmake" in capsys.readouterr().err


def test_the_cmake_of_the_python_package_is_wrapped_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "cmake/data/bin/cmake"
    program.parent.mkdir(parents=True)
    (tmp_path / "cmake/__init__.py").touch()
    program.touch()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setenv("PATH", "")
    assert until.programs() == [program]


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        ("*", 3),
        ("permute_cols.cu", 1),
        ("permute_cols.cu.o", 1),
        ("csrc/*", 3),
        ("attention/*.cu", 1),
        ("CMakeFiles/_C.dir/csrc/attention/merge.cu", 1),
        ("cols.cu", 0),
        ("Permute_cols.cu", 0),
    ],
)
def test_a_glob_fits_the_end_of_a_path_at_its_parts(glob: str, found: int) -> None:
    assert len([path for path in until.objects(STEPS) if until.matches(path, glob)]) == found


def test_no_log_of_ninja_gives_no_times(tmp_path: Path) -> None:
    assert until.seconds(tmp_path, ["a.o"]) == {}


def names(steps: Iterable[str]) -> set[str]:
    return set(until.kinds(steps))


def test_languages_are_told_apart() -> None:
    steps = ["Building HIP object a.o", "Building C object b.o", "Linking HIP shared module m.so"]
    assert names(steps) == {"compile HIP", "compile C", "link"}
    assert names(["Linking things", "Building CXX"]) == {"other"}
