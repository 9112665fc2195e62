"""The few questions put to an engine's socket directly: faster than starting a client."""

from __future__ import annotations

import http.client
import json
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonFacts:
    """What an engine says about itself."""

    version: str
    api_version: str
    storage_driver: str
    cgroup_version: str


class _UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self.sock.settimeout(self.timeout)
            self.sock.connect(self._path)
        except BaseException:
            self.sock.close()
            raise


def get(path: Path, resource: str, *, timeout_s: float = 5) -> bytes:
    """Return what the engine at the socket ``path`` answers.

    Raises:
        OSError: Nobody answers, not in time, or not with success.
    """
    connection = _UnixConnection(path, timeout_s)
    try:
        connection.request("GET", resource)
        answer = connection.getresponse()
        body = answer.read()
    except http.client.HTTPException as error:
        raise OSError(f"no HTTP at {path}: {error!r}") from error
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK:
        raise OSError(f"{resource} at {path}: {answer.status} {answer.reason}")
    return body


def answers(path: Path, *, timeout_s: float = 2) -> bool:
    """Tell whether an engine answers at the socket."""
    try:
        get(path, "/_ping", timeout_s=timeout_s)
    except OSError:
        return False
    return True


def get_json(path: Path, resource: str, *, timeout_s: float = 5) -> dict[str, Any]:
    """Return the object that the engine at the socket ``path`` answers; raises as `get`."""
    try:
        found = json.loads(get(path, resource, timeout_s=timeout_s))
    except ValueError as error:
        raise OSError(f"no JSON at {path}") from error
    return found if isinstance(found, dict) else {}


def facts(path: Path) -> DaemonFacts:
    """Ask an engine for its versions and storage.

    Raises:
        OSError: It does not answer.
    """
    version = get_json(path, "/version")
    info = get_json(path, "/info", timeout_s=20)
    return DaemonFacts(
        version=str(version.get("Version", "")),
        api_version=str(version.get("ApiVersion", "")),
        storage_driver=str(info.get("Driver", "")),
        cgroup_version=str(info.get("CgroupVersion", "")),
    )
