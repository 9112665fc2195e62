"""What a unit is built with, of other units."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import NeededUnitError
from farm.model.unit import UnitKey
from farm.run.identify import needed_wheels
from tests.support.projects import demo_unit

if TYPE_CHECKING:
    from pathlib import Path


def test_a_needed_unit_without_a_result_is_named_with_how_to_build_it(tmp_path: Path) -> None:
    unit = demo_unit(tmp_path)
    assert needed_wheels(unit, tmp_path / "out") == ()
    need = UnitKey(package="torch", version="2.11.0", variant="stub")
    with pytest.raises(NeededUnitError, match="whose result is not there") as caught:
        needed_wheels(replace(unit, needs=(need,)), tmp_path / "out")
    assert caught.value.hint == "build it first: farm build torch@2.11.0:stub"
