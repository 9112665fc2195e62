"""Crates from cargo's registry, fetched by cargo itself and taken by their hash.

cargo knows where its registry is and how this machine reaches it (mirrors, proxies,
credentials), so farm asks it: an empty package that depends on exactly the wanted crates,
with a Cargo.lock that pins each to its checksum.  Nothing of the source that wants them
is seen by cargo, no crate is compiled, and what cargo leaves is in a folder that is gone
afterwards; the user's own cargo folder is read for settings and never written.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from farm.errors import FarmError, FetchError, IntegrityError
from farm.events import TaskProgress
from farm.host import programs
from farm.host.files import full_disk, says_full, storage_errors
from farm.host.network import NetworkSettings
from farm.source.job import programs_needed
from farm.source.stage import listed

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Mapping, Sequence

    from farm.host.programs import Finished
    from farm.model.crates import Crate
    from farm.source.job import Job
    from farm.source.kinds import CrateFile
    from farm.store.blobs import Store

_PACKAGE = "crates-for-farm"
_HINT = (
    "check the network, the proxy settings and cargo's own configuration, or name a folder "
    "that has them with --source-mirror"
)
_NO_CARGO_HINT = (
    "install cargo (Debian: apt-get install cargo; or rustup), or name a folder that has the "
    "crates with --source-mirror"
)
# Whatever else cargo is told by its variables is the user's way to the registry.
_LEFT_OUT = ("CARGO_HOME", "CARGO_TARGET_DIR", "CARGO_BUILD_", "CARGO_MANIFEST_")
_NOISE = re.compile(r"\s*(?:Updating|Downloading|Downloaded|Locking|Adding|warning|note)\b")
_TOLD_LINES = 15
_WRONG = re.compile(r"checksum for `|failed to verify the checksum")


def fetch_crates(wanted: Sequence[CrateFile], job: Job) -> None:
    """Bring crates of one Cargo.lock, by one cargo that fetches all as they fit together.

    Raises:
        FetchError, IntegrityError, StorageError: Of all that cargo did not bring.
        CancelledError: cancelled; cargo has been ended.
    """
    task = f"fetch {listed(wanted)}"
    got: set[CrateFile] = set()
    _report(job, task, 0, len(wanted))
    try:
        with job.store.work_folder() as work:
            done = _run(work, [crate for crate in wanted[0].among if crate.sha256], job)
            got = {each for each in wanted if _take(work, each, job.store)}
    finally:
        _report(job, task, len(got), len(wanted), finished=True)
    lacking = [each for each in wanted if each not in got]
    if lacking:
        raise _failure(lacking, done, job.store.root)


def _report(job: Job, task: str, done: int, total: int, *, finished: bool = False) -> None:
    measure = "steps"
    job.sink(
        TaskProgress(task=task, done=done, total=total, unit_of_measure=measure, finished=finished)
    )


def _run(work: Path, crates: list[Crate], job: Job) -> Finished:
    home, package = work / "home", work / "package"
    with storage_errors(work):
        home.mkdir()
        package.mkdir()
        (package / "lib.rs").touch()
        (package / "Cargo.toml").write_text(manifest(crates), encoding="utf-8")
        _hand_on_credentials(home)
    cargo = _Cargo(program=_program(work, job), work=work, cancel=job.cancel)
    said = cargo.on_package("metadata", "--no-deps", "--offline", "--format-version=1")
    if said.status:
        return said
    with storage_errors(work):
        lock = lock_text(crates, _registry(said.output))
        (package / "Cargo.lock").write_text(lock, encoding="utf-8")
    return cargo.on_package("fetch")


def _program(work: Path, job: Job) -> Path:
    found = _of_path(work, job.cancel)
    if found is None and job.places.cargo:
        found = job.places.cargo(job.sink, job.cancel)
    if found is None:
        what = "crates are fetched by cargo, and there is none on PATH that runs"
        raise FetchError(what, hint=_NO_CARGO_HINT)
    return found


def _take(work: Path, wanted: CrateFile, store: Store) -> bool:
    """Take what cargo brought; what it had begun when it ended is not what its hash says."""
    for path in (work / "home/registry/cache").glob(f"*/{wanted.filename}"):
        try:
            store.add_file(path, expected=wanted.sha256)
        except IntegrityError:
            continue
        return True
    return False


def _of_path(work: Path, cancel: threading.Event) -> Path | None:
    """Cargo on PATH, if it runs: rustup's stands there without a toolchain too."""
    found = shutil.which("cargo")
    if found is None:
        return None
    cargo = _Cargo(program=Path(found), work=work, cancel=cancel)
    return None if cargo.run("--version").status else cargo.program


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cargo:
    """cargo in a folder of ours: no configuration of a source is ever above it."""

    program: Path
    work: Path
    cancel: threading.Event

    def run(self, *arguments: str) -> Finished:
        with programs_needed():
            return programs.run(
                [str(self.program), *arguments],
                env=_environment(os.environ, self.work / "home"),
                cwd=self.work,
                cancel=self.cancel,
            )

    def on_package(self, verb: str, *options: str) -> Finished:
        place = ("--manifest-path", str(self.work / "package/Cargo.toml"))
        return self.run(*_user_settings(), verb, *options, *place)


def manifest(crates: Iterable[Crate]) -> str:
    """The Cargo.toml of a package that depends on exactly these crates, without any feature."""
    lines = [
        "[package]",
        f'name = "{_PACKAGE}"',
        'version = "0.0.0"',
        'edition = "2021"',
        "[lib]",
        'path = "lib.rs"',
        "[workspace]",
        "[dependencies]",
    ]
    lines += [
        f'c{number} = {{ package = "{crate.name}", version = "={crate.version.partition("+")[0]}"'
        ", default-features = false }"
        for number, crate in enumerate(crates)
    ]
    return "\n".join(lines) + "\n"


def lock_text(crates: Iterable[Crate], registry: str) -> str:
    """A Cargo.lock of version 3 that pins crates, withdrawn ones too; cargo completes the rest."""
    tables = [
        f'[[package]]\nname = "{crate.name}"\nversion = "{crate.version}"\n'
        f'source = "{registry}"\nchecksum = "{crate.sha256}"\n'
        for crate in crates
    ]
    return "\n".join(["version = 3\n", *tables])


def _registry(stdout: bytes) -> str:
    """What cargo calls its default registry in a Cargo.lock."""
    try:
        (package,) = json.loads(stdout)["packages"]
        source = package["dependencies"][0]["source"]
    except (ValueError, KeyError, IndexError, TypeError):
        source = None
    if not isinstance(source, str) or not re.fullmatch(r"[a-z]+\+[^\s\"\\]+", source):
        raise FetchError("cargo does not say what it calls its registry", hint="update cargo")
    return source


def _environment(variables: Mapping[str, str], home: Path) -> dict[str, str]:
    kept = {name: v for name, v in variables.items() if not name.startswith(_LEFT_OUT)}
    bundle = NetworkSettings.of_machine(variables).ca_bundle
    if bundle is not None:
        kept.setdefault("CARGO_HTTP_CAINFO", bundle)
    return {
        **kept,
        "CARGO_HOME": str(home),
        "CARGO_TERM_COLOR": "never",
        "CARGO_TERM_PROGRESS_WHEN": "never",
        "GIT_TERMINAL_PROMPT": "0",
        "LC_ALL": "C.UTF-8",
    }


def _user_home() -> Path:
    return Path(os.environ.get("CARGO_HOME") or Path.home() / ".cargo")


def _user_settings() -> list[str]:
    """The user's configuration, where a CARGO_HOME of ours would hide it."""
    for name in ("config.toml", "config"):
        path = _user_home() / name
        if path.is_file():
            return ["--config", str(path)]
    return []


def _hand_on_credentials(home: Path) -> None:
    """As links: no copy of a secret is made."""
    for name in ("credentials.toml", "credentials"):
        path = _user_home() / name
        if path.is_file():
            (home / name).symlink_to(path.absolute())


def _failure(lacking: list[CrateFile], done: Finished, folder: Path) -> FarmError:
    what = listed(lacking)
    if not done.status:
        return FetchError(
            f"cargo fetched, but left no file of {what} with the pinned checksum",
            hint="does cargo's configuration replace its registry by a folder?",
        )
    lines = [line.strip() for line in done.complaint.splitlines() if not _NOISE.match(line)]
    if says_full(done.complaint):
        return full_disk(folder)
    kind = IntegrityError if any(map(_WRONG.search, lines)) else FetchError
    return kind(
        f"cargo could not fetch {what}: {': '.join(_reasons(lines))}",
        hint=_HINT,
        details=lines[-_TOLD_LINES:],
    )


def _reasons(lines: list[str]) -> list[str]:
    """What cargo calls the error, and the last of its causes, which is the first in time."""
    told = [line.removeprefix("error: ") for line in lines if line.startswith("error")][:1]
    causes = [after for line, after in pairwise(lines) if line == "Caused by:"]
    return [*(told or ["it gave no reason"]), *causes[-1:]]
