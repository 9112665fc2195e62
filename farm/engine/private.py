"""The private engine: a dockerd of the farm's own, started on demand, leaving no trace.

It needs no Docker on the machine, and a Docker that is there does not notice
it: own namespaces, configuration, data, socket and cgroup.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.debian import toolbox
from farm.debian.toolbox import BUILDX
from farm.engine import daemon_api, namespaces
from farm.engine.endpoint import Endpoint
from farm.engine.limits import limit_builds
from farm.engine.place import Place, place_of
from farm.errors import EngineError, FarmError, StorageError
from farm.events import Notice
from farm.host import process
from farm.host.files import freed_bytes, full_disk, says_full, storage_error, write_whole
from farm.host.locks import holding
from farm.host.programs import last_lines
from farm.load.limits import cache_limit

if TYPE_CHECKING:
    from farm.debian.toolbox import Toolbox
    from farm.events import Sink
    from farm.host.programs import Cancel

ASIDE = "data.aside-"
"""How data is called that an engine could not start with; the time follows."""
_TRIAL = "data.trial"
_FREE_BYTES_NEEDED = 200 * 1024**2
_START_TIMEOUT_S = 90.0
_CGROUPS = Path("/sys/fs/cgroup")


class _EndedError(EngineError):
    """The engine ended by itself, which its data may be the reason for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStatus:
    """The private engine as it is now.

    Sizes in bytes, ``started_s`` since the epoch; ``aside`` is earlier data that it
    could not start with.
    """

    running: bool
    pid: int | None
    socket: Path
    facts: daemon_api.DaemonFacts | None
    data: Path
    data_bytes: int
    aside: tuple[Path, ...]
    started_s: float | None
    toolbox: Path | None
    log: Path


def ensure_running(
    cache: Path,
    sink: Sink,
    *,
    cancel: threading.Event | None = None,
    offline: bool = False,
) -> Endpoint:
    """Return the private engine, starting it (and making its toolbox) where needed.

    Raises:
        EngineError: Something that it needs is missing, or it does not come up.
        FetchError: The toolbox's packages cannot be fetched.
        StorageError: The disk is full.
        CancelledError: ``cancel`` was set.
    """
    place = place_of(cache)
    cancel = cancel or threading.Event()
    tools = _running(place, cancel=cancel)
    if tools is None:
        toolbox.require_host()
        tools = toolbox.prepare(cache, sink, cancel=cancel, offline=offline)
        lock = place.folder / "private.lock"
        with holding(lock, cancel=cancel, sink=sink, what="the private engine"):
            running = _running(place, cancel=cancel, patience_s=60)
            if running is None:
                _start(place, tools, sink, cancel)
                toolbox.sweep(tools)
            tools = running or tools
    limit_builds(place)
    return _endpoint(place, tools)


def _endpoint(place: Place, tools: Toolbox) -> Endpoint:
    """Return how to reach the engine, with the toolbox's docker and buildx.

    They get a configuration of their own: neither the user's plugins nor the user's
    contexts have a say.
    """
    config = place.folder / "docker-config"
    buildx = tools.on_host(BUILDX)
    # For whoever goes through the docker command.
    plugin = config / "cli-plugins/docker-buildx"
    text = f'#!/bin/sh\nexec {shlex.join(buildx)} "$@"\n'
    if not plugin.is_file() or plugin.read_text(encoding="utf-8") != text:
        write_whole(plugin, text, mode=0o755)
    host = f"unix://{place.socket}"
    return Endpoint(
        name="private",
        kind="private",
        docker=(*tools.on_host("usr/bin/docker"), "-H", host),
        buildx=buildx,
        env=(("DOCKER_CONFIG", str(config)), ("DOCKER_HOST", host)),
        host=host,
        data=place.data,
    )


def stop(cache: Path) -> bool:
    """End the private engine and everything that runs in it.

    Returns:
        Whether it was running.
    """
    place = place_of(cache)
    if not place.folder.is_dir():
        return False
    with holding(place.folder / "private.lock"):
        was_running = process.read_identity(place.engine_identity) is not None
        _end(place)
    return was_running


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
        data_bytes=freed_bytes([place.data]),
        aside=put_aside(cache),
        started_s=place.engine_identity.stat().st_mtime if identity else None,
        toolbox=tools.root if tools else None,
        log=place.log,
    )


def put_aside(cache: Path) -> tuple[Path, ...]:
    """Return earlier data with which the private engine could not start."""
    return tuple(sorted(place_of(cache).folder.glob(f"{ASIDE}*")))


def _running(place: Place, *, cancel: Cancel, patience_s: float = 0) -> Toolbox | None:
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
        namespaces.check(cancel)
        if time.monotonic() >= deadline:
            return None
        time.sleep(0.2)


def _start(place: Place, tools: Toolbox, sink: Sink, cancel: Cancel) -> None:
    """Start it, twice where the first try fails; a passing fault never costs the data."""
    trial = place.folder / _TRIAL
    try:
        _end(place)
        _check_space(place)
        if trial.exists():  # of a start that was killed
            shutil.rmtree(trial)
        place.data.mkdir(exist_ok=True)
        try:
            _bring_up(place, tools, place.data, cancel)
        except EngineError as first:
            try:
                _bring_up(place, tools, place.data, cancel)
            except _EndedError:
                if not isinstance(first, _EndedError) or not any(place.data.iterdir()):
                    raise
                _start_without_data(place, tools, sink, cancel)
    except OSError as error:
        raise storage_error(error, place.folder) from error
    driver = ""
    with suppress(OSError):
        driver = daemon_api.facts(place.socket).storage_driver
    if driver not in {"", "overlay2"}:
        sink(Notice(text=f"the private engine uses {driver}, not overlay2: slower and larger"))


def _start_without_data(place: Place, tools: Toolbox, sink: Sink, cancel: Cancel) -> None:
    """Try with empty data; only when that works is the old data the fault, and put aside."""
    trial = place.folder / _TRIAL
    trial.mkdir()
    try:
        aside = _bring_up(place, tools, trial, cancel)
    except BaseException:
        shutil.rmtree(trial, ignore_errors=True)
        raise
    text = (
        f"the private engine twice ended at once with its data, and starts without: that is in "
        f"{aside} now, with its build cache; 'rm -r' that folder, or 'farm clean --engine'"
    )
    sink(Notice(text=text))


def _check_space(place: Place) -> None:
    free = shutil.disk_usage(place.folder).free
    if free < _FREE_BYTES_NEEDED:
        raise StorageError(
            f"only {free // 1024**2} MiB are free on the disk of {place.folder}",
            hint="free some space (farm clean), or set FARM_CACHE_DIR to a larger disk",
        )


def _bring_up(place: Place, tools: Toolbox, data: Path, cancel: Cancel) -> Path | None:
    """Start engine and network, wait until it answers, and only then record it.

    Data other than the place's own takes its place; returns where that was put then.
    """
    aside = None
    try:
        _launch(place, tools, data, cancel)
        if data != place.data:
            aside = place.folder / f"{ASIDE}{time.strftime('%Y%m%dT%H%M%S')}"
            place.data.rename(aside)
            data.rename(place.data)
    except BaseException:
        _end(place)
        raise
    write_whole(place.state, json.dumps({"root": str(tools.root.resolve()), "key": tools.key}))
    return aside


def _launch(place: Place, tools: Toolbox, data: Path, cancel: Cancel) -> None:
    place.run.mkdir(mode=0o700, exist_ok=True)
    config = namespaces.daemon_config(
        cgroup_parent=place.cgroup, cache_bytes=cache_limit(place.folder).engine_bytes
    )
    (place.run / "daemon.json").write_text(json.dumps(config, indent=2), encoding="utf-8")
    for log in (place.log, place.network_log):
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
    lifeline, engine_end = os.pipe()
    try:
        engine = namespaces.start_engine(tools, place, data, lifeline=engine_end)
        namespaces.start_network(tools, place, engine, lifeline=lifeline, cancel=cancel)
    except EngineError as error:
        if process.read_identity(place.engine_identity):
            raise  # the network's fault, and said so
        raise _not_up(place, _EndedError) from error
    finally:
        os.close(lifeline)
        os.close(engine_end)
    _await_answer(place, engine, cancel)


def _await_answer(place: Place, engine: process.ProcessId, cancel: Cancel) -> None:
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not daemon_api.answers(place.socket):
        namespaces.check(cancel)
        if not engine.alive():
            raise _not_up(place, _EndedError)
        if time.monotonic() > deadline:
            raise _not_up(place, EngineError)
        time.sleep(0.05)


def _not_up(place: Place, kind: type[EngineError]) -> FarmError:
    text = ""
    with suppress(OSError):
        text = place.log.read_text(encoding="utf-8", errors="replace")
    if says_full(text):
        return full_disk(place.folder)
    return kind(
        "the private engine did not come up",
        hint=f"its whole log: {place.log}; or use a Docker Engine of your own",
        details=last_lines(text, 8),
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
