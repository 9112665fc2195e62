"""What builds run on: rights, programs, the user's Docker, the private engine."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from farm.debian import apt, archive, toolbox
from farm.engine import private
from farm.engine.probe import probe_user_engine
from farm.errors import EngineError, ExitCode
from farm.upkeep.checks import ok, problem, size_text, warning

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from farm.engine.probe import ProbeReport
    from farm.upkeep.checks import Check, Situation

_PROBE_S = 3.0
_PASSED_OVER = "farm uses its private engine instead"


def user_engine() -> ProbeReport:
    """Look for the user's Docker; it may take some seconds."""
    return probe_user_engine(timeout_s=_PROBE_S)


def checks(situation: Situation, user: ProbeReport) -> Iterator[Check]:
    """Look at the engines; ``user`` is what `user_engine` found."""
    obstacle = None
    try:
        toolbox.require_host()
    except EngineError as error:
        obstacle = error
    yield _docker(user, situation, can_have_private=obstacle is None)
    prepared = toolbox.existing(situation.cache) is not None
    if obstacle is not None:
        yield _hindered(obstacle, has_docker=user.good, prepared=prepared)
    else:
        yield ok("root rights and programs", f"farm runs as root; {', '.join(_programs())}")
    yield from _packages(prepared=prepared)
    yield _private(situation.cache, prepared=prepared)


def _docker(report: ProbeReport, situation: Situation, *, can_have_private: bool) -> Check:
    name = "your Docker"
    if report.good:
        return ok(name, f"version {report.version}, context {report.name}, has all that is needed")
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


def _hindered(error: EngineError, *, has_docker: bool, prepared: bool) -> Check:
    name = "root rights and programs"
    if has_docker and prepared:
        return warning(name, error.message, error.hint)
    return problem(name, error.message, error.hint, error.code)


def _programs() -> tuple[str, ...]:
    names = [program for program, _ in apt.HOST_TOOLS]
    return (*names, "unshare", "mount")


def _packages(*, prepared: bool) -> Iterator[Check]:
    """Debian's keys and mirror: needed for the toolbox and for every new base."""
    try:
        yield ok("Debian's archive keys", str(archive.keyring()))
    except EngineError as error:
        yield _needed_once("Debian's archive keys", error, prepared=prepared)


def _needed_once(name: str, error: EngineError, *, prepared: bool) -> Check:
    if prepared:
        return warning(name, f"{error.message}; the container tools are already here", error.hint)
    return problem(name, error.message, error.hint, error.code)


def _private(cache: Path, *, prepared: bool) -> Check:
    status = private.status(cache)
    size = size_text(status.data_bytes)
    if status.running and status.facts:
        hours = (time.time() - (status.started_s or time.time())) / 3600
        found = (
            f"runs since {hours:.1f} h: version {status.facts.version}, "
            f"{status.facts.storage_driver}, {size} of data"
        )
        if status.facts.storage_driver not in {"overlay2", "overlayfs"}:
            remedy = "put FARM_CACHE_DIR on a local disk: this driver is slow and takes much room"
            return warning("private engine", found, remedy)
        return ok("private engine", found)
    if status.pid is not None:
        return warning(
            "private engine",
            f"process {status.pid} is there but does not answer at {status.socket}",
            f"farm engine down; its log is {status.log}",
        )
    if not prepared:
        found = "not prepared: about 150 MB of Debian packages are fetched when it is needed"
        return ok("private engine", found)
    return ok("private engine", f"prepared, not running; {size} of data")
