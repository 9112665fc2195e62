"""Run one build step, keep its whole log and how it ended, and exit 0.

An engine with default settings clips what a step prints, and exports nothing of
a step that fails.  So the step writes its log to files that leave with its
results, records its exit status, and succeeds as far as the engine can see.

Files, below ``--out``: ``logs/NAME.log`` (the bytes as they came),
``logs/NAME.timed.log`` (each line after the UTC time at which it began), and
``status.json``, written last and in one piece.  ``--spill`` is a folder in a
cache mount; ``NAME.log`` there survives a cancelled or killed build.

``--jobs`` is a file, which need not be there, of lines like ``MAX_JOBS=4``: the numbers
of this machine, which the command gets in the place of those in the environment.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import selectors
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_BROKEN = 70
EXIT_FORBIDDEN = 71
"""The status of a command that was ended for what it printed."""
NOT_FOUND = 127  # what a shell says for a command that it cannot find
CHUNK_BYTES = 1 << 16
EXCERPT_BYTES = 8192
LINE_CHARACTERS = 500
QUIET_S = 1.0
"""After the command has ended: how long its pipe may stay silent but open."""
DRAIN_S = 10.0
"""After the command has ended: how long a left-over process may go on printing."""
JOBS = {
    "MAX_JOBS": ("MAX_JOBS", "CMAKE_BUILD_PARALLEL_LEVEL", "CARGO_BUILD_JOBS"),
    "NVCC_THREADS": ("NVCC_THREADS",),
}
"""What a file of jobs may say, and which variables of the environment then say it."""
BUDGET = {"FARM_CORES", "FARM_MEMORY_BYTES", "FARM_CALL_BYTES", "FARM_PRIORITY"}
"""What it may say of the budget of all containers: variables of the gate (gate.c)."""
CACHE = "FARM_CACHE_BYTES"
"""What it may say of the compile cache (cache.py)."""
JOBS_LINE = re.compile(r"([A-Z_]+)=([1-9][0-9]{0,17})")
MOST_JOBS = 99999
CALLS = "calls.jsonl"
"""What each call of a compiler took, written by the gate."""
OOM_FILES = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")
PEAK_FILES = ("/sys/fs/cgroup/memory.peak", "/sys/fs/cgroup/memory/memory.max_usage_in_bytes")


def timestamp(seconds: float) -> str:
    """Return ISO-8601 in UTC with milliseconds."""
    whole, fraction = divmod(int(seconds * 1000), 1000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{fraction:03d}Z"


def oom_kills() -> int | None:
    """Return how many processes of this cgroup the kernel has killed; None if it won't say."""
    for name in OOM_FILES:
        with suppress(OSError, ValueError):
            for line in Path(name).read_text(encoding="ascii").splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
    return None


def cgroup_peak_bytes() -> int | None:
    """Return the cgroup's largest memory use, page cache included; None if it won't say."""
    for name in PEAK_FILES:
        with suppress(OSError, ValueError):
            return int(Path(name).read_text(encoding="ascii"))
    return None


class Excerpt:
    """The first and the last few kilobytes of a stream."""

    def __init__(self) -> None:
        self.head = b""
        self.tail = b""

    def write(self, data: bytes) -> None:
        """Take the next bytes."""
        if len(self.head) < EXCERPT_BYTES:
            self.head = (self.head + data)[:EXCERPT_BYTES]
        self.tail = (self.tail + data)[-EXCERPT_BYTES:]

    @staticmethod
    def lines(data: bytes) -> list[str]:
        """Return whole readable lines, long ones cut."""
        text = data.decode("utf-8", "replace").replace("\0", "\ufffd")
        return [line[:LINE_CHARACTERS] for line in text.splitlines()]


class TimedLog:
    """Puts the time at which a line began before it, without holding lines in memory."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        self.at_start = True

    def write(self, data: bytes) -> None:
        """Take the next bytes, which need not end where a line does."""
        stamp = timestamp(time.time()).encode() + b" "
        body, ended = (data[:-1], True) if data.endswith(b"\n") else (data, False)
        text = body.replace(b"\n", b"\n" + stamp)
        self.stream.write((stamp if self.at_start else b"") + text + (b"\n" if ended else b""))
        self.stream.flush()
        self.at_start = ended

    def close(self) -> None:
        """End the last line, if the command did not."""
        if not self.at_start:
            self.stream.write(b"\n")
        self.stream.close()


class Watch:
    """Looks for texts that the command must not print."""

    def __init__(self, forbidden: Sequence[str]) -> None:
        self.needles = [text.encode() for text in forbidden]
        self.line = b""
        self.found: str | None = None

    def write(self, data: bytes) -> None:
        """Take the next bytes; ``found`` is the first line that holds one of the texts."""
        if not self.needles or self.found is not None:
            return
        *whole, self.line = (self.line + data).split(b"\n")
        for line in (*whole, self.line):
            if any(needle in line for needle in self.needles):
                text = line.decode("utf-8", "replace").strip()
                self.found = text[:LINE_CHARACTERS]
                return
        self.line = self.line[-CHUNK_BYTES:]  # a line without an end must not fill the memory


class Tee:
    """Sends each chunk to the live view and to every log."""

    def __init__(
        self, out: Path, name: str, spill: Path | None, forbidden: Sequence[str] = ()
    ) -> None:
        logs = out / "logs"
        logs.mkdir(parents=True, exist_ok=True)
        self.raw = (logs / f"{name}.log").open("wb", buffering=0)
        self.timed = TimedLog((logs / f"{name}.timed.log").open("wb"))
        self.spill = open_spill(spill)
        self.live: int | None = sys.stdout.fileno()
        self.pool = watch_pool()
        self.excerpt = Excerpt()
        self.watch = Watch(forbidden)

    def write(self, data: bytes) -> None:
        """Pass on bytes; only the log files may fail."""
        self.watch.write(data)
        write_all(self.raw.fileno(), data)
        self.timed.write(data)
        self.excerpt.write(data)
        if self.spill is not None:
            try:
                write_all(self.spill.fileno(), data)
            except OSError:  # the copy is a second chance, never the reason of a failure
                self.spill = None
        self.show(data)

    def show(self, data: bytes) -> None:
        """Send bytes to the live view alone."""
        if self.live is not None:
            try:
                write_all(self.live, data)
            except OSError:  # nobody watches any more
                self.live = None

    def hear_pool(self, selector: selectors.BaseSelector) -> None:
        """Let a selector wait for what pool.py says, too."""
        if self.pool is not None and self.pool.stdout is not None:
            selector.register(self.pool.stdout, selectors.EVENT_READ)

    def show_pool(self, ready: set[int], selector: selectors.BaseSelector) -> None:
        """Show what it says, unless that would tear a line of the command's."""
        for descriptor in ready:
            said = os.read(descriptor, CHUNK_BYTES)
            if not said:
                selector.unregister(descriptor)
            elif self.timed.at_start:
                self.show(said)

    def close(self) -> None:
        """Close the files."""
        self.raw.close()
        self.timed.close()
        if self.spill is not None:
            self.spill.close()
        if self.pool is not None:
            self.pool.kill()
            self.pool.communicate()


def watch_pool() -> subprocess.Popen[bytes] | None:
    """Start what tells how the budget is used (pool.py), if there is one."""
    said = [os.environ.get(n) for n in ("FARM_POOL", "FARM_CALLS", "FARM_MEMORY_BYTES")]
    program = Path(__file__).with_name("pool.py")
    if not all(said):
        return None
    argv = [sys.executable, "-I", str(program), str(os.getpid()), *map(str, said)]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(argv, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet)


def write_all(descriptor: int, data: bytes) -> None:
    """Write everything; ``os.write`` may take only a part."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def open_spill(path: Path | None) -> BinaryIO | None:
    """Start the copy afresh; None if there is no place for it.

    A build can leave there what it likes: whatever has the name goes, and no link is followed.
    """
    if path is None:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
        return os.fdopen(os.open(path, flags, 0o644), "wb", buffering=0)
    except OSError:
        return None


def take_jobs(path: Path | None) -> None:
    """Put the numbers of a file of jobs, if there is one, in the place of the environment's.

    Raises:
        ValueError: It says anything but such numbers.
    """
    if path is None or not path.exists():
        return
    for line in path.read_text(encoding="ascii").splitlines():
        said = JOBS_LINE.fullmatch(line)
        name, number = said.groups() if said else ("", "")
        if name in BUDGET or name == CACHE:
            os.environ[name] = number
        elif name in JOBS and int(number) <= MOST_JOBS:
            os.environ.update(dict.fromkeys({*JOBS[name]} & {*os.environ}, number))
        else:
            raise ValueError(f"{line[:LINE_CHARACTERS]!r} is no number of jobs")


def budget() -> dict[str, int]:
    """Return what compilers may take together; nothing if no gate holds them to it."""
    if "FARM_POOL" not in os.environ:
        return {}
    told = {"cores": "FARM_CORES", "memory_bytes": "FARM_MEMORY_BYTES"}
    return {key: int(os.environ[name]) for key, name in told.items() if name in os.environ}


def open_gate(pool: Path | None, package: str, out: Path) -> None:
    """Let compilers wait their turn (gate.c), if there is a budget to share."""
    if pool is None or "FARM_MEMORY_BYTES" not in os.environ:
        return
    calls = out / "logs" / CALLS
    os.environ |= {"FARM_POOL": str(pool), "FARM_PACKAGE": package, "FARM_CALLS": str(calls)}


def pump(child: subprocess.Popen[bytes], tee: Tee) -> None:
    """Copy the child's output until it ends, and then what is left in the pipe.

    It ends sooner where the child prints what it must not.

    A grandchild that stays behind may hold the pipe open for ever, so the end
    of the child counts, not the end of the pipe.
    """
    assert child.stdout is not None  # noqa: S101 - opened as a pipe below; for the type checker
    descriptor = child.stdout.fileno()
    ended_at: float | None = None
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        tee.hear_pool(selector)
        while True:
            timeout = 0.2 if ended_at is None else QUIET_S
            ready = {key.fd for key, _ in selector.select(timeout)}
            tee.show_pool(ready - {descriptor}, selector)
            if descriptor in ready:
                data = os.read(descriptor, CHUNK_BYTES)
                if not data:
                    return
                tee.write(data)
                if tee.watch.found is not None:
                    return
            elif ended_at is not None and not ready:
                return
            if ended_at is None and child.poll() is not None:
                ended_at = time.monotonic()
            if ended_at is not None and time.monotonic() - ended_at > DRAIN_S:
                return


def kill_group(child: subprocess.Popen[bytes]) -> None:
    """End what is left of the child's process group."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def run(argv: Sequence[str], tee: Tee) -> int:
    """Run the command; return its status, negative for a signal, 127 if it can't be started."""
    try:
        child = subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        tee.write(f"farm: error: cannot run {argv[0]!r}: {error.strerror}\n".encode())
        return NOT_FOUND
    signal.signal(signal.SIGTERM, lambda *_: kill_group(child))
    try:
        pump(child, tee)
        if tee.watch.found is not None:
            text = f"the build printed what its recipe forbids: {tee.watch.found}"
            tee.write(f"\nfarm: error: {text}\n".encode())
            return EXIT_FORBIDDEN
        return child.wait()
    finally:
        kill_group(child)
        child.wait()
        if child.stdout is not None:
            child.stdout.close()


def describe(
    options: argparse.Namespace, tee: Tee, *, status: int, started: float, kills: int | None
) -> dict[str, object]:
    """Return what ``status.json`` holds."""
    finished = time.time()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    now = oom_kills()
    return {
        "step": options.name,
        "argv": options.command,
        "exit_status": status if status >= 0 else 128 - status,
        "signal": signal.Signals(-status).name if status < 0 else None,
        "attempt": options.attempt,
        "jobs": {name: os.environ[name] for name in JOBS if name in os.environ},
        "budget": budget(),
        "started": timestamp(started),
        "finished": timestamp(finished),
        "seconds": round(finished - started, 3),
        "peak_rss_bytes": usage.ru_maxrss * 1024,  # Linux counts in KiB: getrusage(2)
        "user_s": round(usage.ru_utime, 3),
        "sys_s": round(usage.ru_stime, 3),
        "cgroup_peak_bytes": cgroup_peak_bytes(),
        "oom_kills": None if now is None or kills is None else now - kills,
        "first_lines": Excerpt.lines(tee.excerpt.head)[:5],
        "last_lines": Excerpt.lines(tee.excerpt.tail)[-40:],
    }


def write_status(out: Path, status: dict[str, object]) -> None:
    """Write ``status.json`` so that it is whole or absent."""
    temporary = out / ".status.json.new"
    temporary.write_text(json.dumps(status, indent=2) + "\n", encoding="utf-8")
    temporary.replace(out / "status.json")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line; the command follows ``--``."""
    parser = argparse.ArgumentParser(prog="step", description=__doc__)
    parser.add_argument("--name", required=True)
    parser.add_argument("--out", required=True, type=Path)
    parser.add_argument("--spill", type=Path, help="folder in a cache mount")
    parser.add_argument("--jobs", type=Path, help="file of this machine's numbers of jobs")
    parser.add_argument("--pool", type=Path, help="folder that the gates of all containers share")
    parser.add_argument("--package", default="", help="whose calls the gate learns from")
    parser.add_argument("--attempt", type=int, default=1)
    parser.add_argument("--forbid", action="append", default=[], help="what it must not print")
    parser.add_argument("command", nargs="+")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the step; return 0 however the command ended, 70 if the step itself broke."""
    options = parse(arguments)
    os.umask(0o022)  # modes reach the wheel, and must not depend on the image
    try:
        take_jobs(options.jobs)
        open_gate(options.pool, options.package, options.out)
        spill = options.spill / f"{options.name}.log" if options.spill else None
        tee = Tee(options.out, options.name, spill, options.forbid)
        started, kills = time.time(), oom_kills()
        try:
            status = run(options.command, tee)
        finally:
            tee.close()
        write_status(
            options.out, describe(options, tee, status=status, started=started, kills=kills)
        )
    except (OSError, ValueError) as error:
        print(f"farm: error: step {options.name}: {error}", file=sys.stderr, flush=True)
        return EXIT_BROKEN
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
