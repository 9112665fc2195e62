"""``farm init``, from nothing and beside what is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.errors import ExitCode
from farm.load.library import gather
from farm.load.project import find_project
from farm.plan.plan import Choice, make_plan
from farm.plan.resolve import lock_problem
from farm.plan.select import Selector

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.unit import Unit

    from .conftest import Farm, Index

ALL = {
    "recipes/markupsafe.yaml",
    "recipes/locks/markupsafe/3.0.3/cpu-py3.13.txt",
    "recipes/locks/markupsafe/3.0.3/cpu-py3.13.smoke-test.txt",
    "recipes/schema.json",
    "patches/markupsafe/3.0.3/.gitkeep",
    "Makefile",
    ".gitignore",
    "README.md",
}


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def planned(folder: Path, package: str) -> list[Unit]:
    library = gather(find_project(root=folder), [package])
    return list(make_plan(library, [Selector(package=package)], Choice()).units)


def test_the_example_needs_no_network_and_its_lock_fits(
    farm: Farm, world: Path, index: Index
) -> None:
    ended = farm("init")
    assert ended.code == 0
    assert files(world) == ALL
    (unit,) = planned(world, "markupsafe")
    assert lock_problem(unit) == ""
    assert unit.lock is not None
    assert [pin.name for pin in unit.lock.pins] == ["setuptools"]
    assert unit.expected.extensions == ("markupsafe/_speedups.*.so",)


def test_it_says_what_to_do_next(farm: Farm) -> None:
    said = farm("init", "new place").out
    assert "new place'" in said  # quoted: the line is there to be copied
    assert "farm build markupsafe" in said


def test_workflow_files_name_the_recipes_and_are_kept_once_they_are_there(
    farm: Farm, world: Path
) -> None:
    assert farm("init").code == 0
    (world / "recipes/abc.yaml").write_text((world / "recipes/markupsafe.yaml").read_text())
    assert farm("init", "--ci", "github").code == 0
    assert farm("init", "--ci", "gitlab").code == 0
    added = {".github/workflows/wheels.yml", ".gitlab-ci.yml", ".gitlab/farm.yml"}
    assert files(world) == ALL | added | {"recipes/abc.yaml"}
    for name in (".github/workflows/wheels.yml", ".gitlab-ci.yml"):
        assert "  SELECTORS: abc markupsafe # what to build" in (world / name).read_text()
    (world / ".gitlab-ci.yml").write_text("mine\n")
    assert ".gitlab-ci.yml" in farm("init", "--ci", "gitlab").out
    assert (world / ".gitlab-ci.yml").read_text() == "mine\n"
    assert farm("init", "--ci", "jenkins").code == ExitCode.USAGE


def test_a_second_init_changes_nothing(farm: Farm, world: Path) -> None:
    farm("init")
    before = {name: (world / name).read_bytes() for name in ALL}
    ended = farm("init")
    assert ended.code == 0
    assert "kept as they were: recipes/schema.json, Makefile" in ended.out
    assert {name: (world / name).read_bytes() for name in files(world)} == before


def test_no_file_of_the_user_is_overwritten_not_even_through_a_link(
    farm: Farm, world: Path
) -> None:
    (world / "Makefile").write_text("mine\n")
    (world / ".gitignore").write_text("*.o\n")
    (world / "README.md").symlink_to(world / "nowhere")
    ended = farm("init")
    assert ended.code == 0
    assert (world / "Makefile").read_text() == "mine\n"
    assert not (world / "nowhere").exists()
    assert "kept as they were: Makefile, .gitignore, README.md" in ended.out
    assert "let .gitignore name /out/" in ended.out


def test_a_project_with_recipes_gets_no_example(farm: Farm, world: Path) -> None:
    (world / "recipes").mkdir()
    (world / "recipes/own.yaml").write_text("package: own\n")
    assert farm("init").code == 0
    assert not (world / "recipes/markupsafe.yaml").exists()
    assert "RECIPE ?= own" in (world / "Makefile").read_text()


def test_a_package_of_the_index_gets_recipe_hash_and_lock(
    farm: Farm, world: Path, index: Index
) -> None:
    index.add_sdist("some-thing", "1.9")
    wanted = index.add_sdist("some-thing", "1.10")
    index.add_sdist("some-thing", "2.0rc1")
    index.add_sdist("some-thing", "1.11", yanked=True)
    ended = farm("init", "--package", "Some_Thing")
    assert ended.code == 0, ended.err
    (unit,) = planned(world, "some-thing")
    assert unit.label == "some-thing@1.10:cpu"
    assert unit.source.digest == f"sha256:{wanted}"
    assert lock_problem(unit) == ""
    assert (world / "patches/some-thing/1.10/.gitkeep").exists()


def test_a_prerelease_is_taken_where_there_is_nothing_else(
    farm: Farm, world: Path, index: Index
) -> None:
    index.add_sdist("young", "0.1a2")
    assert farm("init", "--package", "young").code == 0
    assert '"0.1a2":' in (world / "recipes/young.yaml").read_text()


def test_an_unknown_package_leaves_nothing_behind(farm: Farm, world: Path, index: Index) -> None:
    ended = farm("init", "--package", "nothing-of-the-kind")
    assert ended.code == ExitCode.FETCH
    assert "nothing-of-the-kind" in ended.err
    assert files(world) == set()


def test_what_is_no_name_never_becomes_a_path(farm: Farm, world: Path, index: Index) -> None:
    for name in ("../evil", "a b", "$(id)", "x" * 5000, ""):
        ended = farm("init", "--package", name)
        assert ended.code == ExitCode.USAGE
    assert files(world) == set()


def test_a_package_that_has_a_recipe_is_refused_with_the_line_to_add(
    farm: Farm, world: Path, index: Index
) -> None:
    sha256 = index.add_sdist("thing", "2.0")
    (world / "recipes").mkdir()
    (world / "recipes/thing.yaml").write_text("mine\n")
    ended = farm("init", "--package", "thing")
    assert ended.code == ExitCode.USAGE
    assert sha256 in ended.err.replace("\n", "").replace(" ", "")
    assert (world / "recipes/thing.yaml").read_text() == "mine\n"


def test_requirements_that_cannot_be_locked_leave_a_recipe_to_correct(
    farm: Farm, world: Path, index: Index
) -> None:
    index.add_sdist("hard", "1.0", requires=("not-to-be-had>=3",))
    ended = farm("init", "--package", "hard")
    assert ended.code == ExitCode.LOCK
    assert "not-to-be-had" in ended.err
    assert "farm lock hard" in " ".join(ended.err.split())
    assert (world / "recipes/hard.yaml").exists()


def test_a_folder_that_cannot_be_one_is_a_clear_error(farm: Farm, world: Path) -> None:
    (world / "file").write_text("")
    ended = farm("init", "file")
    assert ended.code == ExitCode.STORAGE
    assert str(world / "file") in ended.err.replace("\n", "")


def test_the_folder_may_lie_deep_and_be_named_by_root(farm: Farm, world: Path) -> None:
    assert farm("--root", "a/b", "init").code == 0
    assert files(world / "a/b") == ALL
    assert [path.name for path in world.iterdir()] == ["a"]
