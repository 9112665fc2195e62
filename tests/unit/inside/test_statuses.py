"""An exit status means one thing, whichever program it comes from."""

from __future__ import annotations

import importlib
import pkgutil
import re

import farm.inside


def statuses() -> dict[str, dict[str, int]]:
    found = {}
    for module in pkgutil.iter_modules(farm.inside.__path__):
        names = vars(importlib.import_module(f"farm.inside.{module.name}")).items()
        found[module.name] = {name: value for name, value in names if name.startswith("EXIT_")}
    return found


def test_each_status_has_one_name_and_each_name_one_status() -> None:
    pairs = {pair for program in statuses().values() for pair in program.items()}
    assert len(pairs) > 10
    assert len({name for name, _ in pairs}) == len({status for _, status in pairs}) == len(pairs)


def test_the_statuses_that_are_told_are_those_that_there_are() -> None:
    listed = (farm.inside.__doc__ or "").split("Exit statuses", 1)[1]
    told = {int(text) for text in re.findall(r"\b(\d\d?) [a-z]", listed)}
    used = {status for program in statuses().values() for status in program.values()}
    assert told == used | {0, 2}  # argparse has 2 for wrong arguments
