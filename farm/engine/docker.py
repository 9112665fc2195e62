"""Docker Engine as an `Engine`: the user's and the private one alike."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.engine import buildx, containers, daemon_api, images, storage
from farm.errors import EngineError
from farm.host.machine import Machine, this_machine

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path

    from farm.debian.bases import BaseImage
    from farm.engine.endpoint import Endpoint
    from farm.engine.engine import BuildRequest, BuildResult, Container, Session
    from farm.events import Sink
    from farm.host.programs import Cancel, Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerEngine:
    """A Docker Engine, reached by its own clients; see `farm.engine.engine.Engine`."""

    endpoint: Endpoint

    @property
    def name(self) -> str:
        """The context's name, or ``private``."""
        return self.endpoint.name

    @property
    def kind(self) -> str:
        """``user`` or ``private``."""
        return self.endpoint.kind

    def version(self) -> str:
        """The Docker Engine's version."""
        try:
            if self.endpoint.is_here:
                answer = daemon_api.get(self.endpoint.socket, "/version")
                return str(json.loads(answer)["Version"])
            return self.endpoint.ask("version", "--format", "{{.Server.Version}}").text.strip()
        except (OSError, ValueError, LookupError, TypeError, EngineError):
            return ""

    def solve(self, request: BuildRequest, sink: Sink, *, cancel: Cancel) -> BuildResult:
        """Build with buildx; see `farm.engine.buildx.build`."""
        return buildx.build(self.endpoint, request, sink, cancel=cancel)

    def load(self, image: BaseImage, *, cancel: Cancel) -> None:
        """Load a base; see `farm.engine.images.load`."""
        images.load(image, self.endpoint, cancel=cancel)

    def run(self, container: Container, *, cancel: Cancel) -> Finished:
        """Run a container; see `farm.engine.containers.run`."""
        return containers.run(self.endpoint, container, cancel=cancel)

    def session(self, container: Container, *, cancel: Cancel) -> AbstractContextManager[Session]:
        """A container to be in; see `farm.engine.containers.session`."""
        return containers.session(self.endpoint, container, cancel=cancel)

    def storage(self) -> Path | None:
        """See `farm.engine.storage.folder_of`."""
        return storage.folder_of(self.endpoint)

    def capacity(self) -> Machine:
        """This machine's, or of an engine elsewhere all that its host has."""
        if self.endpoint.is_here:
            return this_machine()
        told = self.endpoint.ask("info", "--format", "{{.NCPU}} {{.MemTotal}}")
        fields = told.text.split()
        if len(fields) != 2 or not all(field.isdecimal() for field in fields):  # noqa: PLR2004 - both
            raise EngineError(
                f"the engine {self.name} does not say what it has",
                hint="see farm doctor",
                details=told.last_words,
            )
        cores, memory = map(int, fields)
        return Machine(cores=cores, memory_bytes=memory, total_bytes=memory)
