"""Debian packages by hash: from the mirror, else the snapshot archive; gone is not unreachable."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.debian import archive, bases
from farm.errors import CancelledError, FetchError, IntegrityError, LockError
from farm.events import TaskProgress
from farm.host.network import NetworkSettings
from farm.model.debian import DebSet, ResolvedBase
from farm.model.unit import RootfsBase
from farm.source import debs
from farm.source.fetch import Fetcher, GoneError
from farm.source.inputs import debs_of
from farm.source.job import Job, Places
from farm.source.mirror import Mirror
from farm.source.stage import groups
from farm.store.blobs import Store
from tests.support.debian import DATE, deb

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.errors import FarmError
    from farm.events import Event
    from tests.unit.conftest import Web

CONTENT = b"a package" * 1000
DEAD = "http://127.0.0.1:9"


@pytest.fixture
def job(
    store: Store, sink: Callable[[Event], None], web: Web, monkeypatch: pytest.MonkeyPatch
) -> Job:
    monkeypatch.setenv(archive.MIRROR_VARIABLE, f"{web.base}/debian")
    monkeypatch.setattr(archive, "proxies", dict)
    job = Job(store=store, sink=sink, places=snapshots_at(f"{web.base}/old/@PATH@/@SNAPSHOTID@"))
    settings = NetworkSettings()
    job._fetcher = Fetcher(store=store, sink=sink, settings=settings, cancel=job.cancel,
                           backoff_s=0.001)  # fmt: skip
    return job


def snapshots_at(url: str) -> Places:
    return Places(snapshots=lambda: url)


def base_of(resolved: ResolvedBase) -> RootfsBase:
    return RootfsBase(name="b", suite="x", packages=("x",), locked=resolved.packages)


def failure(resolved: ResolvedBase, job: Job) -> FarmError | None:
    """Bring the one package of a base; why it did not come."""
    (group,) = groups(debs_of(resolved))
    brought, failures = group.bring(job)
    assert len(brought) + len(failures) == 1
    return failures[0][1] if failures else None


def served(web: Web, *roots: str) -> ResolvedBase:
    """A base of one package that lies at these places."""
    sha256 = ""
    for root in roots:
        _, sha256 = web.put(f"{root}/pool/main/x_1_all.deb", CONTENT)
    package = replace(deb("x"), sha256=sha256 or "0" * 64, size=len(CONTENT))
    packages = DebSet.of((package,), DATE)
    return ResolvedBase(suite="x", packages=packages, exclude_paths=(), origin="lock")


def test_the_mirror_is_asked_first_and_what_is_there_is_not_asked_for(
    job: Job, web: Web, tmp_path: Path, events: list[Event]
) -> None:
    resolved = served(web, "/debian", f"/old/debian/{DATE}")
    offline = Job(store=job.store, sink=job.sink, places=Places(offline=True))
    for each in (job, job, offline):
        _, files = debs.bring_base(base_of(resolved), each, tmp_path)
        assert [path.read_bytes() for path in files.values()] == [CONTENT]
    assert [path for path, _ in web.requests] == ["/debian/pool/main/x_1_all.deb"]
    shown = [event for event in events if isinstance(event, TaskProgress)]
    assert {event.task for event in shown} == {f"fetch the packages of {resolved.tag}"}
    assert shown[-1].done == shown[-1].total == len(CONTENT)


def test_what_the_mirror_has_no_longer_comes_from_the_snapshot_archive(job: Job, web: Web) -> None:
    assert failure(served(web, f"/old/debian/{DATE}"), job) is None


@pytest.mark.parametrize("snapshots", ["", f"{DEAD}/@PATH@", None])
def test_what_the_mirror_has_not_and_no_other_gives_is_gone(
    job: Job, web: Web, snapshots: str | None
) -> None:
    if snapshots is not None:
        job.places = snapshots_at(snapshots)
    error = failure(served(web), job)
    assert isinstance(error, GoneError)
    assert "x 1" in error.message


def test_a_network_that_is_down_is_not_gone(
    job: Job, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(archive.MIRROR_VARIABLE, f"{DEAD}/debian")
    job.places = snapshots_at(f"{DEAD}/@PATH@")
    error = failure(served(web), job)
    assert isinstance(error, FetchError)
    assert not isinstance(error, GoneError)


def test_a_mirror_that_gives_other_bytes_is_not_believed(job: Job, web: Web) -> None:
    resolved = served(web, "/debian")
    web.put("/debian/pool/main/x_1_all.deb", CONTENT[:-1] + b"!")
    assert isinstance(failure(resolved, job), IntegrityError)


def test_offline_nothing_is_asked_for_but_a_folder_of_sources(
    job: Job, web: Web, tmp_path: Path
) -> None:
    resolved = served(web, "/debian")
    job.places = Places(keep=Mirror(root=tmp_path / "mirror"))
    assert failure(resolved, job) is None
    assert (tmp_path / "mirror/files/x_1_all.deb").read_bytes() == CONTENT
    asked = len(web.requests)
    empty = Store(tmp_path / "elsewhere")
    lost = failure(resolved, Job(store=empty, sink=job.sink, places=Places(offline=True)))
    assert isinstance(lost, FetchError)
    assert lost.message.startswith("package x 1: not in the store")
    places = Places(offline=True, mirror=Mirror.at(tmp_path / "mirror"))
    assert failure(resolved, Job(store=empty, sink=job.sink, places=places)) is None
    assert len(web.requests) == asked


@pytest.fixture
def makes(monkeypatch: pytest.MonkeyPatch) -> list[ResolvedBase]:
    """Bases that were made; nothing is bootstrapped."""
    found: list[ResolvedBase] = []
    monkeypatch.setattr(bases, "make", lambda resolved, *_, **__: found.append(resolved))
    return found


def test_a_base_whose_locked_packages_are_gone_is_made_of_what_there_is_unless_refused(
    job: Job,
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
        debs.base_image(base, job, tmp_path, locked=True)
    assert makes == []
    debs.base_image(base, job, tmp_path)
    debs.base_image(base, job, tmp_path)
    assert [(made.origin, made.packages) for made in makes] == [("drift", now)] * 2
    assert bases.known(base, tmp_path) == makes[0]


def test_a_cancelled_fetch_ends(job: Job, web: Web) -> None:
    job.cancel.set()
    with pytest.raises(CancelledError):
        failure(served(web, "/debian"), job)
