"""``farm lock`` and bases: which are locked, and what is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode
from farm.resolve import bases
from tests.support.debian import debs
from tests.support.projects import DEMO, project_at

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Farm


@pytest.fixture(autouse=True)
def _mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bases, "current", lambda base, *_: debs("libc6", *base.packages))


def test_all_sets_of_the_projects_recipes_are_locked_and_then_stand(
    farm: Farm, world: Path
) -> None:
    two = f"{DEMO}  gpu: {{toolchain: gpu, archs: [gfx942]}}\n"
    project_at(world, {"recipes/demo.yaml": two})
    done = farm("lock", "--bases")
    assert (done.code, done.out) == (0, "wrote recipes/bases/floor.lock\n")
    text = (world / "recipes/bases/floor.lock").read_text()
    assert text.count("\nset ") == 2
    assert farm("lock", "--bases", "floor").code == 0
    assert (world / "recipes/bases/floor.lock").read_text() == text


def test_a_base_that_nothing_uses_is_told_with_the_nearest(farm: Farm, world: Path) -> None:
    project_at(world)
    done = farm("lock", "--bases", "flor")
    assert done.code == ExitCode.USAGE
    assert "no recipe of the project uses a base 'flor'" in done.err
    assert "floor" in done.err
