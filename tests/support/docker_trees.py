"""Unpacks the generations of Docker that the farm is tested beside, from Debian's packages.

Each comes from one suite, whole: C library, containerd, runc, iptables, clients.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected by callers
from typing import TYPE_CHECKING

from filelock import FileLock

from farm.debian import apt, archive, toolbox

if TYPE_CHECKING:
    from collections.abc import Sequence

    from farm.events import Sink

DATA_ROOT = "/var/lib/docker-of-the-user"
"""Where every ``daemon.json`` here has its data; it must exist in the tree."""

_LAYOUT = 1
"""Part of every key: changed when the same packages are made into another tree."""
_SYSTEM = (
    "base-files",
    "coreutils",
    "dash",
    "iproute2",
    "iptables",
    "libc-bin",
    "mount",
    "util-linux",
    "containerd",
    "docker.io",
    "runc",
    "tini",
)
_HOST_TOOLS = (("nsenter", "util-linux"),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """A generation of Docker: ``name`` is what its suite had when these tests were written."""

    name: str
    suite: str
    packages: tuple[str, ...]

    @property
    def key(self) -> str:
        """Digest of what its tree is made of."""
        text = "\n".join((str(_LAYOUT), self.suite, *self.packages))
        return hashlib.sha256(text.encode()).hexdigest()[:12]


OLD = Generation(name="20.10", suite="bookworm", packages=_SYSTEM)
STABLE = Generation(
    name="26.1", suite="trixie", packages=(*_SYSTEM, "docker-cli", "docker-buildx")
)
NEW = Generation(name="28.5", suite="sid", packages=(*_SYSTEM, "docker-cli", "docker-buildx"))
GENERATIONS = (OLD, STABLE, NEW)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """An unpacked generation; ``versions`` are those of the container packages that came."""

    root: Path
    versions: tuple[tuple[str, str], ...]

    @property
    def buildx(self) -> Path | None:
        """The buildx plugin, if the generation has one."""
        return next(
            iter(sorted(self.root.glob("usr/lib*/docker/cli-plugins/docker-buildx"))), None
        )

    def command(self, program: Path) -> tuple[str, ...]:
        """Return the command for a program of the tree that runs with the host's files."""
        inside = program.relative_to(self.root)
        return toolbox.Toolbox(root=self.root, key="").on_host(str(inside))


def prepare(generation: Generation, cache: Path, sink: Sink) -> Tree:
    """Return a generation's tree, fetching and unpacking it first if it is not there.

    What was fetched stays below ``cache/tests``: once per machine.

    Raises:
        EngineError: Root rights, programs or Debian's mirror are missing: says how to get them.
        FetchError: Packages could not be fetched.
    """
    toolbox.require_host()
    archive.require_tools(_HOST_TOOLS, purpose="a Docker to test beside")
    folder = cache / "tests"
    folder.mkdir(parents=True, exist_ok=True)
    root = folder / f"docker-{generation.suite}-{generation.key}"
    with FileLock(root.with_suffix(".lock")):
        if not root.is_dir():
            _unpack(generation, root, sink)
    versions = json.loads((root / "versions.json").read_text(encoding="utf-8"))
    return Tree(root=root, versions=tuple((name, version) for name, version in versions))


def _unpack(generation: Generation, root: Path, sink: Sink) -> None:
    work = root.with_suffix(".part")
    tree = work / "tree"
    if tree.exists():
        shutil.rmtree(tree)
    fetcher = apt.Apt(work, sources=archive.sources_of(generation.suite))
    task = f"fetch Docker {generation.name} of Debian {generation.suite}"
    archives = fetcher.fetch(generation.packages, sink, task=task)
    apt.unpack(archives, tree, sink, task=f"unpack Docker {generation.name}")
    _merge_usr(tree)
    for name in ("dev", "proc", "sys", "run", "tmp", "mnt", "etc/docker", DATA_ROOT[1:]):
        (tree / name).mkdir(parents=True, exist_ok=True)
    run = tree / "var/run"
    if not run.is_symlink():
        if run.exists():
            shutil.rmtree(run)
        run.symlink_to("/run")
    (tree / "versions.json").write_text(json.dumps(_versions(archives)), encoding="utf-8")
    tree.rename(root)
    shutil.rmtree(work)


def _merge_usr(tree: Path) -> None:
    """Make /bin, /lib and the like links into /usr, as an installer does before trixie."""
    for name in ("bin", "sbin", "lib", "lib64"):
        folder = tree / name
        if folder.is_dir() and not folder.is_symlink():
            shutil.copytree(folder, tree / "usr" / name, symlinks=True, dirs_exist_ok=True)
            shutil.rmtree(folder)
        if not folder.is_symlink():
            folder.symlink_to(f"usr/{name}")


def _versions(archives: Sequence[Path]) -> list[tuple[str, str]]:
    """Return the versions of the container packages, from the names of their files."""
    wanted = re.compile(r"(docker\.io|docker-cli|docker-buildx|containerd|runc)_([^_]+)_")
    found = (wanted.match(path.name) for path in archives)
    return sorted((match[1], match[2].replace("%3a", ":")) for match in found if match)
