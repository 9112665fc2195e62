"""What builds run on: rights, programs, the user's Docker, the private engine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from farm.debian import archive, toolbox
from farm.engine import private
from farm.engine.limits import limit_of
from farm.engine.place import place_of
from farm.errors import EngineError, ExitCode
from farm.upkeep.checks import State, ok, problem, refused, size_text, warning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.engine.probe import ProbeReport
    from farm.upkeep.checks import Check, Situation

_PASSED_OVER = "farm uses its private engine instead"


def checks(situation: Situation, user: ProbeReport) -> Iterator[Check]:
    """Look at the engines; ``user`` is what is known of the user's Docker."""
    prepared = toolbox.existing(situation.cache) is not None
    name = "root rights and programs"
    try:
        toolbox.require_host()
        rights = ok(name, "farm runs as root, and no program is missing")
    except EngineError as error:
        needless = user.good and prepared
        rights = warning(name, error.message, error.hint) if needless else refused(name, error)
    yield _docker(user, situation, can_have_private=rights.state is State.OK)
    yield rights
    yield _keys(prepared=prepared)
    yield _private(situation.cache, prepared=prepared)


def _docker(report: ProbeReport, situation: Situation, *, can_have_private: bool) -> Check:
    name = "your Docker"
    if report.good:
        return ok(
            name,
            f"version {report.version}, context {report.name}, has all that is needed; no memory "
            "limit on builds but that of farm's own, which holds compilers",
        )
    remedy = report.hint or "upgrade it, or add its buildx plugin"
    if not can_have_private:
        return problem(name, report.summary, remedy, ExitCode.ENGINE)
    pointed = next(
        (n for n in ("DOCKER_HOST", "DOCKER_CONTEXT") if situation.environ.get(n)), None
    )
    if pointed:
        return warning(name, f"{report.summary}; {_PASSED_OVER}", f"correct or unset {pointed}")
    if report.found:
        return warning(name, f"{report.summary}; {_PASSED_OVER}", remedy)
    return ok(name, f"{report.detail}; {_PASSED_OVER}")


def _keys(*, prepared: bool) -> Check:
    """Debian's keys: needed for the toolbox and for every new base."""
    name = "Debian's archive keys"
    try:
        return ok(name, str(archive.keyring()))
    except EngineError as error:
        if not prepared:
            return refused(name, error)
        return warning(name, f"{error.message}; the container tools are already here", error.hint)


def _private(cache: Path, *, prepared: bool) -> Check:
    name, status = "private engine", private.status(cache)
    size = size_text(status.data_bytes)
    if status.facts:
        hours = (time.time() - (status.started_s or time.time())) / 3600
        found = (
            f"runs since {hours:.1f} h: version {status.facts.version}, "
            f"{status.facts.storage_driver}, {size} of data"
        )
        limit = limit_of(place_of(cache))
        if limit is None:
            remedy = "let farm write to /sys/fs/cgroup: till then only compilers are held in check"
            return warning(name, f"{found}, no memory limit on builds", remedy)
        found += f", builds together held to {size_text(limit)} of memory"
        if status.facts.storage_driver not in {"overlay2", "overlayfs"}:
            remedy = "put FARM_CACHE_DIR on a local disk: this driver is slow and takes much room"
            return warning(name, found, remedy)
        return ok(name, found)
    if status.pid is not None:
        return warning(
            name,
            f"process {status.pid} is there but does not answer at {status.socket}",
            f"farm engine down; its log is {status.log}",
        )
    if prepared:
        return ok(name, f"prepared, not running; {size} of data")
    return ok(name, "not prepared: about 150 MB of Debian packages are fetched when it is needed")
