"""One interface to whatever builds: a run knows an `Engine`, and nothing of where that is."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from farm.debian.bases import BaseImage
    from farm.engine.caches import LayerCache
    from farm.engine.rawjson import StepSummary
    from farm.events import Sink
    from farm.host.machine import Machine
    from farm.host.programs import Cancel, Finished


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildRequest:
    """What to build, and where the result goes.

    ``output`` is a folder to which the target's files are copied; nothing is
    kept in the engine but its cache, unless ``image`` names an image that the
    target becomes there instead.  ``secrets`` are ids and files, so that no
    secret is in a command line.  Layers come from and go to the caches named.
    """

    unit: str
    context: Path
    dockerfile: Path
    target: str
    output: Path
    image: str = ""
    build_args: tuple[tuple[str, str], ...] = ()
    secrets: tuple[tuple[str, Path], ...] = ()
    cache_from: tuple[LayerCache, ...] = ()
    cache_to: tuple[LayerCache, ...] = ()
    timeout_s: float | None = None


MOUNTS_APART = ("BUILDKIT_CACHE_MOUNT_NS", "farm-apart")
"""A build argument that gives a build cache mounts of its own (Dockerfile reference, BuildKit):
what programs of others write there, no build of ours reads."""


@contextmanager
def small_build(name: str, dockerfile: str, *, timeout_s: float) -> Iterator[BuildRequest]:
    """A build of the stage ``name`` with an empty context, in a folder that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"farm-{name}-") as folder:
        request = BuildRequest(
            unit=name,
            context=Path(folder, "context"),
            dockerfile=Path(folder, "Dockerfile"),
            target=name,
            output=Path(folder, "out"),
            timeout_s=timeout_s,
        )
        request.context.mkdir()
        request.dockerfile.write_text(dockerfile, encoding="utf-8")
        yield request


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildResult:
    """How a build ended that ran to its end, well or not.

    ``error`` is what BuildKit says (``failed to solve: …``), empty on success;
    ``farm_errors`` is what the programs in the container said after ``farm:
    error:``; ``said`` the last plain lines; ``no_space`` is True when a step wrote
    that the disk is full.
    """

    exit_status: int
    seconds: float
    steps: tuple[StepSummary, ...] = ()
    error: str = ""
    farm_errors: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    no_space: bool = False

    @property
    def failed_step(self) -> str:
        """The step that failed, or nothing."""
        failed = [step for step in self.steps if step.error]
        own = [step for step in failed if "context canceled" not in step.error]
        return next((step.name for step in own or failed), "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A container of an image that the engine has: without network, gone when it has ended.

    ``devices`` are nodes as (on the engine's host, inside), ``files`` are copied
    in: (here, inside), links followed.  ``env`` is added to the image's, ``folder`` is
    where it runs if not where the image says; with ``terminal`` it gets one.  With
    ``disposable`` the image's name goes with it, however it ends; its layers stay in the
    build cache.
    """

    image: str
    command: tuple[str, ...]
    stdin: bytes = b""
    devices: tuple[tuple[str, str], ...] = ()
    files: tuple[tuple[Path, str], ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    folder: str = ""
    terminal: bool = False
    timeout_s: float | None = None
    disposable: bool = False


class Session(Protocol):
    """A container that somebody is in."""

    def attach(self) -> int:
        """Run its command with this process's own input and output; returns its status.

        Raises:
            EngineError: It cannot be started.
        """

    def changed(self) -> list[tuple[str, str]]:
        """What is not as in its image: ``A`` (added), ``C`` (changed) or ``D`` (deleted), path.

        Raises:
            EngineError: The engine does not answer.
        """

    def copy_out(self, inside: str, here: Path) -> bool:
        """Copy a file out; False where there is none.

        Raises:
            EngineError: The engine does not answer.
        """


class Engine(Protocol):
    """What a run needs of an engine; all of it may be called from several threads."""

    @property
    def name(self) -> str:
        """What people call it; the record names it."""

    @property
    def kind(self) -> str:
        """``user``, ``private``, or of what kind else it is."""

    def version(self) -> str:
        """What it calls its version, for the record; empty where it does not say."""

    def solve(self, request: BuildRequest, sink: Sink, *, cancel: Cancel) -> BuildResult:
        """Build, emitting events from another thread, and return how it ended.

        A step that fails is a result, with its error.  Nothing keeps running after
        the return, whatever happened.

        Raises:
            CancelledError: ``cancel`` was set; soon after that.
            BuildError: It took longer than the request's ``timeout_s``.
            EngineError: The engine is not there, went away, or stopped answering.
            StorageError: The engine or the output folder has no space left.
            OutOfMemoryError: A step was killed, most likely by the kernel.
        """

    def load(self, image: BaseImage, *, cancel: Cancel) -> None:
        """Make sure that the engine has a base under its tag.

        Raises:
            BaseError: The engine refuses the archive.
            EngineError: The engine cannot be reached.
            StorageError: The engine's disk is full.
            CancelledError: ``cancel`` was set.
        """

    def run(self, container: Container, *, cancel: Cancel) -> Finished:
        """Run a container to its end; returns its status and all that it printed.

        Raises:
            EngineError: It cannot be made or started, or does not end in time.
            CancelledError: ``cancel`` was set.
        """

    def session(self, container: Container, *, cancel: Cancel) -> AbstractContextManager[Session]:
        """A container to be in, not started yet; it goes when the context ends.

        Raises:
            EngineError: It cannot be made.
            CancelledError: ``cancel`` was set.
        """

    def storage(self) -> Path | None:
        """The folder of its images and layers, if that is on this machine."""

    def capacity(self) -> Machine:
        """Cores and memory that builds on it may use, all together.

        Raises:
            EngineError: The engine cannot be reached.
        """
