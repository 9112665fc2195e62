"""Choose the engine that builds: the user's Docker if it is good enough, else the private one."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from farm.engine.docker import DockerEngine
from farm.engine.probe import (
    NO_BUILDX,
    NO_HEREDOCS,
    NO_NETWORK_FLAG,
    OLD_BUILDX,
    ProbeReport,
    dead_socket,
    engine_identity,
    probe_user_engine,
)
from farm.errors import EngineError, FetchError, StorageError, UsageError
from farm.events import Notice
from farm.host.files import write_whole
from farm.host.machine import Machine

if TYPE_CHECKING:
    import threading
    from collections.abc import Mapping

    from farm.events import Sink

Preference = Literal["auto", "user", "private"]

VARIABLE = "FARM_ENGINE"
_STRUCTURAL = frozenset({NO_HEREDOCS, NO_NETWORK_FLAG})
_FRESH_S = 86_400.0
_LAYOUT = 3
"""Changed when a remembered probe would no longer answer the same questions."""
_CLIENT_VARIABLES = ("BUILDX_CONFIG", "DOCKER_CERT_PATH", "DOCKER_CONFIG", "DOCKER_CONTEXT")


def preference(environment: Mapping[str, str]) -> Preference:
    """Return what ``FARM_ENGINE`` asks for; ``auto`` if it is not set.

    Raises:
        UsageError: It is something else.
    """
    value = environment.get(VARIABLE) or "auto"
    if value in get_args(Preference):
        return cast("Preference", value)
    raise UsageError(f"{VARIABLE}={value}: no such engine", hint="use auto, user or private")


def choose(
    wanted: Preference,
    cache: Path,
    sink: Sink,
    *,
    cancel: threading.Event | None = None,
    offline: bool = False,
) -> DockerEngine:
    """Return the engine to build with, started if it is the private one.

    Args:
        wanted: ``auto`` prefers the user's Docker, and says in one line why not.
        cache: The farm's cache folder.
        sink: Gets the notice, and the progress of making the private engine.
        cancel: Ends that when set.
        offline: Forbids to fetch the private engine's packages.

    Raises:
        EngineError: The engine asked for is not there, or lacks something; or no
            engine can be had at all.
        FetchError: The private engine's packages cannot be fetched.
        StorageError: The disk is full.
        CancelledError: ``cancel`` was set.
    """
    if wanted != "private":
        report = user_engine(cache, sink, cancel=cancel, offline=offline)
        if report.good and report.endpoint is not None:
            return DockerEngine(endpoint=report.endpoint)
        if wanted == "user":
            hint = report.hint or "upgrade it, or let farm use its own (FARM_ENGINE=auto)"
            raise EngineError(report.summary, hint=hint)
        sink(Notice(text=f"{report.summary}: using farm's private engine"))
    from farm.engine import private  # not needed beside a good Docker

    return DockerEngine(
        endpoint=private.ensure_running(cache, sink, cancel=cancel, offline=offline)
    )


def user_engine(
    cache: Path, sink: Sink, *, cancel: threading.Event | None = None, offline: bool = False
) -> ProbeReport:
    """Return what is known of the user's Docker, probing it unless that was done today.

    A remembered probe holds for one engine (its id and version are asked for
    each time), one client, one buildx and one set of settings.

    Raises:
        CancelledError: ``cancel`` was set.
    """
    remembered = _remembered(cache)
    if remembered is not None:
        return remembered
    report = probe_user_engine(cancel=cancel)
    if report.found and report.missing in {(NO_BUILDX,), (OLD_BUILDX,)}:
        from farm.debian import toolbox  # rarely needed

        with suppress(EngineError, FetchError, StorageError):
            # else the reason to tell is still the missing plugin
            tools = toolbox.prepare(cache, sink, cancel=cancel, offline=offline)
            report = probe_user_engine(other_buildx=tools.on_host(toolbox.BUILDX), cancel=cancel)
    if report.found and _STRUCTURAL.issuperset(report.missing):
        _remember(cache, report)  # anything else may be different the next minute
    return report


def remembered_machine(cache: Path) -> Machine | None:
    """All that the host of the user's engine has, by its last probe; the engine is not asked.

    None where it was not probed yet from surroundings like these, or is on this machine.
    """
    from pydantic import TypeAdapter

    try:
        kept = json.loads(_file(cache).read_text(encoding="utf-8"))
        report = TypeAdapter(ProbeReport).validate_python(kept["report"])
    except (OSError, ValueError, LookupError, TypeError):
        return None
    if report.endpoint is None or report.endpoint.is_here or not report.cores:
        return None
    memory = report.memory_bytes
    return Machine(cores=report.cores, memory_bytes=memory, total_bytes=memory)


def _surroundings() -> dict[str, Any]:
    """Return what decides which engine the clients reach, and which client it is."""
    config = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    docker = shutil.which("docker") or ""
    return {
        "layout": _LAYOUT,
        "variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("DOCKER_") or name in _CLIENT_VARIABLES
        },
        "docker": [docker, *_stat(docker)],
        "config": _stat(config / "config.json"),
        "contexts": [_stat(path) for path in sorted(config.glob("contexts/meta/*/meta.json"))],
        "plugins": [[str(path), *_stat(path)] for path in _plugin_paths(config)],
    }


def _plugin_paths(config: Path) -> list[Path]:
    """Return where Docker looks for its plugins (docker/cli, cli-plugins/manager)."""
    system = ("/usr/local/lib", "/usr/local/libexec", "/usr/lib", "/usr/libexec")
    folders = [config, *(Path(folder) / "docker" for folder in system)]
    return [folder / "cli-plugins" / "docker-buildx" for folder in folders]


def _stat(path: Path | str) -> list[int]:
    with suppress(OSError):
        facts = Path(path).stat()
        return [facts.st_mtime_ns, facts.st_size, facts.st_ino]
    return []


def _file(cache: Path) -> Path:
    text = json.dumps(_surroundings(), sort_keys=True)
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    return cache / "engine" / f"probe-{name}.json"


def _remembered(cache: Path) -> ProbeReport | None:
    """Return an earlier probe if nothing has changed since; None if it must be done again."""
    if dead_socket(os.environ):
        return None
    from pydantic import TypeAdapter  # not needed where no Docker answers

    try:
        kept = json.loads(_file(cache).read_text(encoding="utf-8"))
        if not 0 <= time.time() - kept["checked_s"] < _FRESH_S:
            return None
        report = TypeAdapter(ProbeReport).validate_python(kept["report"])
        if engine_identity(report) != (report.engine_id, report.version):
            return None
    except (OSError, ValueError, LookupError, TypeError, EngineError):
        return None
    buildx = report.endpoint.buildx if report.endpoint else ()
    return report if all(Path(part).exists() for part in buildx if part.startswith("/")) else None


def _remember(cache: Path, report: ProbeReport) -> None:
    """Keep a probe's outcome, in one piece; an unwritable cache only costs the next probe."""
    file = _file(cache)
    kept = json.dumps({"checked_s": time.time(), "report": asdict(report)}, indent=2)
    with suppress(OSError, StorageError):
        for old in file.parent.glob("probe-*.json"):
            if time.time() - old.stat().st_mtime > _FRESH_S:
                old.unlink()
        write_whole(file, kept)
