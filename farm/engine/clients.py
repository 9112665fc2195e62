"""The toolbox's docker and buildx, as commands that work outside of it."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from farm.engine.endpoint import Endpoint
from farm.host.files import write_whole

if TYPE_CHECKING:
    from pathlib import Path

    from farm.debian.toolbox import Toolbox

_DOCKER = "usr/bin/docker"
_BUILDX = "usr/libexec/docker/cli-plugins/docker-buildx"


def endpoint(folder: Path, tools: Toolbox, *, socket: Path, cgroup: str) -> Endpoint:
    """Return how to reach the private engine at ``socket``.

    ``folder`` gets the clients' own configuration: neither the user's plugins
    nor the user's contexts have a say.
    """
    config = folder / "docker-config"
    buildx = tools.on_host(_BUILDX)
    _write_plugin(config / "cli-plugins/docker-buildx", buildx)
    host = f"unix://{socket}"
    return Endpoint(
        name="private",
        kind="private",
        docker=(*tools.on_host(_DOCKER), "-H", host),
        buildx=buildx,
        env=(("DOCKER_CONFIG", str(config)), ("DOCKER_HOST", host)),
        host=host,
        cgroup_parent=cgroup,
    )


def _write_plugin(plugin: Path, command: tuple[str, ...]) -> None:
    """Make ``docker buildx`` work, for whoever goes through the docker command."""
    text = f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n'
    try:
        if plugin.read_text(encoding="utf-8") == text:
            return
    except OSError:
        pass
    write_whole(plugin, text, mode=0o755)
