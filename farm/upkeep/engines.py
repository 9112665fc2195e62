"""What builds run on: rights, programs, the user's Docker, the private engine."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from farm.debian import apt, archive, toolbox
from farm.engine import private
from farm.engine.probe import probe_user_engine
from farm.errors import EngineError, ExitCode
from farm.upkeep.checks import ok, problem, size_text, warning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.engine.probe import ProbeReport
    from farm.upkeep.checks import Check, Situation

_ROOTLESS_PROGRAMS = (("newuidmap", "uidmap"), ("newgidmap", "uidmap"))
_SYSCTLS = (
    "kernel.unprivileged_userns_clone",
    "user.max_user_namespaces",
    "kernel.apparmor_restrict_unprivileged_userns",
)
_PROBE_S = 3.0
_PASSED_OVER = "farm uses its private engine instead"


def user_engine() -> ProbeReport:
    """Look for the user's Docker; it may take some seconds."""
    return probe_user_engine(timeout_s=_PROBE_S)


def checks(situation: Situation, user: ProbeReport) -> Iterator[Check]:
    """Look at the engines; ``user`` is what `user_engine` found."""
    obstacles = tuple(_obstacles())
    yield _docker(user, situation, can_have_private=not obstacles)
    prepared = toolbox.existing(situation.cache) is not None
    if obstacles:
        yield from _hindered(obstacles, has_docker=user.good, prepared=prepared)
    else:
        yield ok("root or rootless tools", _rights())
        yield ok("programs for bootstrapping", ", ".join(_programs()))
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


def _obstacles() -> Iterator[EngineError]:
    """Why this user on this machine can neither bootstrap nor start a private engine."""
    try:
        toolbox.require_host()
    except EngineError as error:
        yield error


def _hindered(
    obstacles: tuple[EngineError, ...], *, has_docker: bool, prepared: bool
) -> Iterator[Check]:
    for error in obstacles:
        missing = rootless_obstacles() if os.geteuid() else ()
        found = "; ".join((error.message, *missing))
        if has_docker and prepared:
            yield warning("root or rootless tools", found, error.hint)
        else:
            yield problem("root or rootless tools", found, error.hint, error.code)


def _rights() -> str:
    if os.geteuid() == 0:
        return "farm runs as root"
    missing = rootless_obstacles()
    return f"farm runs as {_user_name()}; " + ("; ".join(missing) or "all rootless tools")


def rootless_obstacles() -> tuple[str, ...]:
    """What is missing for namespaces without root, each in a phrase."""
    found = [
        f"{program} is missing (package {package})"
        for program, package in _ROOTLESS_PROGRAMS
        if shutil.which(program) is None
    ]
    user = _user_name()
    found += [
        f"{file} has no range of 65536 for {user}"
        for file in (Path("/etc/subuid"), Path("/etc/subgid"))
        if not has_range(file, user, os.geteuid())
    ]
    if not _can_make_user_namespace():
        found.append(f"unprivileged user namespaces are off (sysctl {', '.join(_SYSCTLS)})")
    return tuple(found)


def _user_name() -> str:
    # not getpass: after sudo the variables that it reads may still name somebody else
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def has_range(file: Path, user: str, uid: int) -> bool:
    """Whether subuid(5) or subgid(5) gives a user enough ids for a whole system."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    fields = [line.split(":") for line in lines]
    return any(
        len(f) == 3 and f[0] in {user, str(uid)} and f[2].isdecimal() and int(f[2]) >= 65_536  # noqa: PLR2004 - fields and ids
        for f in fields
    )


def _can_make_user_namespace() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    command = [unshare, "--user", "--map-root-user", "true"]
    return subprocess.run(command, capture_output=True, check=False, timeout=5).returncode == 0


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
