"""The real gate before a compiler that takes what it is told to, with a pool of its own."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import struct
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import farm.inside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.engine.endpoint import Endpoint

MIB = 2**20
PATIENCE_S = 120.0
COMPILER = '''\
"""A compiler whose sources say what it takes: MiB, seconds, status; in a child, if asked."""
import json, os, subprocess, sys, time
words = sys.argv[1:]
named = [word for word in words if word.endswith(".c") and os.path.isfile(word)]
if "-c" not in words or not named or {"-MM", "-###"} & {*words}:
    print(json.dumps({"argv": words, "stdin": "" if "-" not in words else sys.stdin.read()}))
    raise SystemExit(3)
take = json.load(open(named[0]))
if take.get("child"):
    code = "import sys, time; b = bytearray(%d << 20); time.sleep(%f)" % (take["mib"], take["s"])
    raise SystemExit(subprocess.call([sys.executable, "-S", "-c", code]))
held = bytearray(take["mib"] << 20)
time.sleep(take["s"])
print("compiled", named[0], flush=True)
raise SystemExit(take.get("status", 0))
'''


def static_gate(engine: Endpoint, image: str, folder: Path) -> Path:
    """The gate as a program that runs on any machine, compiled in a base."""

    def docker(*arguments: str) -> str:
        argv = [*engine.docker, *arguments]
        done = subprocess.run(
            argv, capture_output=True, text=True, check=False, env=engine.environment()
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    source = Path(farm.inside.__file__).with_name("gate.c")
    compile_ = "gcc-14 -Wall -Wextra -Werror -O2 -std=gnu11 -static -o /gate /gate.c"
    container = docker("create", "--network=none", image, "/bin/sh", "-c", compile_)
    try:
        docker("cp", str(source), f"{container}:/gate.c")
        docker("start", "--attach", container)
        docker("cp", f"{container}:/gate", str(folder / "gate"))
    finally:
        docker("rm", "--force", container)
    return folder / "gate"


def _hear_signals() -> None:
    """As from a shell: under nohup all would ignore that the terminal is gone."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gates:
    """One pool, and how to call through it.  ``memory`` and ``first`` are in MiB."""

    folder: Path
    gate: Path
    cores: int = 4
    memory: int = 1000
    first: int = 100
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("pool", "tools", "sources"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        if not self.compiler.exists():
            os.link(self.gate, self.compiler)
            real = self.folder / "tools/cc.real"
            real.write_text(f"#!{sys.executable} -SE\n{COMPILER}")
            real.chmod(0o755)

    @property
    def compiler(self) -> Path:
        return self.folder / "tools/cc"

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "FARM_POOL": str(self.folder / "pool"),
            "FARM_CORES": str(self.cores),
            "FARM_MEMORY_BYTES": str(self.memory * MIB),
            "FARM_CALL_BYTES": str(self.first * MIB),
            "FARM_PACKAGE": "demo",
            "FARM_CALLS": str(self.folder / "calls.jsonl"),
        }

    def source(self, name: str, **take: float | bool) -> Path:
        """A source that takes so many ``mib`` for ``s`` seconds, and ends with ``status``."""
        path = self.folder / "sources" / f"{name}.c"
        path.write_text(json.dumps({"mib": 1, "s": 0.0} | take))
        return path

    def start(self, *words: str | Path, **more: str) -> subprocess.Popen[str]:
        """Call the compiler; tests end whatever is left of it."""
        call = subprocess.Popen(
            [str(self.compiler), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment | more,
            cwd=self.folder,
            preexec_fn=_hear_signals,  # noqa: PLW1509 - these tests have one thread
        )
        self.started.append(call)
        return call

    def compile(self, name: str, **take: float | bool) -> subprocess.Popen[str]:
        return self.start("-c", self.source(name, **take), "-o", f"{name}.o")

    def calls(self) -> list[dict[str, Any]]:
        """What the gate has written down so far."""
        file = self.folder / "calls.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [json.loads(line) for line in lines]

    def held(self) -> dict[int, tuple[int, int]]:
        """Slots that are taken: bytes predicted and used."""
        return dict(self._held())

    def _held(self) -> Iterator[tuple[int, tuple[int, int]]]:
        for path in (self.folder / "pool/slots").glob("*"):
            with path.open("rb") as file:
                with suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                    continue
                yield int(path.name), struct.unpack("QQ", file.read(16).ljust(16, b"\0"))

    def end(self) -> None:
        for call in self.started:
            call.kill()
            call.communicate()

    def with_(
        self, *, cores: int | None = None, memory: int | None = None, first: int | None = None
    ) -> Gates:
        """The same pool with another budget."""
        return replace(
            self,
            cores=cores or self.cores,
            memory=memory or self.memory,
            first=first or self.first,
        )


def until(condition: Callable[[], object]) -> None:
    """Wait for something that comes sooner or later, however busy the machine is."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it never came to that"
        time.sleep(0.01)
