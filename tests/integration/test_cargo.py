"""Crates fetched by a real cargo from a registry of our own: no engine, and no network."""

from __future__ import annotations

import http.server
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from farm.debian import cargo
from farm.errors import CancelledError, FarmError, FetchError, IntegrityError
from farm.events import TaskProgress
from farm.source.job import Job, Places
from farm.source.kinds import CrateFile
from farm.source.mirror import Mirror
from farm.source.stage import stage, stage_each
from farm.store.blobs import Store
from tests.support.crates import Registry
from tests.support.farming import quiet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.events import Event
    from farm.model.crates import Crate

VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy")


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder; paths in ``stalled`` never answer."""

    stalled: set[str]
    over: threading.Event
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.path in self.stalled:
            self.over.wait()
            return
        super().do_GET()

    def log_message(self, *_: Any) -> None:
        """Keep silent."""


@pytest.fixture
def handler() -> type[Handler]:
    kept = {"stalled": set(), "over": threading.Event(), "asked": []}
    return type("OwnHandler", (Handler,), kept)


@pytest.fixture
def registry(
    tmp_path: Path, handler: type[Handler], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Registry]:
    """A registry that the user's cargo configuration names instead of the default one."""
    folder = tmp_path / "registry"
    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(handler, directory=str(folder))
    )
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    made = Registry(folder=folder, url=f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("CARGO_HOME", str(made.user_home(tmp_path / "user")))
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    yield made
    handler.over.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def places(farm_cache: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """With Debian's cargo alone: what a machine without one of its own gets."""
    monkeypatch.setenv("PATH", "/nowhere:/usr/sbin:/usr/bin:/sbin:/bin")
    return Places(cargo=lambda sink, cancel: cargo.prepare(farm_cache, sink, cancel))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def wants(*crates: Crate) -> list[CrateFile]:
    """What one Cargo.lock with these crates asks for."""
    return [
        CrateFile(
            name=c.name, version=c.version, filename=c.filename, sha256=c.sha256, among=crates
        )
        for c in crates
    ]


def failure(store: Store, places: Places, *crates: Crate) -> FarmError:
    brought, failures = stage_each(wants(*crates), Job(store=store, sink=quiet, places=places))
    assert {error.__class__ for _, error in failures} <= {FetchError, IntegrityError}
    assert len(brought) + len(failures) == len(crates)
    return failures[0][1]


def test_they_come_from_where_the_users_cargo_is_told_to_look(
    registry: Registry, store: Store, places: Places, tmp_path: Path, handler: type[Handler]
) -> None:
    """Two versions of one crate, one that needs another, and one that was withdrawn."""
    crates = (
        registry.add("leaf", "1.0.0"),
        registry.add("leaf", "2.1.0+build.7"),
        registry.add("leaf", "2.2.0"),  # newer than what is wanted
        registry.add("tree", "0.3.0-rc.1", needs={"leaf": "^2"}),
        registry.add("gone", "1.0.0", yanked=True),
    )
    wanted = [crate for crate in crates if crate.version != "2.2.0"]
    told: list[Event] = []
    found = stage(wants(*wanted), store, told.append, places=places)
    assert sorted(found.values()) == sorted(crate.sha256 for crate in wanted)
    assert all(store.get(crate.sha256) for crate in wanted)
    assert "/dl/leaf-2.2.0.crate" not in handler.asked
    assert [path.name for path in (tmp_path / "user").iterdir()] == ["config.toml"]
    assert list((store.root / "tmp").iterdir()) == []
    last = [e for e in told if isinstance(e, TaskProgress) and e.task.startswith("fetch 4")][-1]
    assert (last.done, last.total, last.finished) == (4, 4, True)


def test_what_is_there_costs_neither_cargo_nor_network(
    registry: Registry, store: Store, places: Places, handler: type[Handler]
) -> None:
    crate = registry.add("leaf", "1.0.0")
    stage(wants(crate), store, quiet, places=places)
    handler.asked.clear()
    assert stage(wants(crate), store, quiet, places=Places()) == {wants(crate)[0]: crate.sha256}
    assert handler.asked == []


def test_another_checksum_in_the_registry_is_refused(
    registry: Registry, store: Store, places: Places
) -> None:
    crate = registry.add("leaf", "1.0.0")
    entry = registry.entry("leaf")
    entry.write_text(entry.read_text().replace(crate.sha256, crate.sha256[::-1]))
    error = failure(store, places, crate)
    assert isinstance(error, IntegrityError)
    assert "checksum for `leaf v1.0.0` changed between lock files" in error.message
    assert store.get(crate.sha256) is None


@pytest.mark.parametrize("kept", [0, 100])
def test_a_truncated_file_is_refused_and_what_else_came_is_kept(
    kept: int, registry: Registry, store: Store, places: Places
) -> None:
    whole, cut = registry.add("whole", "1.0.0"), registry.add("trunk", "1.0.0")
    stage(wants(whole), store, quiet, places=places)
    path = registry.file(cut)
    path.write_bytes(path.read_bytes()[:kept])
    error = failure(store, places, whole, cut)
    assert isinstance(error, IntegrityError)
    assert "trunk" in error.message
    assert store.get(cut.sha256) is None
    assert store.get(whole.sha256)


def test_one_that_the_registry_does_not_have_is_told(
    registry: Registry, store: Store, places: Places
) -> None:
    crates = registry.add("leaf", "1.0.0"), registry.add("lost", "1.0.0")
    registry.file(crates[1]).unlink()
    error = failure(store, places, *crates)
    assert isinstance(error, FetchError)
    assert "could not fetch" in error.message
    assert "404" in error.message


def test_a_registry_that_is_a_folder_gives_no_files(
    registry: Registry, store: Store, places: Places, tmp_path: Path
) -> None:
    crate = registry.add("leaf", "1.0.0")
    (tmp_path / "user/config.toml").write_text(
        f'[source.crates-io]\nreplace-with = "d"\n[source.d]\ndirectory = "{tmp_path}"\n'
    )
    error = failure(store, places, crate)
    assert isinstance(error, FetchError)


def test_cancelling_ends_a_cargo_that_waits(
    registry: Registry, store: Store, places: Places, handler: type[Handler]
) -> None:
    crate = registry.add("leaf", "1.0.0")
    handler.stalled.add("/dl/leaf-1.0.0.crate")
    cancel = threading.Event()

    def when_asked() -> None:
        while "/dl/leaf-1.0.0.crate" not in handler.asked:
            time.sleep(0.02)
        cancel.set()

    threading.Thread(target=when_asked, daemon=True).start()
    with pytest.raises(CancelledError):
        stage(wants(crate), store, quiet, places=places, cancel=cancel)
    assert list((store.root / "tmp").iterdir()) == []


def test_a_mirror_is_asked_first_and_filled(
    registry: Registry, store: Store, places: Places, tmp_path: Path, handler: type[Handler]
) -> None:
    crate = registry.add("leaf", "1.0.0")
    filled = Mirror(root=tmp_path / "mirror")
    stage(wants(crate), store, quiet, places=Places(keep=filled, cargo=places.cargo))
    assert (filled.root / "files/leaf-1.0.0.crate").is_file()
    handler.asked.clear()
    other = Store(tmp_path / "other")
    found = stage(wants(crate), other, quiet, places=Places(mirror=filled))
    assert found == {wants(crate)[0]: crate.sha256}
    assert handler.asked == []


def test_without_any_cargo_it_is_told_how_to_get_one(
    registry: Registry, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    crate = registry.add("leaf", "1.0.0")
    monkeypatch.setenv("PATH", "/nowhere")
    error = failure(store, Places(), crate)
    assert "none on PATH that runs" in error.message
    assert "--source-mirror" in error.hint
