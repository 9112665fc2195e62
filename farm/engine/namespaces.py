"""Starts the private engine's daemons in their own namespaces, detached from the caller.

What is done and why it must be done so was measured (see ``docs``): a second
dockerd in the host's network namespace deletes the first one's bridge; without
a process namespace of its own, a killed dockerd leaves build steps running.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

from farm.debian import archive, toolbox
from farm.errors import CancelledError, EngineError
from farm.host import process
from farm.host.programs import last_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.debian.toolbox import Toolbox
    from farm.engine.place import Place
    from farm.host.programs import Cancel

# The inner shell says who it is, in the words of proc(5), and becomes the
# program; the outer one ends at once, so that init collects the program when
# it ends, and not whoever happened to start it.
_DETACH = """
/bin/sh -c '
  cat /proc/sys/kernel/random/boot_id /proc/$$/stat >"$1.part"; mv "$1.part" "$1"; shift; exec "$@"
' farm "$@" &
"""

# Run by the host's sh as the first process of new namespaces: tree, data
# folder, run folder, the file descriptor that the network program waits on.
_ENGINE = """
set -eu
root=$1; data=$2; run=$3; ca=$4; lifeline=$5
# dash knows one digit only; a descriptor that stays open ends with the namespace all the same
case $lifeline in ?) eval "exec $lifeline>&-" ;; esac
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount -t sysfs sysfs sys 2>/dev/null || mount --rbind /sys sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs -o mode=0755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mkdir run/engine run/bin
mount --bind "$run" run/engine
mount --bind "$data" srv
for name in resolv.conf hosts; do mount --bind "$run/$name" "etc/$name"; done
if [ -n "$ca" ]; then mount --bind "$ca" etc/ssl/certs/ca-certificates.crt; fi
pivot_root . mnt
cd /
PATH=/run/bin:/usr/sbin:/usr/bin
hash -r
umount -l /mnt
mount -o remount,bind,ro /
iptables=false
for kind in nft legacy; do
  if "iptables-$kind" -t nat -n -L >/dev/null 2>&1; then
    for name in iptables ip6tables; do ln -s "/usr/sbin/$name-$kind" "/run/bin/$name"; done
    iptables=true
    break
  fi
done
exec tini -- dockerd --config-file /run/engine/daemon.json --iptables=$iptables
"""

_DETACH_S = 30.0
_NETWORK_S = 60.0
_POLL_S = 0.1
_RESOLVER = "10.0.2.3"
"""Where slirp4netns answers name queries, with what the host itself would find."""


def detach(
    command: Sequence[str],
    identity: Path,
    log: Path,
    *,
    env: dict[str, str],
    inherited: Sequence[int] = (),
) -> process.ProcessId | None:
    """Start a program that outlives this one.

    Args:
        command: The program and its arguments.
        identity: File that the program's identity is written to, before it starts.
        log: File that its output is appended to.
        env: Its whole environment.
        inherited: File descriptors that it gets.

    Returns:
        Who it is, or None if it has ended already.

    Raises:
        EngineError: The machine starts no further process.
    """
    identity.unlink(missing_ok=True)
    with log.open("ab") as output:
        # Not by farm.host.programs, which ends with its caller what it starts.
        ended = subprocess.run(
            ["/bin/sh", "-c", _DETACH, "farm", str(identity), *command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            cwd="/",
            pass_fds=tuple(inherited),
            start_new_session=True,
            umask=0o022,
            check=False,
        )
    if ended.returncode:
        raise EngineError(f"cannot start {command[0]}", hint=f"see {log}")
    deadline = time.monotonic() + _DETACH_S
    while not identity.exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    return process.read_identity(identity)


def start_engine(tools: Toolbox, place: Place, data: Path, *, lifeline: int) -> process.ProcessId:
    """Start dockerd in namespaces of its own (network, mounts, processes, IPC).

    ``data`` is the folder of its images and caches, ``lifeline`` the writing end of a
    pipe that stays open as long as it lives.

    Raises:
        EngineError: It ended at once.
    """
    (place.run / "resolv.conf").write_text(f"nameserver {_RESOLVER}\n", encoding="ascii")
    # Without this, dockerd asks the network where localhost is, and on a machine
    # that is offline waits ten seconds for the answer.
    (place.run / "hosts").write_text("127.0.0.1 localhost\n::1 localhost\n", encoding="ascii")
    space = ("--net", "--mount", "--pid", "--ipc", "--propagation", "private")
    arguments = (tools.root, data, place.run, archive.ca_bundle(), lifeline)
    command = (
        *("unshare", *space, "--fork", "--kill-child"),
        *("/bin/sh", "-c", _ENGINE, "farm"),
        *(str(argument) for argument in arguments),
    )
    variables = {
        **toolbox.host_environment(),
        # Builds with long logs are clipped otherwise (moby/buildkit defaults: 2 MiB, 200 KiB/s).
        "BUILDKIT_STEP_LOG_MAX_SIZE": "-1",
        "BUILDKIT_STEP_LOG_MAX_SPEED": "-1",
    }
    file = place.engine_identity
    started = detach(command, file, place.log, env=variables, inherited=(lifeline,))
    if started is None:
        raise EngineError("the private engine ended at once")
    return started


def start_network(
    tools: Toolbox, place: Place, engine: process.ProcessId, *, lifeline: int, cancel: Cancel
) -> None:
    """Connect the engine's network namespace to the outside, through a user-space stack.

    Raises:
        EngineError: It did not come up.
        CancelledError: ``cancel`` was set.
    """
    _await_own_network(engine)
    read_end, write_end = os.pipe()
    try:
        command = tools.inside(
            (
                *("slirp4netns", "--configure", "--mtu=65520", "--disable-host-loopback"),
                *(f"--exit-fd={lifeline}", f"--ready-fd={write_end}"),
                *(str(engine.pid), "tap0"),
            ),
            own_processes=False,
        )
        env = toolbox.host_environment()
        inherited = (lifeline, write_end)
        files = (place.network_identity, place.network_log)
        started = detach(command, *files, env=env, inherited=inherited)
    finally:
        os.close(write_end)
    with os.fdopen(read_end, "rb"):
        is_up = ready(read_end, cancel)
    if started is None or not is_up:
        raise EngineError(
            "the private engine's network (slirp4netns) did not come up",
            hint=f"see {place.network_log}; it needs /dev/net/tun",
            details=last_lines(place.network_log.read_text("utf-8", "replace"), 8),
        )


def ready(pipe: int, cancel: Cancel) -> bool:
    """Wait until a program writes ``1`` to a pipe; False if it ends, or takes too long.

    Raises:
        CancelledError: ``cancel`` was set.
    """
    deadline = time.monotonic() + _NETWORK_S
    while time.monotonic() < deadline:
        check(cancel)
        if select.select([pipe], [], [], _POLL_S)[0]:
            return os.read(pipe, 1) == b"1"
    return False


def check(cancel: Cancel) -> None:
    """Raise CancelledError when ``cancel`` is set."""
    if cancel.is_set():
        raise CancelledError("cancelled while the private engine was starting")


def _await_own_network(engine: process.ProcessId) -> None:
    """Wait until the process has left the host's network namespace."""
    host = Path("/proc/self/ns/net").readlink()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and engine.alive():
        try:
            if Path(f"/proc/{engine.pid}/ns/net").readlink() != host:
                return
        except OSError:
            break
        time.sleep(0.01)
    raise EngineError("the private engine's namespaces could not be made")


def daemon_config(*, cgroup_parent: str, cache_bytes: int) -> dict[str, object]:
    """Return dockerd's whole configuration; paths are those inside its tree.

    BuildKit keeps ``cache_bytes`` of layers and cache mounts, and lets go what was used longest
    ago, never what is in use: a minute after a build.  With no rule of our own, cache mounts
    would go after two days.  Contexts, each sent under a name of its own, are of little use
    once they were built: they go first, as soon as all together takes an eighth.
    """
    rules = [
        {"filter": ["type=source.local"], "keepStorage": str(cache_bytes // 8)},
        {"all": True, "keepStorage": str(cache_bytes)},
    ]
    return {
        "data-root": "/srv",
        "exec-root": "/run/docker",
        "pidfile": "/run/docker.pid",
        "hosts": ["unix:///run/engine/docker.sock"],
        "userland-proxy": False,
        "dns": [_RESOLVER],
        # Steps go below it too.  Said of each build, it would be part of the cache's keys.
        "cgroup-parent": cgroup_parent,
        "exec-opts": ["native.cgroupdriver=cgroupfs"],  # no systemd is reachable from there
        "log-level": "warn",
        "shutdown-timeout": 5,
        "builder": {"gc": {"enabled": True, "policy": rules}},
    }
