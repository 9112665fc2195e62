"""Writing locks of bases: which sets, and what becomes of those that are there."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.load.baselocks import format_base_lock, parse_base_lock
from farm.model.unit import RootfsBase
from farm.resolve import bases
from tests.support.debian import debs
from tests.support.projects import project_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.events import Event

BASE = RootfsBase(name="floor", suite="trixie", packages=("gcc",))
OTHER = replace(BASE, packages=("make",))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[RootfsBase]:
    """Bases that the mirror was asked for; it has gcc, make and libc6."""
    found: list[RootfsBase] = []

    def current(base: RootfsBase, *_: object) -> object:
        found.append(base)
        return replace(debs("libc6", *base.packages), date=f"2026010{len(found)}T000000Z")

    monkeypatch.setattr(bases, "current", current)
    return found


def test_what_is_in_no_lock_is_added_and_the_rest_stays(
    tmp_path: Path, sink: Callable[[Event], None], asked: list[RootfsBase]
) -> None:
    project = project_at(tmp_path / "p")
    locked = replace(BASE, locked=debs("gcc"))
    assert list(bases.lock_bases([locked], project, tmp_path, sink, renew=False)) == []
    (path,) = bases.lock_bases([OTHER, locked], project, tmp_path, sink, renew=False)
    assert path == project.root / "recipes/bases/floor.lock"
    assert asked == [OTHER]
    third = replace(BASE, packages=("libc6",))
    list(bases.lock_bases([third, OTHER], project, tmp_path, sink, renew=False))
    assert asked == [OTHER, third]
    assert set(parse_base_lock(path.read_text(), "x")) == {OTHER.key, third.key}


def test_renewing_asks_for_all_drops_what_nobody_uses_and_keeps_other_machines(
    tmp_path: Path, sink: Callable[[Event], None], asked: list[RootfsBase]
) -> None:
    project = project_at(tmp_path / "p")
    path = project.root / "recipes/bases/floor.lock"
    (tmp_path / "p/recipes/bases").mkdir(exist_ok=True)
    list(bases.lock_bases([BASE], project, tmp_path, sink, renew=True))
    foreign = {"0" * 24: ("pdp11 trixie: gcc", debs("gcc"))}
    path.write_text(format_base_lock(parse_base_lock(path.read_text(), "x") | foreign))
    before = path.read_text()
    list(bases.lock_bases([BASE], project, tmp_path, sink, renew=True))
    assert path.read_text() == before  # what is as it was keeps its date
    list(bases.lock_bases([OTHER], project, tmp_path, sink, renew=True))
    assert set(parse_base_lock(path.read_text(), "x")) == {OTHER.key, "0" * 24}
    assert asked == [BASE, BASE, OTHER]
