"""Bases from locks, for real: made without a network, and what happens when Debian moved on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.debian import bases, toolbox
from farm.errors import LockError
from farm.events import Event, Notice
from farm.model.debian import DebSet
from farm.model.unit import RootfsBase
from farm.source.debs import base_image
from tests.support.farming import base_at, job_at, quiet

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def locked(farm_cache: Path) -> RootfsBase:
    """A base as small as can be, with the packages that Debian has today."""
    base = RootfsBase(name="b", suite="trixie", packages=("patch",))
    found = bases.known(base, farm_cache) or bases.resolve(base, farm_cache, quiet)
    return replace(base, locked=found.packages)


def test_what_is_locked_is_made_offline_from_the_store_alone_with_the_same_bytes(
    farm_cache: Path, tmp_path: Path, locked: RootfsBase
) -> None:
    made = base_at(farm_cache, locked)
    tools = toolbox.prepare(farm_cache, quiet)
    (tmp_path / "engine").mkdir()
    (tmp_path / "engine" / tools.root.name).symlink_to(tools.root)
    (tmp_path / "store").symlink_to(farm_cache / "store")
    again = base_at(tmp_path, locked, offline=True, locked=True)
    assert again.origin == "lock"
    assert (again.tag, again.image_id) == (made.tag, made.image_id)
    assert again.archive.read_bytes() == made.archive.read_bytes()


def test_when_debian_moved_on_the_base_is_made_of_what_there_is_unless_refused(
    farm_cache: Path, locked: RootfsBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_DEBIAN_SNAPSHOT", "http://127.0.0.1:9/@PATH@/@SNAPSHOTID@")
    assert locked.locked is not None
    first, *rest = locked.locked.debs
    old = replace(first, version="0", sha256="0" * 64, path=f"{first.path}.gone.deb")
    outdated = replace(locked, locked=DebSet.of((old, *rest), locked.locked.date))
    events: list[Event] = []
    job = job_at(farm_cache, events.append)
    with pytest.raises(LockError, match="can no longer be had"):
        base_image(outdated, job, farm_cache, locked=True)
    made = base_image(outdated, job, farm_cache)
    assert made.origin == "drift"
    assert made.tag == base_at(farm_cache, locked).tag
    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert made.tag in notice.text
    assert base_at(farm_cache, outdated, offline=True).origin == "drift"
