"""Containers of the farm's own on a Docker Engine: bounded, and never left behind.

One whose farm was killed is removed when the next one is made: its label says whose it is.
"""

from __future__ import annotations

import os
import secrets
import subprocess
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import EngineError
from farm.host.process import ProcessId, identify
from farm.host.programs import last_lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.engine.endpoint import Endpoint
    from farm.engine.engine import Container
    from farm.host.programs import Cancel, Finished

LABEL = "farm.owner"
_PREFIX = "farm-"
_COPY_TIMEOUT_S = 600.0
_NOT_RUN = "created"
"""The state of a container that never came to run."""


def run(endpoint: Endpoint, container: Container, *, cancel: Cancel) -> Finished:
    """Run a container; see `farm.engine.engine.Engine.run`.

    What it reads and gets comes through the client: the engine need not see our files.
    """
    with session(endpoint, container, cancel=cancel) as made:
        done = endpoint.ask(
            *("start", "--attach", "--interactive", made.name),
            stdin=container.stdin,
            merged=True,
            cancel=cancel,
            timeout_s=container.timeout_s,
        )
        made.require_run(done.text)
        return done


@contextmanager
def session(endpoint: Endpoint, container: Container, *, cancel: Cancel) -> Iterator[_Session]:
    """A container that is there, but not started; see `farm.engine.engine.Engine.session`."""
    name = f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        sweep(endpoint)
        _create(endpoint, name, container, cancel)
        yield _Session(endpoint=endpoint, container=container, name=name)
    finally:
        # What ended the container counts, and the next one sweeps what could not be removed.
        with suppress(EngineError):
            endpoint.ask("rm", "--force", "--volumes", name)
            if container.disposable:
                endpoint.ask("rmi", container.image)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    """A container by its name; see `farm.engine.engine.Session`."""

    endpoint: Endpoint
    container: Container
    name: str

    def attach(self) -> int:
        """Run its command with our own input and output, to which no time is set."""
        argv = [*self.endpoint.docker, "start", "--attach", "--interactive", self.name]
        try:
            status = subprocess.call(argv, env=self.endpoint.environment())
        except OSError as error:
            raise EngineError(f"docker cannot be started: {error.strerror}") from error
        self.require_run("")
        return status

    def require_run(self, said: str) -> None:
        """Refuse one that never came to run.

        Raises:
            EngineError: It did not.
        """
        state = self.endpoint.ask("inspect", "--format", "{{.State.Status}}", self.name)
        if state.status or state.text.strip() == _NOT_RUN:
            raise _not_run(self.endpoint, self.container, said)

    def changed(self) -> list[tuple[str, str]]:
        """What is not as in the image."""
        done = self.endpoint.ask("diff", self.name, timeout_s=_COPY_TIMEOUT_S)
        if done.status:
            raise _not_run(self.endpoint, self.container, done.complaint)
        lines = (line.partition(" ") for line in done.text.splitlines())
        return [(kind, path) for kind, _, path in lines if kind in {"A", "C", "D"}]

    def copy_out(self, inside: str, here: Path) -> bool:
        """Copy a file out; a link stays one."""
        done = self.endpoint.ask(
            "cp", f"{self.name}:{inside}", str(here), timeout_s=_COPY_TIMEOUT_S
        )
        return done.status == 0


def sweep(endpoint: Endpoint) -> None:
    """Remove the containers of farms that were killed.

    Raises:
        EngineError: The engine does not answer.
    """
    line = f'{{{{.ID}}}} {{{{.Label "{LABEL}"}}}}'
    listed = endpoint.ask("ps", "--all", "--filter", f"label={LABEL}", "--format", line)
    owners = (line.partition(" ") for line in listed.text.splitlines())
    dead = [name for name, _, owner in owners if is_dead(owner, is_here=endpoint.is_here)]
    if dead:
        endpoint.ask("rm", "--force", "--volumes", *dead)


def this_farm() -> str:
    """The label's value: this process, as no other of any machine is called."""
    me = identify(os.getpid())
    if me is None:
        raise RuntimeError("/proc does not know this process")
    return f"{me.boot_id}:{_pid_namespace()}:{me.pid}:{me.start_ticks}"


def is_dead(owner: str, *, is_here: bool) -> bool:
    """Whether the farm of a label has certainly ended.

    Only of this boot's processes, in this process namespace, can that be told; an
    earlier boot's ended with it, where the engine is on this machine (``is_here``).
    """
    boot_id, _, rest = owner.partition(":")
    me = identify(os.getpid())
    if me is None or not rest:
        return False
    if boot_id != me.boot_id:
        return is_here
    namespace, *numbers = rest.split(":")
    if namespace != _pid_namespace() or not all(number.isdecimal() for number in numbers):
        return False
    pid, start_ticks = map(int, numbers)
    return not ProcessId(pid=pid, start_ticks=start_ticks, boot_id=boot_id).alive()


def _pid_namespace() -> str:
    return str(Path("/proc/self/ns/pid").stat().st_ino)


def _create(endpoint: Endpoint, name: str, container: Container, cancel: Cancel) -> None:
    devices = [word for pair in container.devices for word in ("--device", ":".join(pair))]
    options = ["--interactive", "--network=none", "--label", f"{LABEL}={this_farm()}", *devices]
    options += ["--tty"] if container.terminal else []
    options += ["--workdir", container.folder] if container.folder else []
    options += [word for name, value in container.env for word in ("--env", f"{name}={value}")]
    commands = [("create", "--name", name, *options, container.image, *container.command)]
    commands += [("cp", "--follow-link", str(a), f"{name}:{b}") for a, b in container.files]
    for command in commands:
        done = endpoint.ask(*command, cancel=cancel, timeout_s=_COPY_TIMEOUT_S)
        if done.status:
            raise _not_run(endpoint, container, done.complaint)


def _not_run(endpoint: Endpoint, container: Container, said: str) -> EngineError:
    hint = "the devices must be on the machine that the engine runs on; see farm doctor"
    return EngineError(
        f"the engine {endpoint.name} cannot run a container of {container.image}",
        hint=hint if container.devices else "see farm doctor",
        details=last_lines(said, 5),
    )
