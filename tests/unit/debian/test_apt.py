"""apt on folders of its own, on archives that the tests make: what it takes, exactly."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.debian import apt, archive
from farm.errors import EngineError, FetchError
from farm.events import Notice
from tests.support.debian import make_deb, repository

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.events import Event
    from farm.model.debian import FurtherSuites


def asked(folder: Path, *sources: archive.Source, pins: FurtherSuites = ()) -> apt.Apt:
    made = apt.Apt(folder / "apt", sources=sources, pins=pins)
    made.prepare()
    return made


def named(found: apt.Apt, *packages: str) -> list[tuple[str, str]]:
    return [(deb.name, deb.version) for deb in found.closure(packages).values()]


def test_a_closure_says_name_version_hash_size_and_place_of_each_package(
    tmp_path: Path, sink: Callable[[Event], None]
) -> None:
    library = make_deb(tmp_path, "libx", "1:2.0+b~1")
    tool = make_deb(tmp_path, "tool", "3", "Depends: libx", "Recommends: other")
    found = asked(tmp_path, repository(tmp_path / "debs", "stable", library, tool))
    found.update(sink)
    closure = found.closure(("tool",))
    assert named(found, "tool") == [("libx", "1:2.0+b~1"), ("tool", "3")]
    first = next(iter(closure.values()))
    assert first.path == "debian/pool/stable/libx_1%3a2.0+b~1_all.deb"
    assert first.size == library.stat().st_size
    with pytest.raises(EngineError, match="lacks what is needed") as caught:
        found.closure(("tool", "nothing-like-it"))
    assert "nothing-like-it" in " ".join(caught.value.details)


def test_packages_of_a_further_suite_come_from_there_with_what_they_need(
    tmp_path: Path, sink: Callable[[Event], None]
) -> None:
    old, new, other, newer = (
        make_deb(tmp_path / "a", "hipcc", "6", "Depends: libhip"),
        make_deb(tmp_path / "b", "hipcc", "7", "Depends: libhip (>= 7)"),
        make_deb(tmp_path / "a", "make", "4"),
        make_deb(tmp_path / "b", "make", "5"),
    )
    lib6, lib7 = make_deb(tmp_path / "a", "libhip", "6"), make_deb(tmp_path / "b", "libhip", "7")
    root = tmp_path / "debs"
    sources = (
        repository(root, "sid", old, lib6, other, state="unstable"),
        repository(root, "experimental", new, lib7, newer),
    )
    plain = asked(tmp_path, *sources)
    plain.update(sink)
    assert named(plain, "hipcc", "make") == [("libhip", "6"), ("hipcc", "6"), ("make", "4")]
    pinned = asked(tmp_path, *sources, pins=(("experimental", ("hipcc*", "libhip*")),))
    assert named(pinned, "hipcc", "make") == [("libhip", "7"), ("hipcc", "7"), ("make", "4")]


@pytest.mark.parametrize("left", ["10", "9"])
def test_a_tree_has_the_versions_of_now_whatever_an_earlier_fetch_left(
    tmp_path: Path, sink: Callable[[Event], None], monkeypatch: pytest.MonkeyPatch, left: str
) -> None:
    wanted = make_deb(tmp_path, "tool", "9.5")
    source = repository(tmp_path / "debs", "stable", wanted)
    monkeypatch.setattr(archive, "sources_of", lambda _: (source,))
    archives = tmp_path / "tree.part/archives"
    archives.mkdir(parents=True)
    stale = make_deb(tmp_path / "stale", "tool", left)
    stale.rename(archives / stale.name)
    taken: list[str] = []
    monkeypatch.setattr(apt, "unpack", _noting(taken))
    apt.tree(tmp_path / "tree", ["tool"], sink, suite="x", what="t", complete=lambda _: None)
    assert taken == ["tool_9.5_all.deb"]
    assert (tmp_path / "tree").is_dir()
    assert not (tmp_path / "tree.part").exists()


def _noting(taken: list[str]) -> Callable[..., None]:
    def unpack(archives: list[Path], root: Path, _sink: object, **_: object) -> None:
        root.mkdir(parents=True)
        taken.extend(path.name for path in archives)

    return unpack


def test_corrections_that_cannot_be_had_are_done_without_and_said(
    tmp_path: Path, sink: Callable[[Event], None], events: list[Event]
) -> None:
    main = repository(tmp_path / "debs", "stable", make_deb(tmp_path, "tool", "1"))
    away = replace(main, suite="stable-security", optional=True)
    found = asked(tmp_path, main, away)
    found.update(sink)
    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert "stable-security" in notice.text
    assert named(found, "tool") == [("tool", "1")]
    with pytest.raises(FetchError, match="index of Debian gone"):
        asked(tmp_path, replace(main, suite="gone"), away).update(sink)


def test_corrections_are_taken_where_they_are(
    tmp_path: Path, sink: Callable[[Event], None], events: list[Event]
) -> None:
    main = repository(tmp_path / "a", "stable", make_deb(tmp_path / "1", "tool", "1"))
    fixed = repository(tmp_path / "b", "stable-security", make_deb(tmp_path / "2", "tool", "1+u1"))
    found = asked(tmp_path, main, replace(fixed, archive="debian-security", optional=True))
    found.update(sink)
    (deb,) = found.closure(("tool",)).values()
    assert (deb.version, deb.path.partition("/")[0]) == ("1+u1", "debian-security")
    assert not [event for event in events if isinstance(event, Notice)]


def test_passwords_of_mirrors_are_in_no_file_that_others_may_read(tmp_path: Path) -> None:
    source = archive.Source(
        archive="debian", uri="https://u:s3cret@m.example/debian", suite="x", options="trusted=yes"
    )
    asked(tmp_path, source)
    holding = [
        p for p in (tmp_path / "apt").iterdir() if p.is_file() and "s3cret" in p.read_text()
    ]
    assert [path.name for path in holding] == ["sources.list"]
    assert all(path.stat().st_mode & 0o077 == 0 for path in holding)
