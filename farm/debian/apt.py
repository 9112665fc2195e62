"""Fetches and unpacks Debian packages without installing any.

``apt-get`` runs on folders of its own (no package counts as installed there),
computes the closure, and fetches it, checked against the signed index;
``dpkg-deb`` unpacks.  No maintainer script runs, nothing of the machine changes.
"""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING
from urllib.parse import unquote

from farm.debian import archive
from farm.errors import EngineError, FarmError, FetchError
from farm.events import Notice, TaskProgress
from farm.host import programs
from farm.host.files import full_disk, says_full, storage_error, sync_tree
from farm.host.locks import holding
from farm.host.network import proxy_variables
from farm.host.urls import redact
from farm.model.debian import Deb

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from farm.events import Sink
    from farm.host.programs import Cancel
    from farm.model.debian import FurtherSuites

_FIRST = ("base-files",)  # it brings /bin, /lib and the like as links into /usr
HOST_TOOLS = (("apt-get", "apt"), ("apt-config", "apt"), ("dpkg-deb", "dpkg"))


class Apt:
    """``apt-get`` with a configuration and folders of its own below ``folder``.

    ``pins`` are suites, each with patterns of the packages that come from it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        sources: Sequence[archive.Source],
        pins: FurtherSuites = (),
        cancel: Cancel | None = None,
    ) -> None:
        self.folder = folder
        self.sources = tuple(sources)
        self._pins = pins
        self._cancel = cancel

    @property
    def what(self) -> str:
        """What packages are taken from, for messages."""
        first = self.sources[0]
        return f"Debian {first.suite} at {redact(first.uri)}"

    def prepare(self) -> None:
        """Write the configuration; what was fetched earlier stays.

        Raises:
            EngineError: There is no keyring.
        """
        for name in ("lists/partial", "archives/partial"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").write_text("", encoding="utf-8")
        self._write("sources.list", [source.line for source in self.sources])
        # A suite is called by its name or, as in its Release file, by its state (unstable).
        rules = [
            f"Package: {' '.join(names)}\nPin: release {key}={suite}\nPin-Priority: 995\n"
            for suite, names in self._pins
            for key in ("a", "n")
        ]
        self._write("preferences", rules)
        here = str(self.folder)
        lines = [
            f'Dir::State "{here}";',
            f'Dir::State::Lists "{here}/lists";',
            f'Dir::State::status "{here}/status";',
            f'Dir::Cache "{here}";',
            f'Dir::Cache::archives "{here}/archives";',
            f'Dir::Etc::sourcelist "{here}/sources.list";',
            f'Dir::Etc::preferences "{here}/preferences";',
            *(f'Dir::Etc::{name} "/dev/null";' for name in ("main", "parts", "sourceparts")),
            'Dir::Etc::preferencesparts "/dev/null";',
            'Acquire::GzipIndexes "true";',  # they stay: 60 MB of text for each suite
            'Acquire::Languages "none";',
            'Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";',
            'Acquire::ForceHash "SHA256";',  # what --print-uris shows
            'Acquire::Retries "3";',
            'APT::Sandbox::User "root";',  # _apt may not enter the user's cache folder
            'APT::Install-Recommends "false";',
            'APT::Get::List-Cleanup "false";',
            'Debug::NoLocking "true";',
            *archive.network_settings(),
        ]
        self._write("apt.conf", lines)

    def _write(self, name: str, lines: Sequence[str]) -> None:
        path = self.folder / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        path.chmod(0o600)  # URIs of mirrors and proxies may hold passwords

    def environment(self) -> Mapping[str, str]:
        """Return apt's whole environment."""
        return {
            "PATH": programs.search_path(),
            "LC_ALL": "C.UTF-8",
            "APT_CONFIG": str(self.folder / "apt.conf"),
            "DEBIAN_FRONTEND": "noninteractive",
            **proxy_variables(),
        }

    def update(self, sink: Sink) -> None:
        """Fetch the indexes; where only optional ones cannot be had, go on without, and say so.

        Raises:
            FetchError: The mirror cannot be reached, or its signature is not Debian's.
            StorageError: The disk is full.
        """
        everything = self.sources
        done = self._update()
        self.sources = tuple(source for source in everything if not source.optional)
        if not done.status or self.sources == everything:
            self.sources = everything
        elif not self._update().status:
            names = ", ".join(f"{s.suite} at {redact(s.uri)}" for s in everything if s.optional)
            sink(Notice(text=f"going on without Debian's corrections: cannot fetch {names}"))
            return
        if done.status:
            raise self._failure("index", done)

    def _update(self) -> programs.Finished:
        self._write("sources.list", [source.line for source in self.sources])
        return self._run("update", "-qq", "--error-on=any")

    def closure(self, packages: Sequence[str]) -> dict[str, Deb]:
        """What installing the packages would fetch, by the name of each file, in apt's order.

        Raises:
            EngineError: A package does not exist in the suites, or cannot be installed.
        """
        done = self._run("install", "--print-uris", "-qq", "-y", *packages)
        if done.status:
            raise EngineError(
                f"{self.what} lacks what is needed",
                hint="correct the names of the packages, or set "
                f"{archive.MIRROR_VARIABLE} to a complete Debian archive",
                details=done.last_words,
            )
        pattern = r"^'([^']+)' (\S+) ([0-9]+) SHA256:([0-9a-f]{64})$"
        found = re.findall(pattern, done.text, flags=re.MULTILINE)
        return {
            filename: self._deb(uri, filename, int(size), sha256)
            for uri, filename, size, sha256 in found
        }

    def _deb(self, uri: str, filename: str, size: int, sha256: str) -> Deb:
        name, version, _ = unquote(filename).split("_")
        below = ((s.archive, s.uri.rstrip("/") + "/") for s in self.sources)
        path = next(f"{a}/{uri.removeprefix(root)}" for a, root in below if uri.startswith(root))
        return Deb(name=name, version=version, sha256=sha256, size=size, path=unquote(path))

    def fetch(self, packages: Sequence[str], sink: Sink, *, task: str) -> list[Path]:
        """Fetch packages and what they depend on; returns the files in the order to unpack them.

        What an earlier, interrupted fetch left is used where it is what is wanted now.

        Raises:
            EngineError: A package does not exist in the suites, or cannot be installed.
            FetchError: A file could not be fetched or is not what the index says.
            StorageError: The disk is full.
        """
        self.prepare()
        self.update(sink)
        closure = self.closure(packages)
        total = sum(deb.size for deb in closure.values())

        def progress(line: str) -> None:
            found = re.match(r"dlstatus:[0-9]+:([0-9.]+):", line)
            if found:
                done = min(total, int(total * float(found[1]) / 100))
                sink(TaskProgress(task=task, done=done, total=total))

        options = ("install", "--download-only", "-qq", "-y", "-o", "APT::Status-Fd=1")
        done = self._run(*options, *packages, on_line=progress)
        sink(TaskProgress(task=task, done=total, total=total, finished=True))
        if done.status:
            raise self._failure("packages", done)
        names = sorted(closure, key=lambda name: (closure[name].name not in _FIRST, name))
        return [self.folder / "archives" / name for name in names]

    def _failure(self, what: str, done: programs.Finished) -> FarmError:
        if says_full(done.complaint):
            return full_disk(self.folder)
        return FetchError(
            f"cannot fetch the {what} of {self.what}",
            hint=f"check the network and the proxy settings, or set {archive.MIRROR_VARIABLE}",
            details=done.last_words,
        )

    def _run(
        self, *arguments: str, on_line: Callable[[str], None] | None = None
    ) -> programs.Finished:
        command = ("apt-get", *arguments)
        return programs.run(command, env=self.environment(), cancel=self._cancel, on_line=on_line)


def tree(  # noqa: PLR0913 - what, where to, and how it is told
    root: Path,
    names: Sequence[str],
    sink: Sink,
    *,
    suite: str,
    what: str,
    complete: Callable[[Path], None],
    left_out: re.Pattern[str] | None = None,
    cancel: Cancel | None = None,
) -> None:
    """Make ``root``, a tree with packages and what they depend on, unless it is there.

    It appears whole or not at all.  ``complete`` does to it what the maintainer scripts
    would; packages whose file names begin like ``left_out`` are not unpacked.

    Raises:
        EngineError: A package does not exist, or cannot be read.
        FetchError: Some could not be fetched; those that could are kept.
        StorageError: The disk is full.
        CancelledError: Cancelled; what was fetched is kept.
    """
    work = root.with_suffix(".part")
    made = work / "tree"
    lock = root.with_suffix(".lock")
    try:
        with holding(lock, cancel=cancel, sink=sink, what=what):
            if root.is_dir():  # another farm was quicker
                return
            if made.exists():
                shutil.rmtree(made)
            apt = Apt(work, sources=archive.sources_of(suite), cancel=cancel)
            found = apt.fetch(names, sink, task=f"fetch {what}")
            archives = [path for path in found if not (left_out and left_out.match(path.name))]
            unpack(archives, made, sink, task=f"unpack {what}", cancel=cancel)
            complete(made)
            sync_tree(made)
            made.rename(root)
            shutil.rmtree(work)
    except OSError as error:
        raise storage_error(error, root.parent) from error


def loader_of(tree: Path) -> Path | None:
    """The program loader of a tree's own C library; its libraries lie beside it."""
    return next(iter(sorted(tree.glob("usr/lib/*/ld-linux*.so.*"))), None)


def unpack(
    archives: Sequence[Path],
    root: Path,
    sink: Sink,
    *,
    task: str,
    cancel: Cancel | None = None,
) -> None:
    """Unpack packages into one new tree.

    Raises:
        StorageError: The disk is full.
        EngineError: A package cannot be read.
        CancelledError: Cancelled.
    """
    root.mkdir(parents=True)
    root.chmod(0o755)
    env = {"PATH": programs.search_path(), "LC_ALL": "C.UTF-8"}
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
        if done.status and says_full(done.text):
            raise full_disk(root)
        if done.status:
            package.unlink(missing_ok=True)
            raise EngineError(
                f"cannot unpack {package.name}",
                hint="try again: the package is fetched anew",
                details=programs.last_lines(done.text),
            )
