"""The user's own Docker, for real: a throwaway machine for each generation of Docker Engine.

Every generation comes from a Debian suite, whole (C library, containerd, runc,
iptables and client included), is unpacked once per cache folder, and runs as
on a machine of its own: root file system, ``/etc/docker/daemon.json``, bridge,
iptables, processes and data.  Never in this machine's network namespace: a
second dockerd there deletes the first one's bridge.
"""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import tarfile
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from farm.debian import toolbox
from farm.engine import daemon_api
from farm.engine.endpoint import ENGINE_VARIABLES
from farm.errors import EngineError
from farm.host import process
from farm.host.programs import last_lines
from tests.support.docker_trees import DATA_ROOT, Generation, Tree, prepare

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from farm.events import Sink

BRIDGE_ADDRESS = "10.213.77.1/24"
"""What every ``daemon.json`` here gives to docker0; Docker's own default is 172.17.0.1/16."""
LABEL = "belongs-to=the-user"
IMAGE = "of-the-user:1"
"""An image that every Docker here has from the start."""


_PREFIX = "farm-docker-"
_START_TIMEOUT_S = 300.0
_CGROUPS = Path("/sys/fs/cgroup")


# Run by the host's sh as the first process of new namespaces: the generation's
# tree, and the folder of this one machine.  Its root can be written to, and is
# gone with it; only the data lies on a disk, since overlayfs can't be stacked.
_BOOT = """
set -eu
tree=$1; here=$2; data=$3
mount -t tmpfs tmpfs "$here/system"
cd "$here/system"
mkdir upper work root
mount -t overlay -o "lowerdir=$tree,upperdir=$here/system/upper,workdir=$here/system/work" \
  overlay root
cd root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /sys/fs/cgroup sys/fs/cgroup
mount --rbind /dev dev
mount -t tmpfs -o mode=0755 tmpfs run
mkdir run/shared
mount --bind "$here/run" run/shared
mount --bind "$here/data" ".$data"
cp "$here/daemon.json" etc/docker/daemon.json
pivot_root . mnt
cd /
PATH=/usr/sbin:/usr/bin:/sbin:/bin
export PATH
hash -r
umount -l /mnt
for kind in nft legacy; do
  if "iptables-$kind" -t nat -n -L >/dev/null 2>&1; then
    for name in iptables ip6tables; do
      ln -sf "$name-$kind" "/usr/sbin/$name"
      ln -sf "$name-$kind-save" "/usr/sbin/$name-save"
    done
    break
  fi
done
ip link set lo up
exec tini -- dockerd -H unix:///var/run/docker.sock -H unix:///run/shared/docker.sock
"""

# Run by the host's sh: a program that sees this machine's files, but the
# user's /etc/docker, and is in the user's network.
_AS_USER = """
set -eu
here=$1; shift
mount -t tmpfs tmpfs "$here/etc"
mkdir "$here/etc/upper" "$here/etc/work"
mount -t overlay -o "lowerdir=/etc,upperdir=$here/etc/upper,workdir=$here/etc/work" overlay /etc
mkdir -p /etc/docker
cp "$here/daemon.json" /etc/docker/daemon.json
exec "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """What must be as before, sorted: what the user's machine shows of its Docker."""

    links: tuple[str, ...]
    iptables: tuple[str, ...]
    images: tuple[str, ...]
    networks: tuple[str, ...]
    containers: tuple[str, ...]
    volumes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class UserDocker:
    """A running Docker of the user's.

    ``host`` is its DOCKER_HOST, ``docker`` its own client's command, ``version``
    what the daemon says, ``pid`` the first process of its namespaces, ``folder``
    what belongs to this one machine.
    """

    generation: Generation
    tree: Tree
    folder: Path
    host: str
    docker: tuple[str, ...]
    version: str
    pid: int

    def environment(self) -> dict[str, str]:
        """Return the variables of a user of this Docker, and none of another's."""
        left_out = (*ENGINE_VARIABLES, "BUILDKIT_HOST", "FARM_ENGINE")
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("DOCKER_") and name not in left_out
        }
        path = os.pathsep.join((str(self.folder / "bin"), os.environ.get("PATH", os.defpath)))
        config = str(self.folder / "config")
        return inherited | {"PATH": path, "DOCKER_HOST": self.host, "DOCKER_CONFIG": config}

    def as_user(self, arguments: Sequence[str]) -> tuple[str, ...]:
        """Return the command that runs a program as if this Docker were this machine's own.

        Same network (docker0 and its iptables rules, nothing beyond) and the
        user's ``/etc/docker/daemon.json``; this machine's files otherwise.
        """
        return (
            *("nsenter", f"--net=/proc/{self.pid}/ns/net"),
            *("unshare", "--mount", "--propagation", "private"),
            *("/bin/sh", "-c", _AS_USER, "farm", str(self.folder), *arguments),
        )

    def inside(self, *arguments: str) -> str:
        """Return what a program of the user's machine prints there."""
        done = subprocess.run(
            ["nsenter", "--target", str(self.pid), "--mount", "--net", "--pid", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )
        if done.returncode:
            raise AssertionError(f"{shlex.join(arguments)}: {done.stderr or done.stdout}")
        return done.stdout

    def snapshot(self) -> Snapshot:
        """Return everything that the farm may not change."""
        links = json.loads(self.inside("ip", "-json", "address"))
        addresses = [
            f"{link['ifname']} {link.get('address')} {each['local']}/{each['prefixlen']}"
            for link in links
            for each in link["addr_info"] or [{"local": "-", "prefixlen": "-"}]
            if each["local"] != "-" or link["ifname"] != "lo"
        ]
        return Snapshot(
            links=tuple(sorted(addresses)),
            iptables=self._iptables(),
            images=self._listing("images", "--all", "--no-trunc", "--format", _IMAGE),
            networks=self._listing("network", "ls", "--no-trunc"),
            containers=self._listing(
                "ps", "--all", "--no-trunc", "--format", "{{.ID}} {{.Image}}"
            ),
            volumes=self._listing("volume", "ls"),
        )

    def _listing(self, *arguments: str) -> tuple[str, ...]:
        return tuple(sorted(self.inside("docker", *arguments).splitlines()))

    def _iptables(self) -> tuple[str, ...]:
        """Return the rules, in their order, without dates and counters."""
        text = self.inside("iptables-save")
        rules = (line for line in text.splitlines() if not line.startswith("#"))
        return tuple(re.sub(r"\[\d+:\d+\]", "", rule).rstrip() for rule in rules)


_IMAGE = "{{.Repository}}:{{.Tag}} {{.ID}}"


@contextmanager
def user_docker(generation: Generation, cache: Path, sink: Sink) -> Iterator[UserDocker]:
    """Start a generation on a machine of its own, and remove that when done.

    Raises:
        EngineError: It does not come up; its last words are in the details.
        FetchError: Its packages could not be fetched.
    """
    tree = prepare(generation, cache, sink)
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    try:
        _furnish(generation, tree, folder)
        with (folder / "dockerd.log").open("wb") as log:
            outermost = subprocess.Popen(
                _boot_command(tree, folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=toolbox.host_environment(),
                cwd="/",
                start_new_session=True,
            )
        try:
            running = _await(generation, tree, folder, outermost)
            _give_image(running)
            yield running
        finally:
            _end(outermost)
    finally:
        _remove(folder)


def _boot_command(tree: Tree, folder: Path) -> tuple[str, ...]:
    # It does not outlive the tests, however those end.
    return (
        *("setpriv", "--pdeathsig", "KILL", "unshare"),
        *("--net", "--mount", "--pid", "--ipc", "--propagation", "private"),
        *("--fork", "--kill-child", "/bin/sh", "-c", _BOOT, "farm"),
        *(str(tree.root), str(folder), DATA_ROOT),
    )


def _furnish(generation: Generation, tree: Tree, folder: Path) -> None:
    """Write the user's configuration and commands."""
    for name in ("system", "run", "data", "etc", "bin", "config/cli-plugins"):
        (folder / name).mkdir(parents=True)
    settings = {
        "data-root": DATA_ROOT,
        "bip": BRIDGE_ADDRESS,
        "labels": [LABEL, f"generation={generation.name}"],
        "cgroup-parent": f"/{folder.name}",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],  # there is no systemd
    }
    (folder / "daemon.json").write_text(json.dumps(settings, indent=2), encoding="utf-8")
    _script(folder / "bin/docker", tree.command(tree.root / "usr/bin/docker"))
    if tree.buildx:
        _script(folder / "config/cli-plugins/docker-buildx", tree.command(tree.buildx))


def _script(path: Path, command: Sequence[str]) -> None:
    path.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n', encoding="utf-8")
    path.chmod(0o755)


def _await(
    generation: Generation, tree: Tree, folder: Path, outermost: subprocess.Popen[bytes]
) -> UserDocker:
    socket = folder / "run/docker.sock"
    deadline = time.monotonic() + _START_TIMEOUT_S
    while not daemon_api.answers(socket):
        if outermost.poll() is not None or time.monotonic() > deadline:
            log = (folder / "dockerd.log").read_text(encoding="utf-8", errors="replace")
            raise EngineError(
                f"the Docker {generation.name} to test beside did not come up",
                hint="it needs root, overlayfs and iptables in namespaces of its own",
                details=last_lines(log, 20),
            )
        time.sleep(0.05)
    inner = process.identify(outermost.pid)
    first = inner.children() if inner else ()
    host = f"unix://{socket}"
    return UserDocker(
        generation=generation,
        tree=tree,
        folder=folder,
        host=host,
        docker=(str(folder / "bin/docker"), "-H", host),
        version=daemon_api.facts(socket).version,
        pid=first[0].pid,
    )


def _give_image(running: UserDocker) -> None:
    with tarfile.open(running.folder / "run/image.tar", "w") as archive:
        archive.addfile(tarfile.TarInfo("mine"), io.BytesIO())
    running.inside("docker", "import", "/run/shared/image.tar", IMAGE)


def _end(outermost: subprocess.Popen[bytes]) -> None:
    """End it politely, so that it unmounts what it mounted; by force if it does not."""
    identity = process.identify(outermost.pid)
    for child in identity.children() if identity else ():
        child.end(grace_s=15)
    with suppress(subprocess.TimeoutExpired):
        outermost.wait(5)
    outermost.kill()
    outermost.wait()


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)
    for top in (_CGROUPS, *_CGROUPS.glob("*/")):
        for path, _, _ in os.walk(top / folder.name, topdown=False):
            with suppress(OSError):  # a process that is just ending holds it
                Path(path).rmdir()


def _sweep() -> None:
    """Remove what tests that were killed have left; their Docker ended with them."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        owner = folder.name.removeprefix(_PREFIX).partition("-")[0]
        if owner.isdecimal() and not Path("/proc", owner).exists():
            _remove(folder)
