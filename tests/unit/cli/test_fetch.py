"""``farm fetch``: everything into the store, and all that is lacking at once."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import ExitCode
from tests.support.crates import REGISTRY, crate_bytes
from tests.support.crates import sha256 as digest
from tests.support.projects import DEMO, project_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Ended, Farm, Index

LOST = "{git: file:///no/such/repository, commit: 0123456789012345678901234567890123456789}"


def recipe(source: str, staged: str = "") -> str:
    text = DEMO.replace("{tree: demo}", source).replace("plain", "fromimage")
    return text + (f"sources:\n  sub: {{source: {staged}}}\n" if staged else "")


def lock(farm: Farm) -> None:
    """Lock the requirements: there are none, but the farm has to know that."""
    done = farm("lock", "demo")
    assert done.code == 0, done.err


def rows(ended: Ended) -> dict[str, Any]:
    return {row["what"]: row for row in ended.json["inputs"]}


@pytest.fixture
def sdist(index: Index, world: Path, farm: Farm) -> str:
    """A project whose one package has an sdist on the index, locked."""
    sha256 = index.add_sdist("demo", "1.0.0")
    project_at(world, {"recipes/demo.yaml": recipe(f"{{sdist: {sha256}}}")})
    lock(farm)
    shutil.rmtree(world.parent / "cache")
    return sha256


def test_what_is_needed_comes_once(sdist: str, farm: Farm, index: Index) -> None:
    done = farm("fetch", "demo", "--json")
    assert done.code == 0, done.err
    row = rows(done)["sdist of demo 1.0.0"]
    assert (row["got"], row["pin"], row["units"]) == ("fetched", sdist, ["demo@1.0.0:cpu"])
    assert row["origin"] == index.url
    index.content.clear()
    again = farm("fetch", "demo", "--json")
    assert rows(again)["sdist of demo 1.0.0"]["got"] == "present"


def test_a_mirror_made_here_is_enough_elsewhere(
    sdist: str, farm: Farm, index: Index, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert farm("fetch", "demo", "--into", "mirror").code == 0
    assert [path.name for path in (world / "mirror/files").iterdir()] == ["demo-1.0.0.tar.gz"]
    index.content.clear()
    monkeypatch.setenv("FARM_CACHE_DIR", str(world.parent / "elsewhere"))
    lost = farm("fetch", "demo", "--offline")
    assert lost.code == ExitCode.FETCH
    assert "sdist of demo 1.0.0, for demo@1.0.0:cpu: " in lost.out
    monkeypatch.setenv("FARM_SOURCE_MIRROR", str(world / "mirror"))
    found = farm("fetch", "demo", "--offline", "--json")
    assert (found.code, rows(found)["sdist of demo 1.0.0"]["pin"]) == (0, sdist)


def test_a_mirror_with_something_else_is_refused(sdist: str, farm: Farm, world: Path) -> None:
    (world / "mirror/files").mkdir(parents=True)
    (world / "mirror/files/demo-1.0.0.tar.gz").write_bytes(b"something else")
    done = farm("fetch", "demo", "--source-mirror", "mirror")
    assert done.code == ExitCode.INTEGRITY
    assert sdist in done.out


def test_all_that_is_lacking_is_told_at_once_with_where_it_should_come_from(
    index: Index, farm: Farm, world: Path
) -> None:
    sha256 = index.add_sdist("demo", "1.0.0")
    project_at(world, {
        "recipes/demo.yaml": recipe(f"{{sdist: {'0' * 64}}}", LOST),
        "recipes/other.yaml": recipe(f"{{sdist: {sha256}}}").replace("demo", "other"),
    })  # fmt: skip
    done = farm("fetch", "demo", "other", "--json")
    assert done.code == ExitCode.FETCH
    failed = {row["what"]: row for row in done.json["inputs"] if row["got"] == "failed"}
    assert set(failed) == {
        "sdist of demo 1.0.0", "git 012345678901", "sdist of other 1.0.0", "build requirements",
    }  # fmt: skip
    assert failed["git 012345678901"]["origin"] == "file:///no/such/repository"
    assert sha256 in failed["sdist of demo 1.0.0"]["reason"]
    assert "could not be had" in done.err


def test_a_reason_that_all_share_is_told_once(farm: Farm, world: Path, index: Index) -> None:
    sha256 = index.add_sdist("demo", "1.0.0")
    project_at(world, {"recipes/demo.yaml": recipe(f"{{sdist: {sha256}}}", LOST)})
    lock(farm)
    shutil.rmtree(world.parent / "cache")
    lost = farm("fetch", "demo", "--offline")
    assert lost.code == ExitCode.FETCH
    head, _, *table, why = lost.out.splitlines()
    assert head.split() == ["what", "pin", "from"]
    assert [line.split()[0] for line in table] == ["failed", "failed"]
    assert why == "2 failed: not in the store, and fetching is switched off"
    for text in ("sdist of demo 1.0.0", "012345678901", "file:///no/such/repository"):
        assert lost.out.count(text) == 1, text
    assert lost.err.splitlines() == [
        "error: 2 of the inputs could not be had",
        "hint: run it once without --offline, or name a folder that has it with --source-mirror",
    ]


def test_reasons_that_differ_name_what_they_are_about(
    farm: Farm, world: Path, index: Index
) -> None:
    index.add_sdist("demo", "1.0.0")
    staged = "{archive: 'file:///a.tgz', sha256: %s}" % ("1" * 64)
    project_at(world, {
        "recipes/demo.yaml": recipe(f"{{sdist: {'0' * 64}}}", staged),
        "recipes/other.yaml": recipe("{tree: demo}").replace("demo", "other", 1),
        "recipes/third.yaml": recipe("{tree: demo}").replace("demo", "third", 1),
    })  # fmt: skip
    done = farm("fetch", "demo", "other", "third")
    head = done.out.splitlines()[0]
    assert head.split() == ["what", "pin", "size", "for", "from"]
    assert "3 failed: not locked: its build requirements are not locked\n" in done.out
    assert done.out.count("\n  build requirements, for ") == 3
    assert "\nsdist of demo 1.0.0, for demo@1.0.0:cpu: demo 1.0.0: no file with" in done.out
    assert done.err.splitlines()[-1] == "hint: the rows above say why"


def test_what_is_not_locked_is_lacking(farm: Farm, world: Path) -> None:
    project_at(world, {"recipes/demo.yaml": recipe("{tree: demo}")})
    done = farm("fetch", "demo")
    assert done.code == ExitCode.LOCK
    assert "build requirements, for demo@1.0.0:cpu: not locked" in done.out


def test_a_repository_is_kept_for_elsewhere(farm: Farm, world: Path) -> None:
    folder = world / "them" / "sub"
    folder.mkdir(parents=True)
    identity = ("-c", "user.name=a", "-c", "user.email=a@b")
    for argv in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *argv], cwd=folder, check=True)
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()
    source = f"{{git: 'file://{folder}', commit: {head}}}"
    project_at(world, {"recipes/demo.yaml": recipe("{tree: demo}", source)})
    lock(farm)
    assert farm("fetch", "demo", "--into", "mirror").code == 0
    assert (world / "mirror/git/them/sub.git/HEAD").is_file()


def test_a_mirror_that_is_no_folder_is_a_usage_error(farm: Farm, world: Path) -> None:
    project_at(world)
    assert farm("fetch", "demo", "--source-mirror", "no").code == ExitCode.USAGE


def with_crates(world: Path) -> tuple[str, ...]:
    """A project whose source pins three crates, two of which a mirror has, one of them wrong."""
    names = ("one", "three", "two")
    contents = {name: crate_bytes(name, "1.0.0") for name in names}
    packages = "".join(
        f'[[package]]\nname = "{name}"\nversion = "1.0.0"\nsource = "{REGISTRY}"\n'
        f'checksum = "{digest(content)}"\n'
        for name, content in contents.items()
    )
    project_at(world, {
        "recipes/demo.yaml": recipe("{tree: demo}") + "crates: [Cargo.lock]\n",
        "recipes/sources/demo/Cargo.lock": f"version = 4\n{packages}",
    })  # fmt: skip
    files = world / "mirror/files"
    files.mkdir(parents=True)
    (files / "one-1.0.0.crate").write_bytes(contents["one"])
    (files / "two-1.0.0.crate").write_bytes(b"something else")
    return tuple(f"crate {name} 1.0.0" for name in names)


def test_crates_come_from_a_mirror_and_those_that_do_not_are_named(
    farm: Farm, world: Path
) -> None:
    one, three, two = with_crates(world)
    lock(farm)
    done = farm("fetch", "demo", "--offline", "--source-mirror", "mirror", "--json")
    assert done.code == ExitCode.FETCH
    found = {what: row["got"] for what, row in rows(done).items() if what.startswith("crate")}
    assert found == {one: "fetched", three: "failed", two: "failed"}
    assert "of the mirror has" in rows(done)[two]["reason"]
    assert rows(done)[one]["origin"] == "cargo's registry"


def test_what_one_cause_keeps_away_is_told_once(farm: Farm, world: Path) -> None:
    with_crates(world)
    lock(farm)
    done = farm("fetch", "demo", "--offline")
    assert done.code == ExitCode.FETCH
    (told,) = (line for line in done.out.splitlines() if "not in the store" in line)
    assert told == "3 failed: not in the store, and fetching is switched off"
