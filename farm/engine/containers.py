"""Containers of the farm's own on a Docker Engine: bounded, and never left behind.

One whose farm was killed is removed when the next one is made: its label says whose it is.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import EngineError
from farm.host.process import ProcessId, identify
from farm.host.programs import last_lines

if TYPE_CHECKING:
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
    name = f"{_PREFIX}{secrets.token_hex(8)}"
    try:
        sweep(endpoint)
        _create(endpoint, name, container, cancel)
        done = endpoint.ask(
            *("start", "--attach", "--interactive", name),
            stdin=container.stdin,
            merged=True,
            cancel=cancel,
            timeout_s=container.timeout_s,
        )
        state = endpoint.ask("inspect", "--format", "{{.State.Status}}", name)
        if state.status or state.text.strip() == _NOT_RUN:
            raise _not_run(endpoint, container, done.text)
        return done
    finally:
        # What ended the container counts, and the next one sweeps what could not be removed.
        with suppress(EngineError):
            endpoint.ask("rm", "--force", "--volumes", name)
            if container.disposable:
                endpoint.ask("rmi", container.image)


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
    options = ("--interactive", "--network=none", "--label", f"{LABEL}={this_farm()}", *devices)
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
