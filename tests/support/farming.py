"""Runs the ``farm`` command as a user does: a process of its own, on a project of its own."""

from __future__ import annotations

import json
import os
import queue
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from farm.debian import toolbox
from farm.engine import private
from farm.engine.place import place_of
from farm.run.fetching import places_of
from farm.source.debs import base_image
from farm.source.job import Job
from farm.store.blobs import Store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.debian.bases import BaseImage
    from farm.engine.endpoint import Endpoint
    from farm.events import Event, Sink
    from farm.model.unit import RootfsBase

FARM = Path(sys.executable).with_name("farm")
PROJECTS = Path(__file__).parents[1] / "projects"
PATIENCE_S = 1200.0
"""How long anything may take on a machine that is busy with other things."""

_PROC = Path("/proc")
_OWN = ("FARM_", "DOCKER_", "BUILDX_", "BUILDKIT_", "GITHUB_", "GITLAB_")
_OF_A_USER = frozenset({"CI", "MAX_JOBS", "NVCC_THREADS", "PYTHONPATH"})

Told = dict[str, Any]
"""An event as ``--progress json`` prints it."""


def quiet(event: Event, /) -> None:
    """Take an event and keep silent."""
    del event


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """What a command that has ended said."""

    code: int
    stdout: str
    stderr: str

    @property
    def said(self) -> str:
        return self.stdout + self.stderr

    @property
    def events(self) -> list[Told]:
        return [json.loads(line) for line in self.stdout.splitlines()]

    def of(self, kind: str, unit: str) -> list[Told]:
        return [e for e in self.events if e["event"] == kind and e.get("unit") == unit]

    def ended(self, unit: str) -> Told:
        """The event that says how a unit ended."""
        (only,) = self.of("UnitFinished", unit)
        return only

    def outcomes(self) -> dict[str, str]:
        ended = (event for event in self.events if event["event"] == "UnitFinished")
        return {event["unit"]: event["outcome"] for event in ended}

    def span(self, unit: str, step: str) -> tuple[float, float]:
        """When a step really ran, in seconds since the epoch."""
        (last,) = (e for e in self.of("StepFinished", unit) if e["step"] == step)
        return last["time_s"] - last["seconds"], last["time_s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Farm:
    """The command on one project, one cache folder and the private engine of that folder."""

    root: Path
    cache: Path
    variables: tuple[tuple[str, str], ...] = ()

    @property
    def out(self) -> Path:
        return self.root / "out"

    def with_variables(self, **variables: str) -> Farm:
        return replace(self, variables=(*self.variables, *variables.items()))

    def environment(self) -> dict[str, str]:
        """The machine's environment, with nothing in it that steers a farm or a Docker."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(_OWN) and name not in _OF_A_USER
        }
        own = {"FARM_CACHE_DIR": str(self.cache), "FARM_ENGINE": "private", "NO_COLOR": "1"}
        path = os.pathsep.join((str(FARM.parent), os.environ.get("PATH", os.defpath)))
        return inherited | own | {"PATH": path} | dict(self.variables)

    def run(self, *arguments: str) -> Done:
        """Run to the end, from a folder that has nothing to do with the project."""
        done = subprocess.run(
            [str(FARM), "-C", str(self.root), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
            cwd="/",
            timeout=PATIENCE_S,
        )
        return Done(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def build(self, *arguments: str) -> Done:
        """Build, with events on stdout."""
        return self.run("build", "--progress=json", *arguments)

    def paste(self, command: str) -> Done:
        """Run a command that the farm has printed, in a shell, somewhere else."""
        done = subprocess.run(
            ["/bin/sh", "-c", command],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
            cwd="/",
            timeout=PATIENCE_S,
        )
        return Done(code=done.returncode, stdout=done.stdout, stderr=done.stderr)

    def start(self, *arguments: str) -> Running:
        """Start ``farm build`` as a shell does: at the head of a process group of its own."""
        process = subprocess.Popen(
            [str(FARM), "-C", str(self.root), "build", "--progress=json", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
            cwd="/",
            start_new_session=True,
        )
        return Running(process)

    def result(self, variant: str, package: str = "tiny-1.0") -> Path:
        return self.out / package / variant

    def record(self, variant: str, package: str = "tiny-1.0") -> Told:
        text = (self.result(variant, package) / "record.json").read_text(encoding="utf-8")
        record: Told = json.loads(text)
        return record

    def wheel(self, variant: str, package: str = "tiny-1.0") -> Path:
        (only,) = self.result(variant, package).glob("*.whl")
        return only

    def runs(self) -> list[Path]:
        """Folders of the runs so far, oldest first."""
        return sorted(p for p in (self.out / ".farm/runs").glob("2*") if p.is_dir())

    def steps_running(self) -> list[str]:
        """Command lines of build steps that run in the engine now."""
        identity = place_of(self.cache).engine_identity
        try:
            pid = int(identity.read_text(encoding="utf-8").splitlines()[1].split()[0])
        except (OSError, IndexError):
            return []
        return [line for line in _below(pid) if "/farm/inside" in line or "pip wheel" in line]

    def processes(self) -> list[str]:
        """Command lines, on this machine, of what works on this project."""
        return [line for _, line in _command_lines() if str(self.root) in line]


@dataclass(slots=True)
class Running:
    """A farm that runs, with the events that it has told so far."""

    process: subprocess.Popen[str]
    told: list[Told] = field(default_factory=list)
    lines: queue.Queue[str | None] = field(default_factory=queue.Queue)
    complaints: list[str] = field(default_factory=list)
    readers: list[threading.Thread] = field(default_factory=list)

    def __post_init__(self) -> None:
        for target in (self._read, self._read_complaints):
            self.readers.append(threading.Thread(target=target, daemon=True))
            self.readers[-1].start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for reader in self.readers:
            reader.join(60)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()

    def until(self, condition: Callable[[Told], bool]) -> Told:
        """Wait for an event."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            line = self.lines.get(timeout=PATIENCE_S)
            if line is None:
                break
            self.told.append(json.loads(line))
            if condition(self.told[-1]):
                return self.told[-1]
        raise AssertionError(f"it never came to that: {self.told[-5:]} {self.complaints}")

    def until_it_compiles(self) -> None:
        """Wait for the first line that the package's own setup.py prints."""
        self.until(lambda e: e["event"] == "StepOutput" and "before the wait" in e["line"])

    def signal(self, number: signal.Signals) -> None:
        """Send a signal as a terminal does: to all that is in the process group."""
        os.killpg(self.process.pid, number)

    def end(self) -> Done:
        """Wait for the end."""
        code = self.process.wait(PATIENCE_S)
        for reader in self.readers:
            reader.join(60)
        while (line := self.lines.get(timeout=60)) is not None:
            self.told.append(json.loads(line))
        said = "\n".join(json.dumps(event) for event in self.told)
        return Done(code=code, stdout=said, stderr="".join(self.complaints))

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.lines.put(line)
        self.lines.put(None)

    def _read_complaints(self) -> None:
        self.complaints.extend(self.process.stderr or ())


def job_at(cache: Path, sink: Sink, *, offline: bool = False) -> Job:
    """What brings inputs into a cache folder's store."""
    places = places_of(cache, offline=offline, mirror=None)
    return Job(store=Store(cache / "store"), sink=sink, places=places)


def base_at(
    cache: Path, base: RootfsBase, *, offline: bool = False, locked: bool = False
) -> BaseImage:
    """A base in a cache folder, made if it is not there."""
    return base_image(base, job_at(cache, quiet, offline=offline), cache, locked=locked)


def borrow_cache(lender: Path, folder: Path) -> Path:
    """Make a cache folder that shares toolbox, bases and sources with another, but no engine."""
    tools = toolbox.prepare(lender, quiet)
    (folder / "engine").mkdir(parents=True)
    (folder / "engine" / tools.root.name).symlink_to(tools.root)
    for name in ("bases", "store"):
        (lender / name).mkdir(exist_ok=True)
        (folder / name).symlink_to(lender / name)
    return folder


def share_cache(lender: Path, folder: Path) -> Path:
    """Make a cache folder that shares everything with another, its engine too, but results."""
    folder.mkdir(parents=True)
    for name in ("engine", "bases", "store"):
        (lender / name).mkdir(exist_ok=True)
        (folder / name).symlink_to(lender / name)
    return folder


def sharing(lender: Path, root: Path) -> Farm:
    """The command on a project, with the engine and all but the results of a cache folder."""
    return Farm(root=root, cache=share_cache(lender, root.with_name(f"{root.name}.cache")))


def copy_project(name: str, folder: Path) -> Path:
    """Copy a project of the tests, without results that somebody may have left there."""
    ignored = shutil.ignore_patterns("out", "__pycache__")
    return Path(shutil.copytree(PROJECTS / name, folder, ignore=ignored))


def add_variant(root: Path, name: str, *lines: str) -> None:
    """Give the recipe ``tiny`` another variant, with a lock like that of the others."""
    recipe = root / "recipes/tiny.yaml"
    body = "".join(f"    {line}\n" for line in ("toolchain: cpu", *lines))
    with recipe.open("a", encoding="utf-8") as stream:
        stream.write(f"  {name}:\n{body}")
    locks = root / "recipes/locks/tiny/1.0"
    shutil.copyfile(locks / "cpu-py3.13.txt", locks / f"{name}-py3.13.txt")


def until(condition: Callable[[], object], timeout_s: float = 60) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def set_when(event: threading.Event, begun: Path) -> None:
    """Set an event as soon as there is a file."""
    if until(begun.exists, PATIENCE_S):
        event.set()


def in_container(endpoint: Endpoint, image: str, wheel: Path, script: str) -> str:
    """Unpack a wheel in a clean container without network, and run Python there."""
    shell = f"python3 -m zipfile -e /{wheel.name} /site && python3 -c {shlex.quote(script)}"

    def docker(*arguments: str) -> str:
        return subprocess.run(
            [*endpoint.docker, *arguments],
            capture_output=True,
            text=True,
            check=True,
            env=endpoint.environment(),
        ).stdout.strip()

    options = ("--network=none", "--env=PYTHONPATH=/site", image, "/bin/sh", "-c", shell)
    container = docker("create", *options)
    try:
        docker("cp", str(wheel), f"{container}:/{wheel.name}")
        return docker("start", "--attach", container)
    finally:
        docker("rm", "--force", container)


def engine_pid(cache: Path) -> int:
    """The outermost process of the private engine."""
    pid = private.status(cache).pid
    assert pid is not None
    return pid


def _command_lines() -> Iterator[tuple[int, str]]:
    """Running processes; zombies have no command line."""
    for folder in _PROC.glob("[0-9]*"):
        try:
            raw = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if raw:
            yield int(folder.name), raw.replace(b"\0", b" ").decode("utf-8", "replace")


def _below(pid: int) -> Iterator[str]:
    """Command lines of all descendants of a process."""
    try:
        threads = list((_PROC / str(pid) / "task").iterdir())
        children = [c for t in threads for c in (t / "children").read_text("ascii").split()]
    except OSError:
        return
    for child in map(int, children):
        try:
            raw = (_PROC / str(child) / "cmdline").read_bytes()
        except OSError:
            continue
        yield raw.replace(b"\0", b" ").decode("utf-8", "replace")
        yield from _below(child)
