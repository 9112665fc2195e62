"""An engine that a build can be sent to, as plain values, and asking its client."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from farm.errors import EngineError
from farm.host import programs

if TYPE_CHECKING:
    from farm.host.programs import Cancel, Finished

ENGINE_VARIABLES = ("BUILDX_BUILDER", "BUILDX_CONFIG")
"""Variables that, like all of ``DOCKER_*``, steer the user's clients."""
_PASSED_ON = frozenset(
    {"HOME", "LANG", "LOGNAME", "PATH", "USER", "SSH_AUTH_SOCK", "SSL_CERT_DIR", "SSL_CERT_FILE"}
    | {"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"}
    | {"TMPDIR", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"}
)
_FIXED = {"BUILDX_NO_DEFAULT_ATTESTATIONS": "1", "BUILDX_GIT_INFO": "false"}
ANSWER_S = 60.0
"""In what time an engine, however busy its machine is, answers a question."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """How to reach one engine.

    ``docker`` is what a docker command begins with, connection options included
    (``docker -H unix://…``, ``docker --context x``).  ``buildx`` is the same for
    buildx (``docker-buildx``, or ``docker buildx``); it finds its engine through
    ``env``, all the variables that both clients need besides the process's own.
    ``host`` is the engine's address (``unix://…``, ``ssh://…``), ``data`` the folder of a private
    one's images and layers.
    """

    name: str
    kind: Literal["user", "private"]
    docker: tuple[str, ...]
    buildx: tuple[str, ...]
    env: tuple[tuple[str, str], ...] = ()
    host: str = ""
    data: Path | None = None

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host.startswith("unix://")

    @property
    def socket(self) -> Path:
        """The socket of one that is here."""
        return Path(self.host.removeprefix("unix://"))

    def environment(self) -> dict[str, str]:
        """Return the whole environment for its clients: how to reach it, and little else.

        buildx turns some variables (``SOURCE_DATE_EPOCH``, ``BUILDX_*``) into part of the
        build; what is built must not depend on the user's shell.  For the private engine
        none of the user's ``DOCKER_*`` gets through.
        """
        users = self.kind == "user"
        kept = {
            name: value
            for name, value in os.environ.items()
            if name in _PASSED_ON
            or name.startswith("LC_")
            or (users and (name.startswith("DOCKER_") or name in ENGINE_VARIABLES))
        }
        return kept | _FIXED | dict(self.env)

    def ask(
        self,
        *arguments: str,
        stdin: bytes = b"",
        merged: bool = False,
        cancel: Cancel | None = None,
        timeout_s: float | None = ANSWER_S,
    ) -> Finished:
        """Run a docker command to its end; a status that is not 0 is the caller's to judge.

        Raises:
            EngineError: There is no client, or it did not end in time.
            CancelledError: ``cancel`` was set.
        """
        try:
            return programs.run(
                (*self.docker, *arguments),
                env=self.environment(),
                stdin=stdin,
                merged=merged,
                cancel=cancel,
                timeout_s=timeout_s,
            )
        except programs.MissingProgramError as error:
            raise EngineError(f"there is no program {error}", hint="run farm doctor") from error
        except TimeoutError as error:
            where = self.host or self.name
            what = f"'docker {arguments[0]}' at {where} did not end within {timeout_s:g} s"
            raise EngineError(what, hint="check that the engine answers (DOCKER_HOST)") from error
        except OSError as error:
            raise EngineError(f"docker cannot be started: {error.strerror}") from error
