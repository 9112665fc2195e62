"""Bases: known by their packages before they are made, and what their failures mean."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.debian import bases, bootstrapping, toolbox
from farm.errors import BaseError, LockError, StorageError
from farm.events import Event, Notice
from farm.host.locks import holding
from farm.model.debian import ResolvedBase
from farm.model.unit import RootfsBase
from tests.support.debian import DATE, deb, debs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

BASE = RootfsBase(name="b", suite="trixie", packages=("gcc", "make"))
LOCKED = replace(BASE, locked=debs("gcc", "libc6", "make"))
RESOLVED = ResolvedBase(
    suite="trixie", packages=debs("gcc", "libc6", "make"), exclude_paths=(), origin="lock"
)


def test_a_definition_is_what_packages_follow_from_and_nothing_else() -> None:
    same = [
        replace(BASE, name="c"),
        replace(BASE, exclude_paths=("/usr/lib/big/*",)),
        LOCKED,
    ]
    assert {base.key for base in same} == {BASE.key}
    others = [
        replace(BASE, suite="sid"),
        replace(BASE, packages=("gcc",)),
        replace(BASE, components=("non-free",)),
        replace(BASE, further_suites=(("experimental", ("hipcc*",)),)),
        replace(BASE, further_suites=(("experimental", ("hip*",)),)),
    ]
    assert len({BASE.key, *(other.key for other in others)}) == 6


def test_an_image_is_called_by_all_that_decides_it() -> None:
    packages = RESOLVED.debs
    rebuilt = replace(packages[0], sha256="b" * 64)
    others = [
        replace(RESOLVED, suite="sid"),
        replace(RESOLVED, exclude_paths=("/usr/lib/big/*",)),
        replace(RESOLVED, packages=debs("gcc", "libc6")),
        replace(RESOLVED, packages=replace(RESOLVED.packages, digest="x")),
        replace(RESOLVED, packages=type(RESOLVED.packages).of((rebuilt, *packages[1:]), DATE)),
    ]
    assert len({RESOLVED.tag, *(other.tag for other in others)}) == 6
    reordered = type(RESOLVED.packages).of(tuple(reversed(packages)), "20270101T000000Z")
    assert replace(RESOLVED, packages=reordered, origin="drift").tag == RESOLVED.tag
    # On every machine and in every release of farm until FORMAT says otherwise.
    assert RESOLVED.tag == "farm-base:trixie-4766f2693d76"


def test_a_lock_says_what_a_base_is_before_anything_is_there(tmp_path: Path) -> None:
    found = bases.known(LOCKED, tmp_path / "nothing")
    assert found == RESOLVED
    assert bases.known(BASE, tmp_path / "nothing") is None


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """apt, without apt: what the mirror has now."""
    monkeypatch.setattr(bases, "current", lambda *_: debs("gcc", "libc6", "libc7", "make"))


@pytest.mark.usefixtures("mirror")
def test_without_a_lock_the_mirrors_answer_is_kept(
    tmp_path: Path, events: list[Event], sink: Callable[[Event], None]
) -> None:
    found = bases.resolve(BASE, tmp_path, sink)
    assert (found.origin, len(found.debs), events) == ("mirror", 4, [])
    assert bases.known(BASE, tmp_path) == found
    assert bases.known(LOCKED, tmp_path) == RESOLVED


@pytest.mark.usefixtures("mirror")
def test_drift_is_said_and_kept_to_for_a_day_or_until_the_lock_changes(
    tmp_path: Path,
    events: list[Event],
    sink: Callable[[Event], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = bases.resolve(LOCKED, tmp_path, sink)
    (notice,) = events
    assert isinstance(notice, Notice)
    assert "can no longer be had" in notice.text
    assert found.tag in notice.text
    assert found.origin == "drift"
    assert bases.known(LOCKED, tmp_path) == found
    assert bases.known(LOCKED, tmp_path, locked=True) == RESOLVED
    renewed = replace(LOCKED, locked=debs("gcc", "libc8", "make"))
    other = bases.known(renewed, tmp_path)
    assert other is not None
    assert other.origin == "lock"
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 25 * 3600)
    assert bases.known(LOCKED, tmp_path) == RESOLVED


@pytest.mark.usefixtures("mirror")
@pytest.mark.parametrize("text", ["", "{", "[]", '{"instead_of": null}', '{"debs": 1}'])
def test_a_damaged_memory_is_none(
    tmp_path: Path, sink: Callable[[Event], None], text: str
) -> None:
    bases.resolve(BASE, tmp_path, sink)
    (file,) = (tmp_path / "bases").glob("*.json")
    file.write_text(text)
    assert bases.known(BASE, tmp_path) is None


@pytest.mark.parametrize("base", [BASE, LOCKED])
def test_what_is_forbidden_is_not_asked_for(
    tmp_path: Path, sink: Callable[[Event], None], base: RootfsBase
) -> None:
    with pytest.raises(LockError) as caught:
        bases.resolve(base, tmp_path, sink, locked=True)
    assert caught.value.hint == "farm lock --bases b"
    with pytest.raises(BaseError, match="is not known here") as refused:
        bases.resolve(base, tmp_path, sink, offline=True)
    assert "--offline" in refused.value.hint
    assert not list(tmp_path.iterdir())


def _kept(cache: Path) -> Path:
    folder = cache / "bases" / RESOLVED.digest[:24]
    folder.mkdir(parents=True)
    (folder / "image.tar").write_bytes(b"x" * 1000)
    facts = {"image_id": "sha256:bb", "manifest_digest": "sha256:cc", "size_bytes": 1000}
    (folder / "base.json").write_text(json.dumps(facts))
    return folder


def test_what_was_bootstrapped_is_found_with_its_exact_versions(tmp_path: Path) -> None:
    folder = _kept(tmp_path)
    found = bases.made(RESOLVED, tmp_path)
    assert found is not None
    assert (found.tag, found.digest, found.origin) == (RESOLVED.tag, RESOLVED.digest, "lock")
    assert {deb.name: deb.version for deb in found.debs}["libc6"] == "1"
    assert found.archive == folder / "image.tar"
    drifted = bases.made(replace(RESOLVED, origin="drift"), tmp_path)
    assert drifted is not None
    assert drifted.origin == "drift"


@pytest.mark.parametrize("damage", ["cut", "gone", "no json", "other json", "no folder"])
def test_what_is_not_whole_is_not_there(tmp_path: Path, damage: str) -> None:
    folder = _kept(tmp_path)
    match damage:
        case "cut":
            (folder / "image.tar").write_bytes(b"x" * 999)
        case "gone":
            (folder / "image.tar").unlink()
        case "no json":
            (folder / "base.json").write_text('{"image_id": ')
        case "other json":
            (folder / "base.json").write_text('{"size_bytes": 1000, "more": [1]}')
        case _:
            (folder / "base.json").unlink()
    assert bases.made(RESOLVED, tmp_path) is None


@pytest.mark.parametrize(
    "base",
    [
        replace(BASE, suite="../sid"),
        replace(BASE, suite="--version"),
        replace(BASE, packages=("gcc", "a b")),
        replace(BASE, packages=("$(id)",)),
        replace(BASE, components=("main https://x.org",)),
        replace(BASE, exclude_paths=("/usr/lib/a b",)),
        replace(BASE, exclude_paths=("relative/*",)),
        replace(BASE, further_suites=(("a\nb", ("x",)),)),
        replace(BASE, further_suites=(("sid", ("x\nPin: y",)),)),
    ],
)
def test_names_that_could_mean_something_else_are_refused(
    tmp_path: Path, sink: Callable[[Event], None], base: RootfsBase
) -> None:
    with pytest.raises(BaseError, match="no name of"):
        bases.resolve(base, tmp_path, sink)


def test_a_bootstrap_is_told_each_package_and_nothing_of_the_network(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FARM_DEBIAN_MIRROR", "https://user:secret@mirror.example/debian")
    plain = bootstrapping.command(RESOLVED)
    assert [word for word in plain if word.startswith("--include=")] == [
        *("--include=gcc", "--include=libc6", "--include=make")
    ]
    assert not [word for word in plain if "http" in word or "secret" in word]
    command = bootstrapping.command(replace(RESOLVED, exclude_paths=("/usr/lib/big/*",)))
    (added,) = set(command) - set(plain)
    assert added == "--dpkgopt=path-exclude=/usr/lib/big/*"
    # The last option that matches wins in dpkg: licences stay, whatever is left out.
    kept = "--dpkgopt=path-include=/usr/share/doc/*/copyright"
    assert command.index(added) < command.index(kept)
    forget = next(text for text in plain if text.startswith("--customize-hook=rm"))
    assert '"$1"/etc/apt/sources.list' in forget


def test_only_installed_packages_count() -> None:
    status = (
        "Package: b\nStatus: install ok installed\nVersion: 2\nDescription: x\n Version: 9\n\n"
        "Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\n"
        "Package: a\nStatus: install ok installed\nArchitecture: all\nVersion: 1:1-1\n"
    )
    assert bootstrapping.installed(status) == [("a", "1:1-1"), ("b", "2")]


@pytest.mark.parametrize("names", [("gcc", "libc6"), ("gcc", "libc6", "make", "more")])
def test_a_bootstrap_that_installed_something_else_fails(names: tuple[str, ...]) -> None:
    stanza = "Package: {}\nStatus: install ok installed\nVersion: 1\n"
    whole = "\n".join(stanza.format(each.name) for each in RESOLVED.debs)
    bootstrapping.check(RESOLVED, whole)
    with pytest.raises(BaseError, match="exactly its packages: m"):
        bootstrapping.check(RESOLVED, "\n".join(map(stanza.format, names)))


def test_complaints_are_told_apart(tmp_path: Path) -> None:
    full = bootstrapping.explain("tar: x: No space left on device\n", RESOLVED, tmp_path)
    assert isinstance(full, StorageError)
    other = bootstrapping.explain("I: fine\nE: gremlins\n", RESOLVED, tmp_path)
    assert isinstance(other, BaseError)
    assert other.details == ("E: gremlins",)
    assert (tmp_path / "mmdebstrap.log").read_text() == "I: fine\nE: gremlins\n"


def test_a_cache_folder_that_cannot_be_made_is_a_storage_error(
    tmp_path: Path, sink: Callable[[Event], None]
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot write"):
        bases.current(BASE, tmp_path / "file" / "cache", sink)


def test_a_base_whose_packages_are_one_another_version_is_another(tmp_path: Path) -> None:
    newer = type(RESOLVED.packages).of((deb("gcc", "2"), deb("libc6"), deb("make")), DATE)
    _kept(tmp_path)
    assert bases.made(replace(RESOLVED, packages=newer), tmp_path) is None


def test_what_killed_bootstraps_left_goes_unless_somebody_is_at_it(
    tmp_path: Path, sink: Callable[[Event], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, left, busy = (tmp_path / f"bases/{name}.part" for name in ("own", "left", "busy"))
    for folder in (own, left, busy):
        folder.mkdir(parents=True)
    tools = toolbox.Toolbox(root=tmp_path / "tools", key="k")
    monkeypatch.setattr(toolbox, "prepare", lambda *_, **__: tools)
    monkeypatch.setattr(bootstrapping, "make", lambda *_, **__: _kept(tmp_path))
    with holding(busy.with_suffix(".lock")):
        bases.make(RESOLVED, {}, tmp_path, sink)
        assert [path.name for path in (tmp_path / "bases").glob("*.part")] == ["busy.part"]
