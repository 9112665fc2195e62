"""Debian packages by hash: from the mirror, else the snapshot archive; gone is not unreachable."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.debian import archive, bases
from farm.errors import BaseError, CancelledError, FetchError, IntegrityError, LockError
from farm.events import TaskProgress
from farm.host.network import NetworkSettings
from farm.model.debian import DebSet, ResolvedBase
from farm.model.unit import RootfsBase
from farm.source import debs
from farm.source.fetch import Fetcher, GoneError
from tests.support.debian import DATE, deb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.events import Event
    from farm.store.blobs import Store
    from tests.unit.conftest import Web

CONTENT = b"a package" * 1000
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def fetcher(
    store: Store, sink: Callable[[Event], None], web: Web, monkeypatch: pytest.MonkeyPatch
) -> Fetcher:
    monkeypatch.setenv(archive.MIRROR_VARIABLE, f"{web.base}/debian")
    monkeypatch.setenv(archive.SNAPSHOT_VARIABLE, f"{web.base}/old/@PATH@/@SNAPSHOTID@")
    monkeypatch.setattr(archive, "proxies", dict)
    return Fetcher(store=store, sink=sink, settings=NetworkSettings(), backoff_s=0.001)


def served(web: Web, *roots: str) -> ResolvedBase:
    """A base of one package that lies at these places."""
    sha256 = ""
    for root in roots:
        _, sha256 = web.put(f"{root}/pool/main/x_1_all.deb", CONTENT)
    package = replace(deb("x"), sha256=sha256 or "0" * 64, size=len(CONTENT))
    packages = DebSet.of((package,), DATE)
    return ResolvedBase(suite="x", packages=packages, exclude_paths=(), origin="lock")


def test_the_mirror_is_asked_first_and_what_is_there_is_not_asked_for(
    fetcher: Fetcher, web: Web, tmp_path: Path, events: list[Event]
) -> None:
    resolved = served(web, "/debian", f"/old/debian/{DATE}")
    for _ in range(2):
        (path,) = debs.fetch_debs(resolved, fetcher, tmp_path).values()
        assert path.read_bytes() == CONTENT
    assert [path for path, _ in web.requests] == ["/debian/pool/main/x_1_all.deb"]
    shown = [event for event in events if isinstance(event, TaskProgress)]
    assert {event.task for event in shown} == {f"fetch the packages of {resolved.tag}"}
    assert shown[-1].done == shown[-1].total == len(CONTENT)
    assert debs.fetch_debs(resolved, fetcher, tmp_path, offline=True)


def test_what_the_mirror_has_no_longer_comes_from_the_snapshot_archive(
    fetcher: Fetcher, web: Web, tmp_path: Path
) -> None:
    resolved = served(web, f"/old/debian/{DATE}")
    assert len(debs.fetch_debs(resolved, fetcher, tmp_path)) == 1


@pytest.mark.parametrize("snapshots", ["", f"{DEAD}/@PATH@", None])
def test_what_the_mirror_has_not_and_no_other_gives_is_gone(
    fetcher: Fetcher,
    web: Web,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    snapshots: str | None,
) -> None:
    if snapshots is not None:
        monkeypatch.setattr(debs, "_snapshots", lambda _: snapshots)
    with pytest.raises(GoneError, match="x 1"):
        debs.fetch_debs(served(web), fetcher, tmp_path)


def test_a_network_that_is_down_is_not_gone(
    fetcher: Fetcher, web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(archive.MIRROR_VARIABLE, f"{DEAD}/debian")
    monkeypatch.setenv(archive.SNAPSHOT_VARIABLE, f"{DEAD}/@PATH@")
    with pytest.raises(FetchError) as caught:
        debs.fetch_debs(served(web), fetcher, tmp_path)
    assert not isinstance(caught.value, GoneError)


def test_a_mirror_that_gives_other_bytes_is_not_believed(
    fetcher: Fetcher, web: Web, tmp_path: Path
) -> None:
    resolved = served(web, "/debian")
    web.put("/debian/pool/main/x_1_all.deb", CONTENT[:-1] + b"!")
    with pytest.raises(IntegrityError):
        debs.fetch_debs(resolved, fetcher, tmp_path)


def test_offline_nothing_is_asked_for(fetcher: Fetcher, web: Web, tmp_path: Path) -> None:
    with pytest.raises(BaseError, match="--offline"):
        debs.fetch_debs(served(web, "/debian"), fetcher, tmp_path, offline=True)
    assert web.requests == []


@pytest.fixture
def makes(monkeypatch: pytest.MonkeyPatch) -> list[ResolvedBase]:
    """Bases that were made; nothing is bootstrapped."""
    found: list[ResolvedBase] = []
    monkeypatch.setattr(bases, "make", lambda resolved, *_, **__: found.append(resolved))
    return found


def test_a_base_whose_locked_packages_are_gone_is_made_of_what_there_is_unless_refused(
    fetcher: Fetcher,
    web: Web,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    makes: list[ResolvedBase],
) -> None:
    now = served(web, "/debian").packages
    gone = DebSet.of((deb("x", "0"),), DATE)
    monkeypatch.setattr(bases, "current", lambda *_: now)
    base = RootfsBase(name="b", suite="x", packages=("x",), locked=gone)
    with pytest.raises(LockError, match="can no longer be had"):
        debs.base_image(base, fetcher, tmp_path, locked=True)
    assert makes == []
    debs.base_image(base, fetcher, tmp_path)
    debs.base_image(base, fetcher, tmp_path)
    assert [(made.origin, made.packages) for made in makes] == [("drift", now)] * 2
    assert bases.known(base, tmp_path) == makes[0]


def test_a_cancelled_fetch_ends(fetcher: Fetcher, web: Web, tmp_path: Path) -> None:
    fetcher.cancel = threading.Event()
    fetcher.cancel.set()
    with pytest.raises(CancelledError):
        debs.fetch_debs(served(web, "/debian"), fetcher, tmp_path)
