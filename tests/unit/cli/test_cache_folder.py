"""Verbs that put something into the cache folder mark it, or say that they cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.cli.app import application
from farm.errors import ExitCode, PatchError, StorageError
from farm.host.in_use import alone
from farm.load.folders import is_marked
from tests.support.uses import is_used

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Farm

RECIPE = """\
package: nothing
versions:
  "1.0":
    source: {tree: nothing}
variants:
  pure: {toolchain: none}
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    source = tmp_path / "project" / "recipes" / "sources" / "nothing"
    source.mkdir(parents=True)
    (source / "pyproject.toml").write_text("[build-system]\nrequires = []\n", encoding="utf-8")
    (tmp_path / "project/recipes/nothing.yaml").write_text(RECIPE, encoding="utf-8")
    return tmp_path / "project"


def test_a_cache_that_only_render_has_used_can_be_cleaned(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    monkeypatch.setenv("FARM_CACHE_DIR", str(cache))
    arguments = ["-C", str(project), "render", "nothing:pure", "--output", str(tmp_path / "out")]
    application()(arguments, standalone_mode=False)
    assert (tmp_path / "out/Dockerfile").is_file()
    assert is_marked(cache)
    application()(["clean", "--all"], standalone_mode=False)
    assert not (cache / "store").exists()


@pytest.mark.parametrize(
    "words", [["render", "nothing:pure", "--output", "there"], ["lock", "nothing"]]
)
def test_a_cache_that_cannot_be_made_is_a_storage_error(
    words: list[str], project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FARM_CACHE_DIR", str(tmp_path / "file" / "cache"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(StorageError, match="cannot write"):
        application()(["-C", str(project), *words], standalone_mode=False)


@pytest.mark.parametrize(
    ("command", "work"),
    [
        (("fetch", "nothing:pure"), "farm.run.fetching.fetch"),
        (("lock", "nothing"), "farm.resolve.relock.relock"),
        (("patch", "check", "nothing"), "farm.patching.check.check"),
        (("patch", "new", "nothing:pure", "a-change"), "farm.source.stage.stage"),
        (("render", "nothing:pure", "-o", "there"), "farm.run.by_hand.bring_inputs"),
    ],
)
def test_nobody_cleans_the_cache_while_a_verb_works_with_it(
    command: tuple[str, ...],
    work: str,
    project: Path,
    farm: Farm,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cache = project.parent / "cache"
    seen: list[bool] = []

    def look(*_: object, **__: object) -> None:
        seen.append(is_used(cache))
        with pytest.raises(StorageError), alone(cache, purpose="cleaned"):
            pass
        raise PatchError("seen enough")

    monkeypatch.setattr(work, look)
    assert farm("-C", str(project), *command).code == ExitCode.PATCH
    assert seen == [True]
    assert not is_used(cache)
