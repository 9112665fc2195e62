"""Fetches and unpacks Debian packages without installing any.

``apt-get`` runs on folders of its own (no package counts as installed there),
computes the closure, and fetches it, checked against the signed index;
``dpkg-deb`` unpacks.  No maintainer script runs, nothing of the machine changes.
"""

from __future__ import annotations

import os
import re
import shutil
from typing import TYPE_CHECKING

from farm.debian import archive
from farm.errors import EngineError, FarmError, FetchError, StorageError
from farm.events import TaskProgress
from farm.host import programs

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from farm.events import Sink

_FULL = ("no space left on device", "you don't have enough free space", "disk quota exceeded")
_FIRST = ("base-files",)  # it brings /bin, /lib and the like as links into /usr
HOST_TOOLS = (("apt-get", "apt"), ("apt-config", "apt"), ("dpkg-deb", "dpkg"))


class Apt:
    """``apt-get`` with a configuration and folders of its own below ``folder``."""

    def __init__(self, folder: Path, *, suite: str, cancel: threading.Event | None = None) -> None:
        self.folder = folder
        self.suite = suite
        self.mirror = archive.mirror()
        self._cancel = cancel

    def prepare(self) -> None:
        """Write the configuration; what was fetched earlier stays.

        Raises:
            EngineError: There is no keyring.
        """
        for name in ("lists/partial", "archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").write_text("", encoding="utf-8")
        source = f"deb [signed-by={archive.keyring()}] {self.mirror} {self.suite} main\n"
        (self.folder / "sources.list").write_text(source, encoding="utf-8")
        here = str(self.folder)
        lines = [
            f'Dir::State "{here}";',
            f'Dir::State::Lists "{here}/lists";',
            f'Dir::State::status "{here}/status";',
            f'Dir::Cache "{here}";',
            f'Dir::Cache::archives "{here}/archives";',
            f'Dir::Etc::sourcelist "{here}/sources.list";',
            *(f'Dir::Etc::{name} "/dev/null";' for name in ("main", "parts", "sourceparts")),
            *(f'Dir::Etc::{name} "/dev/null";' for name in ("preferences", "preferencesparts")),
            'Acquire::Languages "none";',
            'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
            'Acquire::Retries "3";',
            'APT::Sandbox::User "root";',  # _apt may not enter the user's cache folder
            'APT::Install-Recommends "false";',
            'APT::Get::List-Cleanup "false";',
            'Debug::NoLocking "true";',
            *archive.network_settings(host_files=True),
        ]
        (self.folder / "apt.conf").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def environment(self) -> Mapping[str, str]:
        """Return apt's whole environment."""
        return {
            "PATH": os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin",
            "LC_ALL": "C.UTF-8",
            "APT_CONFIG": str(self.folder / "apt.conf"),
            "DEBIAN_FRONTEND": "noninteractive",
            **archive.fetch_variables(),
        }

    def update(self) -> None:
        """Fetch the index of the suite.

        Raises:
            FetchError: The mirror cannot be reached, or its signature is not Debian's.
            StorageError: The disk is full.
        """
        done = self._run("update", "-qq", "--error-on=any")
        if done.status:
            raise _fetch_failure(
                f"index of Debian {self.suite} at {archive.shown(self.mirror)}", done.text
            )

    def closure(self, packages: Sequence[str]) -> tuple[int, int]:
        """Return how many files, and how many bytes, installing the packages would fetch.

        Raises:
            EngineError: A package does not exist in the suite.
        """
        done = self._run("install", "--print-uris", "-qq", "-y", *packages)
        if done.status:
            raise EngineError(
                f"Debian {self.suite} at {archive.shown(self.mirror)} lacks what is needed",
                hint=f"set {archive.MIRROR_VARIABLE} to a complete Debian archive",
                details=last_lines(done.text),
            )
        # 'URI' name bytes SHA256:…
        found = re.findall(r"^'[^']+' \S+ ([0-9]+) ", done.text, flags=re.MULTILINE)
        return len(found), sum(int(size) for size in found)

    def download(self, packages: Sequence[str], total: int, sink: Sink, *, task: str) -> None:
        """Fetch the closure into ``archives/``; what is already there is not fetched again.

        Raises:
            FetchError: A file could not be fetched or is not what the index says.
            StorageError: The disk is full.
        """

        def progress(line: str) -> None:
            found = re.match(r"dlstatus:[0-9]+:([0-9.]+):", line)
            if found:
                done = min(total, int(total * float(found[1]) / 100))
                sink(TaskProgress(task=task, done=done, total=total))

        status = ("-o", "APT::Status-Fd=1")
        options = ("install", "--download-only", "-qq", "-y", *status)
        done = self._run(*options, *packages, on_line=progress)
        sink(TaskProgress(task=task, done=total, total=total, finished=True))
        if done.status:
            what = f"packages of Debian {self.suite} from {archive.shown(self.mirror)}"
            raise _fetch_failure(what, done.text)

    def archives(self) -> tuple[Path, ...]:
        """Return the fetched packages in the order in which to unpack them."""
        found = sorted((self.folder / "archives").glob("*.deb"))
        return tuple(sorted(found, key=lambda path: path.name.split("_")[0] not in _FIRST))

    def _run(
        self, *arguments: str, on_line: Callable[[str], None] | None = None
    ) -> programs.Finished:
        command = ("apt-get", *arguments)
        return programs.run(
            command, env=self.environment(), merged=True, cancel=self._cancel, on_line=on_line
        )


def tree(  # noqa: PLR0913 - what, where to, and how it is told
    root: Path,
    names: Sequence[str],
    sink: Sink,
    *,
    suite: str,
    what: str,
    complete: Callable[[Path], None],
    left_out: re.Pattern[str] | None = None,
    cancel: threading.Event | None = None,
) -> None:
    """Make ``root``, a tree with packages and what they depend on, whole or not at all.

    ``complete`` does to it what the maintainer scripts would; packages whose file
    names begin like ``left_out`` are not unpacked.

    Raises:
        EngineError: A package does not exist, or cannot be read.
        FetchError: Some could not be fetched; those that could are kept.
        StorageError: The disk is full.
        CancelledError: Cancelled; what was fetched is kept.
    """
    work = root.with_name(f"{root.name}.part")
    made = work / "tree"
    if made.exists():
        shutil.rmtree(made)
    apt = Apt(work, suite=suite, cancel=cancel)
    apt.prepare()
    apt.update()
    _, total = apt.closure(names)
    apt.download(names, total, sink, task=f"fetch {what}")
    archives = [p for p in apt.archives() if not (left_out and left_out.match(p.name))]
    unpack(archives, made, sink, task=f"unpack {what}", cancel=cancel)
    complete(made)
    made.rename(root)
    shutil.rmtree(work)


def unpack(
    archives: Sequence[Path],
    root: Path,
    sink: Sink,
    *,
    task: str,
    cancel: threading.Event | None = None,
) -> None:
    """Unpack packages into one new tree.

    Raises:
        StorageError: The disk is full.
        EngineError: A package cannot be read.
        CancelledError: Cancelled.
    """
    root.mkdir(parents=True)
    root.chmod(0o755)
    env = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8"}
    total = len(archives)
    for number, package in enumerate(archives, start=1):
        command = ("dpkg-deb", "-x", str(package), str(root))
        done = programs.run(command, env=env, merged=True, cancel=cancel)
        last = number == total or bool(done.status)
        sink(
            TaskProgress(
                task=task, done=number, total=total, unit_of_measure="steps", finished=last
            )
        )
        if done.status and said_full(done.text):
            raise full_disk(root)
        if done.status:
            package.unlink(missing_ok=True)
            raise EngineError(
                f"cannot unpack {package.name}",
                hint="try again: the package is fetched anew",
                details=last_lines(done.text),
            )


def said_full(text: str) -> bool:
    """Tell whether a program's complaint was about a full disk."""
    return any(phrase in text.lower() for phrase in _FULL)


def full_disk(folder: Path) -> StorageError:
    """Return the error for a disk that became full below ``folder``."""
    return StorageError(
        f"no space left on the disk of {folder}",
        hint="free some space, or set FARM_CACHE_DIR to a folder on a larger disk",
    )


def last_lines(text: str, count: int = 8) -> tuple[str, ...]:
    """Return the last few lines that a program wrote, without empty ones and passwords."""
    lines = archive.shown(text).splitlines()
    return tuple(line.rstrip() for line in lines if line.strip())[-count:]


def _fetch_failure(what: str, text: str) -> FarmError:
    if said_full(text):
        return StorageError(
            f"no space left on the disk while fetching the {what}",
            hint="free some space, or set FARM_CACHE_DIR to a folder on a larger disk",
        )
    return FetchError(
        f"cannot fetch the {what}",
        hint=f"check the network and the proxy settings, or set {archive.MIRROR_VARIABLE}",
        details=last_lines(text),
    )
