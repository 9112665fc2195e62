"""The container tools: made anew when they are old, swept when nobody needs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from farm.debian import apt, toolbox
from farm.errors import EngineError, FetchError
from farm.events import Event, Notice

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def tools_of(cache: Path, days: int) -> Path:
    """A toolbox that was made some days ago."""
    made = datetime.now(UTC) - timedelta(days=days)
    root = cache / "engine" / f"toolbox-{toolbox.toolbox_key()}.{made:%Y-%m-%d}"
    root.mkdir(parents=True)
    return root


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is made anew; nothing is fetched for it."""
    made: list[Path] = []

    def tree(root: Path, *_: object, **__: object) -> None:
        root.mkdir(parents=True)
        made.append(root)

    monkeypatch.setattr(apt, "tree", tree)
    monkeypatch.setattr(toolbox, "require_host", lambda: None)
    return made


@pytest.mark.parametrize(("days", "again"), [(0, False), (29, False), (31, True)])
def test_tools_are_renewed_when_they_are_older_than_a_month(
    tmp_path: Path, sink: Callable[[Event], None], fetched: list[Path], days: int, *, again: bool
) -> None:
    old = tools_of(tmp_path, days)
    tools = toolbox.prepare(tmp_path, sink)
    assert bool(fetched) == again
    assert (tools.root == old) != again
    assert old.is_dir()  # an engine may run from it
    assert toolbox.existing(tmp_path) == tools


def test_old_tools_do_where_the_network_gives_no_new_ones(
    tmp_path: Path,
    sink: Callable[[Event], None],
    events: list[Event],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FetchError("no network")

    monkeypatch.setattr(apt, "tree", fail)
    monkeypatch.setattr(toolbox, "require_host", lambda: None)
    with pytest.raises(FetchError):
        toolbox.prepare(tmp_path, sink)
    old = tools_of(tmp_path, 40)
    assert toolbox.prepare(tmp_path, sink).root == old
    (notice,) = events
    assert isinstance(notice, Notice)
    assert "could not be renewed: no network" in notice.text


def test_offline_nothing_is_fetched(
    tmp_path: Path, sink: Callable[[Event], None], fetched: list[Path]
) -> None:
    with pytest.raises(EngineError, match="--offline"):
        toolbox.prepare(tmp_path, sink, offline=True)
    old = tools_of(tmp_path, 400)
    assert toolbox.prepare(tmp_path, sink, offline=True).root == old
    assert not fetched


def test_what_lies_beside_the_tools_is_swept_unless_it_is_used(tmp_path: Path) -> None:
    used, old, new = (tools_of(tmp_path, days) for days in (60, 50, 0))
    other = old.with_name("toolbox-0123456789ab.part")
    resumed = old.with_name(f"toolbox-{toolbox.toolbox_key()}.part")
    for folder in (other, resumed):
        folder.mkdir()
    tools = toolbox.existing(tmp_path)
    assert tools is not None
    assert tools.root == new
    with toolbox.held(toolbox.Toolbox(root=used, key=tools.key)):
        toolbox.sweep(tools)
    assert {path for path in new.parent.iterdir() if path.is_dir()} == {used, new, resumed}
    toolbox.sweep(tools)
    assert not used.exists()


def test_a_toolbox_without_its_c_library_is_called_damaged(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="damaged"):
        toolbox.Toolbox(root=tmp_path, key="k").on_host("usr/bin/docker")


def test_without_root_rights_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(EngineError) as caught:
        toolbox.require_host()
    assert "root" in caught.value.message
    assert "sudo" in caught.value.hint
