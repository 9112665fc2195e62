"""The farm as a Python package: everything but the engine, on the pair of test recipes."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm import api
from farm.errors import UsageError

PAIR = Path(__file__).parent.parent / "projects" / "pair"


def test_a_plan_holds_what_is_named_and_what_that_needs() -> None:
    made = api.plan(api.open_project(PAIR), "mdurl:pure")
    assert [unit.label for unit in made.units] == ["flit-core@3.12.0:pure", "mdurl@0.1.2:pure"]
    assert made.requested == {"mdurl@0.1.2:pure"}


def test_only_what_was_asked_for_is_rendered() -> None:
    project = api.open_project(PAIR)
    rendered = api.render(api.plan(project, "mdurl:pure"), project)
    assert list(rendered) == ["mdurl@0.1.2:pure"]
    assert "mdurl_" not in rendered["mdurl@0.1.2:pure"].split("FROM")[0]
    assert "/farm/sources/mdurl-0.1.2.tar.gz" in rendered["mdurl@0.1.2:pure"]


def test_what_does_not_exist_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recipes/ folder"):
        api.open_project(tmp_path)
    with pytest.raises(UsageError, match="no recipe 'mdurll'") as told:
        api.plan(api.open_project(PAIR), "mdurll")
    assert "perhaps you meant 'mdurl'" in told.value.hint
    with pytest.raises(UsageError, match="no recipe is named"):
        api.plan(api.open_project(PAIR))
