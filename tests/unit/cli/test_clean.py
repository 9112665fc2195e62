"""``farm clean``: it removes what is asked for, and never anything else."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode
from farm.host.files import freed_bytes
from farm.host.in_use import in_use
from farm.load.folders import mark_cache
from farm.run.runs import new_run
from farm.store.blobs import Store
from farm.store.record import Record, write_record
from farm.upkeep.cleaning import keep_within_limit

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Farm

IN_CACHE = ("bases", "engine", "store", "tmp")


def everything_below(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    mark_cache(folder)
    for name in IN_CACHE:
        (folder / name).mkdir()
        (folder / name / "file").write_bytes(b"x" * 100_000)
    return folder


@pytest.fixture
def out(world: Path) -> Path:
    """A project's results: two variants, three runs, and a file that is not farm's."""
    (world / "recipes").mkdir()
    out = world / "out"
    for variant in ("cpu", "cuda"):
        folder = out / "thing-1.0" / variant
        folder.mkdir(parents=True)
        (folder / "thing-1.0-py3-none-any.whl").write_bytes(b"w" * 5000)
        write_record(folder, record(variant))
    (out / "mine").mkdir()
    (out / "mine/notes.txt").write_text("keep")
    for _ in range(3):
        with new_run(out) as run:
            (run.folder / "build.log").write_text("log\n" * 1000)
    return out


def record(variant: str) -> Record:
    return Record(
        unit=f"thing@1.0:{variant}",
        package="thing",
        version="1.0",
        variant=variant,
        python="3.13",
        accelerator="cpu",
        archs=(),
        features=(),
        toolchain="cpu",
        host_compiler="gcc-14",
        identity="0" * 64,
        outcome="built",
        exit_code=0,
        message="",
        run="run",
        farm="0",
        started_s=0.0,
        seconds=1.0,
        engine="private",
        base={},
        max_jobs=1,
        jobs="",
        attempt=1,
        env={},
        inputs=(),
        needs=(),
        wheels=(),
        steps=(),
        compile={},
    )


def test_without_a_flag_it_only_tells(farm: Farm, cache: Path, out: Path) -> None:
    before = everything_below(cache) | everything_below(out)
    ended = farm("clean")
    assert ended.code == 0
    for option in ("--runs", "--results", "--store", "--bases", "--engine", "--images", "--all"):
        assert option in ended.out
    assert everything_below(cache) | everything_below(out) == before


def test_sizes_are_told_as_json(farm: Farm, cache: Path, out: Path) -> None:
    told = farm("clean", "--json").json
    items = {item["target"]: item for item in told["items"]}
    assert told["removed"] is False
    assert items["store"]["frees_bytes"] >= 100_000
    assert items["runs"]["paths"] == sorted(items["runs"]["paths"], reverse=True)
    assert len(items["runs"]["paths"]) == 2


@pytest.mark.parametrize("name", ["bases", "engine", "store"])
def test_a_flag_removes_its_own_and_nothing_else(
    farm: Farm, cache: Path, out: Path, name: str
) -> None:
    results = everything_below(out)
    assert farm("clean", f"--{name}").code == 0
    left = {path.name for path in cache.iterdir() if path.is_dir()}
    assert left == set(IN_CACHE) - {name}
    assert everything_below(out) == results


def test_a_dry_run_removes_nothing(farm: Farm, cache: Path, out: Path) -> None:
    before = everything_below(cache) | everything_below(out)
    ended = farm("clean", "--all", "--runs", "--results", "--dry-run")
    assert ended.code == 0
    assert f"would remove {cache / 'store'}" in ended.out
    assert everything_below(cache) | everything_below(out) == before


def test_old_runs_go_and_the_last_stays(farm: Farm, out: Path) -> None:
    runs = out / ".farm/runs"
    last = max(path.name for path in runs.iterdir() if not path.is_symlink())
    assert farm("clean", "--runs").code == 0
    assert {path.name for path in runs.iterdir()} == {last, "latest"}


def test_results_go_only_when_meant_and_strangers_stay(farm: Farm, out: Path) -> None:
    assert farm("clean", "--results").code == ExitCode.USAGE
    assert (out / "thing-1.0/cpu/record.json").exists()
    assert farm("clean", "--results", "--yes").code == 0
    assert not (out / "thing-1.0").exists()
    assert (out / "mine/notes.txt").exists()


def test_a_folder_beside_a_result_is_kept(farm: Farm, out: Path) -> None:
    (out / "thing-1.0/notes").mkdir()
    assert farm("clean", "--results", "--yes").code == 0
    assert [path.name for path in (out / "thing-1.0").iterdir()] == ["notes"]


def test_all_leaves_no_cache_folder_and_keeps_results(farm: Farm, cache: Path, out: Path) -> None:
    assert farm("clean", "--all").code == 0
    assert not cache.exists()
    assert (out / "thing-1.0/cpu/record.json").exists()
    ended = farm("clean", "--all")
    assert (ended.code, ended.out) == (0, "nothing to remove\n")


def test_a_strangers_file_in_the_cache_folder_survives_all(farm: Farm, cache: Path) -> None:
    (cache / "thesis.tex").write_text("years of work")
    assert farm("clean", "--all").code == 0
    assert (cache / "thesis.tex").read_text() == "years of work"
    assert not (cache / "store").exists()


def test_a_folder_without_the_tag_is_not_touched(farm: Farm, cache: Path) -> None:
    (cache / "CACHEDIR.TAG").unlink()
    before = everything_below(cache)
    ended = farm("clean", "--all")
    assert ended.code == ExitCode.STORAGE
    assert "CACHEDIR.TAG" in ended.err
    assert "FARM_CACHE_DIR" in ended.err
    assert everything_below(cache) == before


def test_a_folder_with_strangers_files_is_never_marked(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").write_text("")
    mark_cache(home)
    assert everything_below(home) == {"thesis.tex"}


def test_a_linked_folder_is_not_followed(farm: Farm, cache: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    (cache / "store").rename(elsewhere)
    (cache / "store").symlink_to(elsewhere)
    ended = farm("clean", "--store")
    assert ended.code == ExitCode.STORAGE
    assert "link" in ended.err
    assert (elsewhere / "file").exists()


def test_a_link_within_a_folder_goes_and_its_target_stays(
    farm: Farm, cache: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "file").write_text("")
    (cache / "store/link").symlink_to(elsewhere)
    assert farm("clean", "--store").code == 0
    assert (elsewhere / "file").exists()


def test_linked_results_are_not_followed(farm: Farm, out: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    out.rename(elsewhere)
    out.symlink_to(elsewhere)
    before = everything_below(elsewhere)
    ended = farm("clean", "--results", "--runs", "--yes")
    assert ended.code == ExitCode.STORAGE
    assert "--output-dir" in ended.err
    assert everything_below(elsewhere) == before


def test_runs_behind_a_link_out_of_the_project_are_not_removed(
    farm: Farm, out: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    (out / ".farm/runs").rename(elsewhere)
    (out / ".farm/runs").symlink_to(elsewhere)
    before = everything_below(elsewhere)
    assert farm("clean", "--runs").code == ExitCode.STORAGE
    assert everything_below(elsewhere) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount")
def test_what_is_mounted_below_is_not_removed(farm: Farm, cache: Path) -> None:
    mount = cache / "store/mount point"
    mount.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", mount], check=False).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        (mount / "file").write_text("")
        ended = farm("clean", "--store")
        assert ended.code == ExitCode.STORAGE
        assert "umount" in ended.err
        assert (mount / "file").exists()
        assert (cache / "store/file").exists()
    finally:
        subprocess.run(["umount", mount], check=True)


@pytest.mark.parametrize("option", ["--store", "--engine", "--all"])
def test_it_refuses_while_another_farm_builds(farm: Farm, cache: Path, option: str) -> None:
    before = everything_below(cache) | {".in-use"}
    with in_use(cache):
        ended = farm("clean", option)
    assert ended.code == ExitCode.STORAGE
    assert "another farm is at work" in ended.err
    assert everything_below(cache) == before


def test_runs_of_a_build_that_goes_on_stay(farm: Farm, out: Path) -> None:
    with in_use(out / ".farm"):
        assert farm("clean", "--runs").code == ExitCode.STORAGE
    assert farm("clean", "--runs").code == 0


def test_outside_of_a_project_the_cache_can_be_cleaned(
    farm: Farm, cache: Path, world: Path
) -> None:
    assert not (world / "recipes").exists()
    assert farm("clean", "--store").code == 0
    assert not (cache / "store").exists()


def test_a_file_with_a_further_name_elsewhere_frees_nothing(tmp_path: Path) -> None:
    for name in ("store", "context"):
        (tmp_path / name).mkdir()
    (tmp_path / "store/file").write_bytes(b"x" * 100_000)
    os.link(tmp_path / "store/file", tmp_path / "context/file")
    assert freed_bytes([tmp_path / "store"]) == 0
    assert freed_bytes([tmp_path / "store", tmp_path / "context"]) >= 100_000


@pytest.fixture
def used(cache: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Four things of 100 kB in a cache folder that may take 2 × 300 kB, by when they were used."""
    monkeypatch.setenv("FARM_CACHE_LIMIT", "600 KiB")
    things = {
        "source": cache / "store/sha256/ab/abcd",
        "result": cache / "kept/thing-1.0/cpu/0123",
        "base": cache / "bases/0123",
        "other": cache / "store/sha256/cd/cdef",
    }
    for number, (name, path) in enumerate(things.items()):
        file = path if "store" in path.parts else path / "image.tar"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"x" * 100_000)
        if path.is_dir():
            (path / ("record.json" if name == "result" else "base.json")).write_text("{}")
        os.utime(path, (1e9 + number, 1e9 + number))
    return things


def left(things: dict[str, Path]) -> set[str]:
    return {name for name, path in things.items() if path.exists()}


def test_beyond_the_limit_what_was_used_longest_ago_goes(
    farm: Farm, cache: Path, used: dict[str, Path]
) -> None:
    ended = farm("clean", "--oldest", "--dry-run")
    assert f"would remove {used['source']}" in ended.out
    assert left(used) == {"source", "result", "base", "other"}
    assert farm("clean", "--oldest").code == 0
    assert left(used) == {"base", "other"}
    assert (cache / "engine/file").exists()
    assert farm("clean", "--oldest").out == "nothing to remove\n"


def test_a_source_that_is_used_outlives_what_is_not(
    farm: Farm, cache: Path, used: dict[str, Path]
) -> None:
    content = b"used"
    store = Store(cache / "store")
    used["mine"] = store.path_of(store.add_stream([content]))
    os.utime(used["mine"], ns=(1, used["mine"].stat().st_mtime_ns))
    assert store.get(used["mine"].name) == used["mine"]
    assert farm("clean", "--oldest").code == 0
    assert "mine" in left(used)


def test_nothing_is_let_go_while_another_farm_is_at_work(
    cache: Path, used: dict[str, Path]
) -> None:
    with in_use(cache):
        assert keep_within_limit(cache) == 0
    assert left(used) == {"source", "result", "base", "other"}
    assert keep_within_limit(cache) >= 200_000
    assert left(used) == {"base", "other"}


def test_what_lies_elsewhere_through_a_link_is_not_let_go(
    cache: Path, used: dict[str, Path], tmp_path: Path
) -> None:
    (cache / "store").rename(tmp_path / "shared")
    (cache / "store").symlink_to(tmp_path / "shared")
    assert keep_within_limit(cache) == 0
    assert (tmp_path / "shared/sha256/ab/abcd").exists()


@pytest.mark.parametrize("words", [("clean",), ("clean", "--oldest")])
def test_a_limit_that_is_none_is_refused(
    farm: Farm, cache: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    monkeypatch.setenv("FARM_CACHE_LIMIT", "lots")
    ended = farm(*words)
    assert ended.code == ExitCode.USAGE
    assert "FARM_CACHE_LIMIT: 'lots'" in ended.err
