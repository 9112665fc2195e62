"""Find the user's Docker and find out what it can do, by doing it.

Version strings don't tell: distributions build BuildKit as ``v0.0.0+unknown``,
and a new buildx can sit before an old engine.  So a build that takes 0.2 s and
needs no image uses everything that the farm's Dockerfiles use.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from farm.engine.buildx import build
from farm.engine.endpoint import Endpoint
from farm.engine.engine import small_build
from farm.engine.where import chosen_context
from farm.errors import CancelledError, EngineError, FarmError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from farm.host.programs import Cancel

REACH_TIMEOUT_S = 5.0
PROBE_TIMEOUT_S = 60.0

NO_BUILDX = "the buildx plugin"
OLD_BUILDX = "buildx with --progress=rawjson"
NO_NETWORK_FLAG = "RUN --network"
NO_HEREDOCS = "heredocs in Dockerfiles"

# A stage that the target does not need must parse, and is never run: no image is needed.
_PROBE_ALL = """\
FROM scratch AS parsed
RUN --network=none --mount=type=cache,id=farm-log,target=/c --mount=type=secret,id=s ["/none"]
FROM scratch AS probe
COPY <<farm /probe
works
farm
"""
_PROBE_HEREDOC = """\
FROM scratch AS probe
COPY <<farm /probe
works
farm
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """What is known of the user's Docker.

    ``found`` says that an engine answers; ``missing`` what it lacks then;
    ``detail`` why it was not found, or where it is; ``name`` is the context.
    ``cores`` and ``memory_bytes`` are all that its host has, 0 where it does not say.
    """

    found: bool
    name: str = ""
    version: str = ""
    missing: tuple[str, ...] = ()
    detail: str = ""
    hint: str = ""
    engine_id: str = ""
    cores: int = 0
    memory_bytes: int = 0
    endpoint: Endpoint | None = None

    @property
    def good(self) -> bool:
        """Whether the farm can build with it."""
        return self.found and not self.missing and self.endpoint is not None

    @property
    def summary(self) -> str:
        """One phrase that says what it is, or why it can't be used."""
        if not self.found:
            return f"no usable Docker ({self.detail})"
        title = f"your Docker ({self.version}, context {self.name})"
        return f"{title} lacks {' and '.join(self.missing)}" if self.missing else title


def probe_user_engine(
    *,
    timeout_s: float = REACH_TIMEOUT_S,
    other_buildx: tuple[str, ...] = (),
    cancel: Cancel | None = None,
) -> ProbeReport:
    """Look for the user's Docker and try what the farm needs of it.

    Args:
        timeout_s: How long it may take to answer at all.
        other_buildx: A buildx command to use where Docker has no plugin.
        cancel: Ends it when set.

    Raises:
        CancelledError: ``cancel`` was set; nothing else is ever raised.
    """
    docker = shutil.which("docker")
    if docker is None:
        return ProbeReport(found=False, detail="there is no docker command on the PATH")
    dead = dead_socket(os.environ)
    if dead:
        return ProbeReport(found=False, detail=dead, hint=_hint(dead))
    try:
        endpoint = current_context(docker)
        info = _info(endpoint, timeout_s=timeout_s, cancel=cancel)
    except EngineError as error:
        return ProbeReport(found=False, detail=error.message, hint=error.hint)
    report = ProbeReport(
        found=True,
        name=endpoint.name,
        version=str(info["ServerVersion"]),
        detail=endpoint.host,
        engine_id=str(info.get("ID", "")),
        cores=_size(info.get("NCPU")),
        memory_bytes=_size(info.get("MemTotal")),
    )
    missing = _platform(info)
    if missing:
        return replace(report, missing=(missing,))
    clients = (_plugin(info, endpoint), other_buildx)
    return _try_features(report, endpoint, clients, cancel or threading.Event())


def dead_socket(environment: Mapping[str, str]) -> str:
    """Return why the engine can't be there, without starting a client; or nothing.

    Only for a Unix socket that is the default, or that ``DOCKER_HOST`` names:
    one that is absent or refuses needs no further question.
    """
    host = environment.get("DOCKER_HOST", "")
    if not host:
        if environment.get("DOCKER_CONTEXT") or chosen_context(environment):
            return ""
        host = "unix:///var/run/docker.sock"
    if not host.startswith("unix://"):
        return ""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock, suppress(TimeoutError):
        sock.settimeout(REACH_TIMEOUT_S)
        try:
            sock.connect(host.removeprefix("unix://"))
        except OSError as error:
            denied = isinstance(error, PermissionError)
            return f"permission denied for {host}" if denied else f"nothing answers at {host}"
    return ""


def current_context(docker: str = "docker") -> Endpoint:
    """Return the engine that docker itself would take, pinned to it; its buildx is not known yet.

    ``BUILDX_BUILDER`` names the context's own builder: another one that the
    user has chosen does not see the images that the farm loads.

    Raises:
        EngineError: The context that the user names does not exist.
    """
    from python_on_whales import DockerClient  # takes 0.15 s: nobody else pays for it
    from python_on_whales.exceptions import DockerException

    try:
        context = DockerClient(client_call=[docker]).context.inspect(None)
        name, found = context.name, context.endpoints.get("docker")
    except DockerException as error:
        said = (error.stderr or str(error)).strip().splitlines()
        raise EngineError(
            f"docker does not know its context: {said[-1] if said else error}",
            hint="see docker context ls, and DOCKER_CONTEXT",
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:  # no Docker of Docker's
        raise EngineError("docker context inspect says nothing sensible") from error
    env = [("BUILDX_BUILDER", name)]
    if not os.environ.get("DOCKER_HOST"):  # which docker itself prefers to the context
        env.append(("DOCKER_CONTEXT", name))
    return Endpoint(
        name=name,
        kind="user",
        docker=(docker, "--context", name),
        buildx=(),
        env=tuple(env),
        host=str(found.host if found else ""),
    )


def _info(endpoint: Endpoint, *, timeout_s: float, cancel: Cancel | None) -> dict[str, Any]:
    """Ask the engine about itself.

    Raises:
        EngineError: It does not answer, or is no Docker Engine.
    """
    done = endpoint.ask("info", "--format", "{{json .}}", timeout_s=timeout_s, cancel=cancel)
    try:
        info = json.loads(done.text)
    except ValueError:
        info = {}
    if isinstance(info, dict) and info.get("ServerVersion"):
        return info
    if isinstance(info, dict) and "host" in info:  # podman's own form
        raise EngineError(
            "the docker command is podman's", hint="the farm needs Docker's BuildKit"
        )
    errors = info.get("ServerErrors") if isinstance(info, dict) else None
    said = [*(errors or []), *done.complaint.strip().splitlines()]
    text = str(said[0]) if said else f"nothing answers at {endpoint.host}"
    raise EngineError(text.removesuffix(" Is the docker daemon running?"), hint=_hint(text))


def _hint(text: str) -> str:
    if "permission denied" in text.lower():
        return "let this user talk to Docker (group docker, or rootless Docker), or run as root"
    return "start Docker, or point DOCKER_HOST or docker context use at an engine that runs"


def _try_features(
    report: ProbeReport,
    endpoint: Endpoint,
    clients: tuple[tuple[str, ...], ...],
    cancel: Cancel,
) -> ProbeReport:
    """Try one buildx after the other, those that there are, until one is new enough."""
    missing: tuple[str, ...] = (NO_BUILDX,)
    for buildx in clients:
        if buildx:
            endpoint = replace(endpoint, buildx=buildx)
            missing = missing_features(endpoint, cancel)
            report = replace(report, endpoint=endpoint)
            if missing != (OLD_BUILDX,):
                break
    return replace(report, missing=missing)


def _size(said: object) -> int:
    return said if isinstance(said, int) and said > 0 else 0


def _platform(info: dict[str, Any]) -> str:
    """Return what the engine would have to run, if it does not run it."""
    if info.get("OSType") not in (None, "", "linux"):
        return "Linux containers"
    wanted, has = platform.machine(), str(info.get("Architecture") or platform.machine())
    aliases = {"amd64": "x86_64", "arm64": "aarch64"}
    if aliases.get(has, has) != aliases.get(wanted, wanted):
        return f"the architecture {wanted} (it has {has})"
    return ""


def _plugin(info: dict[str, Any], endpoint: Endpoint) -> tuple[str, ...]:
    """Return the buildx command: the plugin itself is quicker, and one process fewer to end."""
    for plugin in (info.get("ClientInfo") or {}).get("Plugins") or ():
        if isinstance(plugin, dict) and plugin.get("Name") == "buildx" and not plugin.get("Err"):
            path = str(plugin.get("Path") or "")
            return (path,) if os.access(path, os.X_OK) else (*endpoint.docker, "buildx")
    return ()


def missing_features(endpoint: Endpoint, cancel: Cancel) -> tuple[str, ...]:
    """Return what an engine lacks, found by building.

    Raises:
        CancelledError: ``cancel`` was set.
    """
    error = _probe_build(endpoint, _PROBE_ALL, cancel)
    if not error:
        return ()
    found = _named(error)
    if found == NO_NETWORK_FLAG and _probe_build(endpoint, _PROBE_HEREDOC, cancel):
        return (NO_NETWORK_FLAG, NO_HEREDOCS)
    return (found,)


def _named(error: str) -> str:
    """Return the feature of which an error message tells."""
    if "Unknown flag: network" in error:
        return NO_NETWORK_FLAG
    if "unknown instruction" in error:
        return NO_HEREDOCS
    if "rawjson" in error or "unknown flag" in error:
        return OLD_BUILDX
    return f"a working build ({error})"


def _probe_build(endpoint: Endpoint, dockerfile: str, cancel: Cancel) -> str:
    """Build; return what was wrong, or nothing."""
    with small_build("probe", dockerfile, timeout_s=PROBE_TIMEOUT_S) as request:
        try:
            result = build(endpoint, request, lambda _: None, cancel=cancel)
            if result.exit_status:
                return result.error if "without a word" not in result.error else str(result.said)
            works = (request.output / "probe").read_text(encoding="utf-8") == "works\n"
        except CancelledError:
            raise
        except FarmError as error:
            return error.message
        except OSError as error:
            return str(error)
    return "" if works else "its output does not arrive"


def engine_identity(report: ProbeReport, *, timeout_s: float = REACH_TIMEOUT_S) -> tuple[str, str]:
    """Return id and version of the engine that answers now.

    Raises:
        OSError, EngineError: None does.
    """
    if report.endpoint is None:
        raise OSError("no endpoint")
    if report.endpoint.is_here:
        from farm.engine import daemon_api  # only where there is a socket

        info = daemon_api.get_json(report.endpoint.socket, "/info", timeout_s=timeout_s)
        return str(info.get("ID", "")), str(info.get("ServerVersion", ""))
    line = "{{.ID}} {{.ServerVersion}}"
    done = report.endpoint.ask("info", "--format", line, timeout_s=timeout_s)
    fields = done.text.split()
    if len(fields) != 2:  # noqa: PLR2004 - id and version
        raise OSError(done.complaint.strip() or "no answer")
    return fields[0], fields[1]
