"""An engine that a build can be sent to, as plain values."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Literal

ENGINE_VARIABLES = ("BUILDKIT_HOST", "BUILDX_BUILDER", "BUILDX_CONFIG")
"""Variables that, like all of ``DOCKER_*``, steer the clients; never inherited by accident."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How to reach one engine.

    ``docker`` is what a docker command begins with, connection options included
    (``docker -H unix://…``, ``docker --context x``).  ``buildx`` is the same for
    buildx (``docker-buildx``, or ``docker buildx``); it finds its engine through
    ``env``, all the variables that both clients need besides the process's own.
    ``cgroup_parent`` is the cgroup that is the farm's own on that engine, if any.
    """

    name: str
    kind: Literal["user", "private"]
    docker: tuple[str, ...]
    buildx: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    cgroup_parent: str = ""

    def environment(self) -> dict[str, str]:
        """Return the whole environment for a client process.

        For the private engine none of the user's ``DOCKER_*`` gets through.
        """
        inherited = dict(os.environ)
        if self.kind == "private":
            inherited = {
                name: value
                for name, value in inherited.items()
                if not name.startswith("DOCKER_") and name not in ENGINE_VARIABLES
            }
        return inherited | dict(self.env)
