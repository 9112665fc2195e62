"""Where to look for the cause of a failure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import BuildError, PatchError, Place
from farm.load.project import find_project
from farm.run.places import place_of
from tests.support.projects import DEMO, PATCH, planned, project_at

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = DEMO.replace("{toolchain: plain}", "{toolchain: plain, patches: [a.patch]}")
FILES = {
    "recipes/demo.yaml": RECIPE,
    "patches/demo/1.0.0/a.patch": PATCH + "@@ -9 +9 @@\n-c\n+d\n",
}


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("patch a.patch: hunk 1 does not fit setup.py at line 1", 6),
        ("patch a.patch: hunk 2 does not fit setup.py at line 9", 9),
        ("patch a.patch: hunk 3 does not fit setup.py at line 9", 1),
        ("patch a.patch: is already applied, or reversed (setup.py)", 1),
    ],
)
def test_a_patch_that_does_not_fit_is_looked_at_where_its_hunk_begins(
    tmp_path: Path, message: str, line: int
) -> None:
    project = project_at(tmp_path, FILES)
    (unit,) = planned(project).units
    file = tmp_path / "patches/demo/1.0.0/a.patch"
    assert place_of(unit, PatchError(message), project) == Place(file=str(file), line=line)


def test_any_other_failure_is_looked_at_in_the_variant_of_the_recipe(tmp_path: Path) -> None:
    project = project_at(tmp_path, FILES)
    (unit,) = planned(project).units
    place = Place(file=str(tmp_path / "recipes/demo.yaml"), line=6, column=3)
    for error in (BuildError("x.c:1: error: no"), PatchError("edit setup.py: matches nothing")):
        assert place_of(unit, error, project) == place


def test_a_recipe_that_has_gone_or_cannot_be_read_is_nowhere(tmp_path: Path) -> None:
    project = project_at(tmp_path, FILES)
    (unit,) = planned(project).units
    (tmp_path / "recipes/demo.yaml").write_text("a: [")
    assert place_of(unit, BuildError("x"), find_project(root=tmp_path)) is None
    (tmp_path / "recipes/demo.yaml").unlink()
    assert place_of(unit, BuildError("x"), find_project(root=tmp_path)) is None
