"""Finding the project, its own files before shipped ones, and the cache folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode, UsageError
from farm.load.folders import TAG, cache_folder, is_marked, mark_cache
from farm.load.project import Project, find_project, shipped_root
from tests.support.projects import write_files

if TYPE_CHECKING:
    from pathlib import Path


def test_the_nearest_folder_upward_that_holds_recipes_is_the_project(tmp_path: Path) -> None:
    deep = tmp_path / "project/a/b"
    deep.mkdir(parents=True)
    (tmp_path / "project/recipes").mkdir()
    found = find_project(deep)
    assert found.root == tmp_path / "project"
    assert found.roots == (found.root, shipped_root())
    assert found.out == found.root / "out"


def test_a_folder_that_is_named_is_not_looked_for_upward(tmp_path: Path) -> None:
    (tmp_path / "recipes").mkdir()
    (tmp_path / "below").mkdir()
    with pytest.raises(UsageError, match="no recipes/ folder in") as caught:
        find_project(root=tmp_path / "below")
    assert caught.value.code is ExitCode.USAGE
    assert "farm init" in caught.value.hint
    assert find_project(root=tmp_path).root == tmp_path


def test_no_project_anywhere_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="and its parents"):
        find_project(tmp_path)


def test_a_file_called_recipes_is_no_project(tmp_path: Path) -> None:
    (tmp_path / "recipes").write_text("")
    with pytest.raises(UsageError):
        find_project(root=tmp_path)


def test_what_is_shipped_is_searched_once_in_its_own_project() -> None:
    assert find_project(root=shipped_root()).roots == (shipped_root(),)


def test_own_files_win_and_names_come_once(tmp_path: Path) -> None:
    own, other = tmp_path / "own", tmp_path / "shipped"
    write_files(own, {"recipes/b.yaml": "own", "recipes/a.yaml": "", "recipes/x.txt": ""})
    write_files(other, {"recipes/b.yaml": "shipped", "recipes/c.yaml": ""})
    project = Project(root=own, roots=(own, other))
    assert project.names("recipes") == ("a", "b", "c")
    assert project.own_recipes() == ("a", "b")
    found = project.find("recipes", "b.yaml")
    assert found is not None
    assert found.read_text() == "own"
    assert project.find("recipes", "nix.yaml") is None
    assert project.display(found) == "recipes/b.yaml"
    assert project.display(other / "recipes/c.yaml") == str(other / "recipes/c.yaml")


def test_the_cache_is_where_the_variable_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_CACHE_DIR", str(tmp_path / "c"))
    assert cache_folder() == tmp_path / "c"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FARM_CACHE_DIR", "relative")
    assert cache_folder() == tmp_path / "relative"
    monkeypatch.setenv("FARM_CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg/farm"


def test_a_cache_is_marked_as_backups_and_cleaning_know_it(tmp_path: Path) -> None:
    cache = tmp_path / "a/b"
    assert not is_marked(cache)
    mark_cache(cache)
    mark_cache(cache)
    assert is_marked(cache)
    # https://bford.info/cachedir/: the first 43 bytes
    assert (cache / TAG).read_bytes()[:43] == b"Signature: 8a477f597d28d172789f06886806bc55"


@pytest.mark.parametrize("name", ["store", "bases", "tmp"])
def test_a_cache_from_before_the_mark_is_marked(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    mark_cache(tmp_path)
    assert is_marked(tmp_path)


def test_a_folder_with_somebody_elses_files_is_never_marked(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    mark_cache(tmp_path)
    assert not is_marked(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"Signature: other"])
def test_a_tag_of_others_is_no_mark(tmp_path: Path, content: bytes) -> None:
    (tmp_path / TAG).write_bytes(content)
    assert not is_marked(tmp_path)


def test_a_cache_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        mark_cache(tmp_path / "file" / "cache")
