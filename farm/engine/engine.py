"""What a run asks of an engine, whichever it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading

    from farm.debian.bases import BaseImage
    from farm.engine.buildx import BuildRequest, BuildResult
    from farm.engine.endpoint import Endpoint
    from farm.events import Sink
    from farm.host.machine import Machine


class Engine(Protocol):
    """Solves builds, holds images, runs containers."""

    @property
    def name(self) -> str:
        """How it is told."""

    @property
    def endpoint(self) -> Endpoint:
        """How it is reached."""

    def solve(self, request: BuildRequest, sink: Sink, *, cancel: threading.Event) -> BuildResult:
        """Build what is asked for; see `farm.engine.buildx.build`."""

    def load(self, image: BaseImage, *, cancel: threading.Event) -> None:
        """Make sure that it has a base; see `farm.engine.images.load`."""

    def capacity(self) -> Machine:
        """What it has to offer to builds."""
