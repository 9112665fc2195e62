"""The private engine: a dockerd of the farm's own, started on demand, leaving no trace.

It needs no Docker on the machine, and a Docker that is there does not notice
it: own namespaces, configuration, data, socket and cgroup.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.debian import apt, toolbox
from farm.engine import clients, daemon_api, namespaces
from farm.engine.place import Place, place_of
from farm.errors import EngineError, FarmError, StorageError
from farm.events import Notice
from farm.host import process
from farm.host.files import storage_error
from farm.host.locks import holding, waiting

if TYPE_CHECKING:
    import threading

    from farm.debian.toolbox import Toolbox
    from farm.engine.endpoint import Endpoint
    from farm.events import Event, Sink

_FREE_BYTES_NEEDED = 200 * 1024**2
_START_TIMEOUT_S = 90.0
_CGROUPS = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """The private engine as it is now.  Sizes in bytes, ``started_s`` since the epoch."""

    running: bool
    pid: int | None
    socket: Path
    facts: daemon_api.DaemonFacts | None
    data: Path
    data_bytes: int
    started_s: float | None
    toolbox: Path | None
    log: Path


def ensure_running(cache: Path, sink: Sink, *, cancel: threading.Event | None = None) -> Endpoint:
    """Return the private engine, starting it (and making its toolbox) where needed.

    Raises:
        EngineError: Something that it needs is missing, or it does not come up.
        FetchError: The toolbox's packages cannot be fetched.
        StorageError: The disk is full.
        CancelledError: ``cancel`` was set while the toolbox was made.
    """
    place = place_of(cache)
    tools = _running(place)
    if tools is None:
        toolbox.require_host()
        tools = toolbox.prepare(cache, sink, cancel=cancel)
        lock = place.folder / "private.lock"
        with holding(lock, cancel=cancel, on_wait=waiting(sink, "the private engine")):
            running = _running(place, patience_s=60)
            if running is None:
                _start(place, tools, sink)
            tools = running or tools
    return clients.endpoint(place.folder, tools, socket=place.socket, cgroup=place.cgroup)


def stop(cache: Path) -> bool:
    """End the private engine and everything that runs in it.

    Returns:
        Whether it was running.
    """
    place = place_of(cache)
    if not place.folder.is_dir():
        return False
    with holding(place.folder / "private.lock", on_wait=waiting(_ignore, "the private engine")):
        was_running = process.read_identity(place.engine_identity) is not None
        _end(place)
    return was_running


def remove(cache: Path) -> None:
    """End the private engine and delete all its data, the toolbox included.

    Raises:
        StorageError: Something could not be deleted.
    """
    place = place_of(cache)
    stop(cache)
    try:
        if place.folder.is_dir():
            shutil.rmtree(place.folder)
    except OSError as error:
        raise storage_error(error, place.folder) from error


def status(cache: Path) -> EngineStatus:
    """Say whether the private engine runs, and what it takes."""
    place = place_of(cache)
    identity = process.read_identity(place.engine_identity)
    tools = toolbox.existing(cache)
    facts = None
    if identity:
        with suppress(OSError):
            facts = daemon_api.facts(place.socket)
    return EngineStatus(
        running=facts is not None,
        pid=identity.pid if identity else None,
        socket=place.socket,
        facts=facts,
        data=place.data,
        data_bytes=_bytes_below(place.data),
        started_s=place.engine_identity.stat().st_mtime if identity else None,
        toolbox=tools.root if tools else None,
        log=place.log,
    )


def _running(place: Place, *, patience_s: float = 0) -> Toolbox | None:
    """Return the toolbox that the engine was started from, if it runs and answers."""
    try:
        state = json.loads(place.state.read_text(encoding="utf-8"))
        tools = toolbox.Toolbox(root=Path(state["root"]), key=state["key"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    deadline = time.monotonic() + patience_s
    while True:
        identities = (place.engine_identity, place.network_identity)
        if not all(process.read_identity(file) for file in identities):
            return None
        if daemon_api.answers(place.socket):
            return tools if tools.root.is_dir() else None
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.2)


def _start(place: Place, tools: Toolbox, sink: Sink) -> None:
    """Start; where the data of an earlier engine is what prevents it, start without it."""
    try:
        _end(place)
        _check_space(place)
        _restore(place)
        place.data.mkdir(exist_ok=True)
        try:
            _bring_up(place, tools)
        except EngineError:
            if not any(place.data.iterdir()):
                raise
            _bring_up_without_data(place, tools)
            sink(Notice(text="the private engine's data was damaged: its caches are lost"))
    except OSError as error:
        raise storage_error(error, place.folder) from error
    driver = ""
    with suppress(OSError):
        driver = daemon_api.facts(place.socket).storage_driver
    if driver not in {"", "overlay2"}:
        sink(Notice(text=f"the private engine uses {driver}, not overlay2: slower and larger"))


def _bring_up_without_data(place: Place, tools: Toolbox) -> None:
    """Try with empty data; only when that works is the old data known to be the fault."""
    aside = _aside(place)
    place.data.rename(aside)
    try:
        place.data.mkdir()
        _bring_up(place, tools)
    except BaseException:
        _restore(place)
        raise
    shutil.rmtree(aside)


def _restore(place: Place) -> None:
    """Take back the data that a start which did not end well had put aside."""
    aside = _aside(place)
    if aside.exists():
        shutil.rmtree(place.data, ignore_errors=True)
        aside.rename(place.data)


def _aside(place: Place) -> Path:
    return place.data.with_suffix(".aside")


def _check_space(place: Place) -> None:
    free = shutil.disk_usage(place.folder).free
    if free < _FREE_BYTES_NEEDED:
        raise StorageError(
            f"only {free // 1024**2} MiB are free on the disk of {place.folder}",
            hint="free some space (farm clean), or set FARM_CACHE_DIR to a larger disk",
        )


def _bring_up(place: Place, tools: Toolbox) -> None:
    """Start engine and network, wait until it answers, and only then record it."""
    try:
        _launch(place, tools)
    except BaseException:
        _end(place)
        raise
    part = place.state.with_suffix(".part")
    part.write_text(json.dumps({"root": str(tools.root), "key": tools.key}), encoding="utf-8")
    part.replace(place.state)


def _launch(place: Place, tools: Toolbox) -> None:
    place.run.mkdir(mode=0o700, exist_ok=True)
    config = namespaces.daemon_config(cgroup_parent=place.cgroup)
    (place.run / "daemon.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    for log in (place.log, place.network_log):
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
    lifeline, engine_end = os.pipe()
    try:
        engine = namespaces.start_engine(tools, place, lifeline=engine_end)
        namespaces.start_network(tools, place, engine, lifeline=lifeline)
    except EngineError as error:
        if process.read_identity(place.engine_identity):
            raise  # the network's fault, and said so
        raise _not_up(place) from error
    finally:
        os.close(lifeline)
        os.close(engine_end)
    _await_answer(place, engine)


def _await_answer(place: Place, engine: process.ProcessId) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not daemon_api.answers(place.socket):
        if not engine.alive() or time.monotonic() > deadline:
            raise _not_up(place)
        time.sleep(0.05)


def _not_up(place: Place) -> FarmError:
    text = ""
    with suppress(OSError):
        text = place.log.read_text(encoding="utf-8", errors="replace")
    if apt.said_full(text):
        return apt.full_disk(place.folder)
    return EngineError(
        "the private engine did not come up",
        hint=f"its whole log: {place.log}; or use a Docker Engine of your own",
        details=apt.last_lines(text),
    )


def _end(place: Place) -> None:
    """End whatever is left of an engine, whole or half-started, and its traces."""
    place.state.unlink(missing_ok=True)
    engine = process.read_identity(place.engine_identity)
    if engine:
        # The first process inside passes the signal on; when it ends, the
        # kernel ends all others of its namespace, and unshare follows.
        for child in engine.children():
            child.end(grace_s=15)
        engine.end(grace_s=5)
    network = process.read_identity(place.network_identity)
    if network and not network.wait_gone(2):  # its lifeline is cut by now
        network.end(grace_s=2)
    for file in (place.engine_identity, place.network_identity):
        file.unlink(missing_ok=True)
    if place.run.is_dir():
        shutil.rmtree(place.run)
    _remove_cgroups(place.cgroup)


def _remove_cgroups(name: str) -> None:
    """Remove the engine's cgroup from every hierarchy (version 1 has several)."""
    for top in (_CGROUPS, *_CGROUPS.glob("*/")):
        folder = top / name.lstrip("/")
        if folder.is_dir():
            for path, _, _ in os.walk(folder, topdown=False):
                with suppress(OSError):  # a process that is just ending holds it
                    Path(path).rmdir()


def _ignore(event: Event, /) -> None:
    """Take no notice: ending an engine says nothing."""
    del event


def _bytes_below(folder: Path) -> int:
    """Return how much disk the files below a folder take; what vanishes meanwhile counts 0."""
    total = 0
    for path, _, files in os.walk(folder):
        for name in files:
            with suppress(OSError):
                total += os.lstat(os.path.join(path, name)).st_blocks * 512  # noqa: PTH118 - hot
    return total
