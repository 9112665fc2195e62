"""An engine that is a dockerd: the user's, or farm's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from farm.engine import buildx, images
from farm.host.machine import Machine, this_machine

if TYPE_CHECKING:
    import threading

    from farm.debian.bases import BaseImage
    from farm.engine.endpoint import Endpoint
    from farm.events import Sink


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerEngine:
    """See `farm.engine.engine.Engine`."""

    endpoint: Endpoint

    @property
    def name(self) -> str:
        """How it is told."""
        return self.endpoint.name

    def solve(
        self, request: buildx.BuildRequest, sink: Sink, *, cancel: threading.Event
    ) -> buildx.BuildResult:
        """Build what is asked for; see `farm.engine.buildx.build`."""
        return buildx.build(self.endpoint, request, sink, cancel=cancel)

    def load(self, image: BaseImage, *, cancel: threading.Event) -> None:
        """Make sure that it has a base; see `farm.engine.images.load`."""
        del cancel
        images.load(image, self.endpoint)

    def capacity(self) -> Machine:
        """What it has to offer to builds."""
        return this_machine()
