"""The toolbox: one Debian tree with the container tools, unpacked but never installed.

It has a C library of its own, so its programs run on any machine of the same
architecture.  They run in private mount namespaces, with this tree as root.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected by callers
from typing import TYPE_CHECKING

from farm.debian import apt, archive
from farm.errors import EngineError, FetchError
from farm.events import Notice
from farm.host import programs
from farm.host.locks import LOCK_SHARED, holding, remove_unheld
from farm.host.network import proxy_variables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from contextlib import AbstractContextManager

    from farm.events import Sink
    from farm.host.programs import Cancel

SUITE = "trixie"
PACKAGES = (
    "base-files",
    "base-passwd",
    "bash",
    "ca-certificates",
    "containerd",
    "coreutils",
    "dash",
    "debian-archive-keyring",
    "docker-buildx",
    "docker-cli",
    "docker.io",
    "findutils",
    "fuse-overlayfs",
    "grep",
    "gzip",
    "iproute2",
    "iptables",
    "libc-bin",
    "mmdebstrap",
    "mount",
    "runc",
    "sed",
    "slirp4netns",
    "tar",
    "util-linux",
    "xz-utils",
)
BUILDX = "usr/libexec/docker/cli-plugins/docker-buildx"
_RENEWED_AFTER = timedelta(days=30)
_LAYOUT = "1"
"""Part of the key: changed when ``_complete`` does something else."""

_HOST_TOOLS = (
    *apt.HOST_TOOLS,
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("mount", "mount"),
    ("pivot_root", "util-linux"),
    ("chroot", "coreutils"),
)

# Run by the host's sh in a mount namespace of its own: $1 is the tree, then
# pairs of folder and place below /mnt, then --, then the program.
_ENTER = """
set -eu
root=$1; ca=$2; shift 2
for name in dev proc sys; do mount --rbind "/$name" "$root/$name"; done
for name in run tmp mnt; do mount -t tmpfs -o mode=1777 tmpfs "$root/$name"; done
for name in resolv.conf hosts; do
  if [ -e "/etc/$name" ]; then mount --bind "/etc/$name" "$root/etc/$name"; fi
done
if [ -n "$ca" ]; then mount --bind "$ca" "$root/etc/ssl/certs/ca-certificates.crt"; fi
while [ "$1" != -- ]; do
  mkdir "$root/mnt/$1"
  mount --bind "$2" "$root/mnt/$1"
  shift 2
done
shift
exec chroot "$root" "$@"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolbox:
    """A prepared tree.  ``root`` is its folder, ``key`` says what it was made of."""

    root: Path
    key: str

    @property
    def date(self) -> str:
        """When it was made, as in ``2026-11-28``."""
        return self.root.suffix[1:]

    def is_old(self) -> bool:
        """Whether it may lack corrections that Debian has made since."""
        made = datetime.fromisoformat(self.date).replace(tzinfo=UTC)
        return datetime.now(UTC) - made > _RENEWED_AFTER

    def on_host(self, program: str) -> tuple[str, ...]:
        """Return the command for a program of the tree that runs with the host's files.

        The tree's own loader and libraries are used: the host's C library may
        be older, or another one.
        """
        loader = apt.loader_of(self.root)
        if loader is None:
            raise EngineError(
                f"the toolbox at {self.root} is damaged: it has no C library",
                hint="delete that folder; it is made anew",
            )
        path = self.root / program.lstrip("/")
        return (str(loader), "--library-path", str(loader.parent), str(path))

    def inside(
        self,
        arguments: Sequence[str],
        *,
        folders: Mapping[str, Path] | None = None,
        own_processes: bool = True,
    ) -> tuple[str, ...]:
        """Return the command that runs a program with the tree as its root.

        Args:
            arguments: The program and its arguments.
            folders: Host folders by the name that they get below ``/mnt``.
            own_processes: Give it a process namespace: then nothing that it
                starts outlives it, and it does not outlive the caller.
        """
        space: tuple[str, ...] = ("unshare", "--mount", "--propagation", "private")
        if own_processes:
            space = (*programs.TIED, *space, "--pid", "--fork", "--kill-child", "--mount-proc")
        pairs = [text for name, path in (folders or {}).items() for text in (name, str(path))]
        script = ("/bin/sh", "-c", _ENTER, "farm", str(self.root), archive.ca_bundle())
        return (*space, *script, *pairs, "--", *arguments)


def host_environment() -> dict[str, str]:
    """Return the environment for ``Toolbox.inside``, where the host's programs are found first."""
    return {
        "PATH": f"{programs.search_path()}:/usr/bin",
        "HOME": "/root",
        "LC_ALL": "C.UTF-8",
        **proxy_variables(),
    }


def held(tools: Toolbox) -> AbstractContextManager[int]:
    """Keep a tree from being swept while its programs run."""
    return holding(_lock_of(tools.root), LOCK_SHARED)


def sweep(tools: Toolbox) -> None:
    """Remove what lies beside a tree: older ones that nobody uses, and half-made ones."""
    folder = tools.root.parent
    current = {tools.root.name, f"toolbox-{tools.key}.part"}
    for path in folder.glob("toolbox-*"):
        if path.name in current or path.is_symlink() or not path.is_dir():
            continue
        remove_unheld(path, _lock_of(path))


def _lock_of(root: Path) -> Path:
    return root.with_name(f".{root.name}.lock")


def toolbox_key() -> str:
    """Return the digest of what the toolbox is made of."""
    text = "\n".join((_LAYOUT, SUITE, *PACKAGES))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def existing(cache: Path) -> Toolbox | None:
    """Return the newest toolbox that is there."""
    key = toolbox_key()
    roots = sorted(root for root in (cache / "engine").glob(f"toolbox-{key}.2*") if root.is_dir())
    return Toolbox(root=roots[-1], key=key) if roots else None


def prepare(
    cache: Path, sink: Sink, *, cancel: Cancel | None = None, offline: bool = False
) -> Toolbox:
    """Return the toolbox, fetching and unpacking it first if it is not there, or is old.

    An old one does where a new one cannot be had.

    Raises:
        EngineError: Root rights or programs are missing, or Debian's mirror or keys; or
            ``offline`` forbids to fetch it.
        FetchError: Packages could not be fetched; those that could are kept.
        StorageError: The disk is full.
        CancelledError: ``cancel`` was set; what was fetched is kept.
    """
    found = existing(cache)
    if found and (offline or not found.is_old()):
        return found
    if offline:
        raise EngineError(
            "farm's container tools are not here, and --offline forbids to fetch them",
            hint="run it once without --offline, or use a Docker Engine of your own",
        )
    try:
        return _make(cache / "engine", sink, cancel)
    except (EngineError, FetchError) as error:
        if found is None:
            raise
        text = f"farm's container tools are of {found.date} and could not be renewed"
        sink(Notice(text=f"{text}: {error.message}"))
        return found


def require_host() -> None:
    """Check for what the private engine and bootstrapping need of this machine.

    Raises:
        EngineError: Naming what is missing.
    """
    if os.geteuid() != 0:
        raise EngineError(
            "a private engine, and bootstrapping a base, need root rights: they make namespaces",
            hint="run farm as root (sudo), or use a Docker Engine that this user may talk to",
        )
    archive.require_tools(_HOST_TOOLS, purpose="a private engine or base")


def _make(folder: Path, sink: Sink, cancel: Cancel | None) -> Toolbox:
    require_host()
    key = toolbox_key()
    root = folder / f"toolbox-{key}.{datetime.now(UTC):%Y-%m-%d}"
    apt.tree(
        root,
        PACKAGES,
        sink,
        suite=SUITE,
        what="the container tools",
        complete=_complete,
        cancel=cancel,
    )
    return Toolbox(root=root, key=key)


def _complete(tree: Path) -> None:
    """Do what the tools need of the maintainer scripts, which are never run."""
    for name in ("passwd", "group"):
        master = tree / f"usr/share/base-passwd/{name}.master"
        shutil.copyfile(master, tree / "etc" / name)
        (tree / "etc" / name).chmod(0o644)
    for name in ("dev", "proc", "sys", "run", "tmp", "mnt", "srv", "etc/ssl/certs", "root"):
        (tree / name).mkdir(parents=True, exist_ok=True)
        (tree / name).chmod(0o1777 if name == "tmp" else 0o755)
    for name in ("resolv.conf", "hosts"):  # places to mount the real ones on
        (tree / "etc" / name).touch()
        (tree / "etc" / name).chmod(0o644)
    authorities = sorted(tree.glob("usr/share/ca-certificates/**/*.crt"))
    bundle = b"".join(path.read_bytes() for path in authorities)
    certificates = tree / "etc/ssl/certs/ca-certificates.crt"
    certificates.write_bytes(bundle)
    certificates.chmod(0o644)
    for link, target in (("usr/bin/awk", "mawk"), ("usr/bin/sh", "dash")):
        if not (tree / link).exists():
            (tree / link).symlink_to(target)
