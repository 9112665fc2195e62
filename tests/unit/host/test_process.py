"""Telling the engine's processes from others that got their numbers."""

from __future__ import annotations

import os
import subprocess
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.engine.place import place_of
from farm.host import process

if TYPE_CHECKING:
    from pathlib import Path


def _ended_in_time(identity: process.ProcessId) -> bool:
    return identity.wait_gone(60)


def test_a_running_process_is_alive_and_one_with_its_number_is_not_it() -> None:
    me = process.identify(os.getpid())
    assert me is not None
    assert me.alive()
    assert not replace(me, start_ticks=me.start_ticks + 1).alive()
    assert not replace(me, boot_id="another boot").alive()
    assert not replace(me, pid=2**22 + 1).alive()


def test_a_zombie_is_not_alive() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        identity = process.identify(child.pid)
        assert identity is not None
        assert identity in process.identify(os.getpid()).children()  # type: ignore[union-attr]
        child.kill()
        assert _ended_in_time(identity)  # though nobody has waited for it
        assert process.identify(child.pid) is None


def test_ending_a_process_that_ignores_the_polite_signal_takes_force() -> None:
    script = "trap '' TERM; echo ready; while :; do sleep 0.1; done"
    with subprocess.Popen(["/bin/sh", "-c", script], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        identity = process.identify(child.pid)
        assert identity is not None
        identity.end(grace_s=0.2)
        assert not identity.alive()


def test_an_identity_is_read_back_while_it_runs_and_not_afterwards(tmp_path: Path) -> None:
    file = tmp_path / "it (s) me)"
    script = 'cat /proc/sys/kernel/random/boot_id /proc/$$/stat >"$1"; exec sleep 60'
    with subprocess.Popen(["/bin/sh", "-c", script, "x", str(file)]) as child:
        deadline = time.monotonic() + 60
        while process.read_identity(file) is None and time.monotonic() < deadline:
            time.sleep(0.01)
        found = process.read_identity(file)
        assert found is not None
        assert found.pid == child.pid
        child.kill()
        child.wait()
        assert process.read_identity(file) is None


def test_a_damaged_identity_counts_as_none(tmp_path: Path) -> None:
    for text in ("", "boot", "boot\n", "boot\n12 (sh) S", "boot\nx (sh) S 1 2 3", "\0\n\0"):
        (tmp_path / "f").write_text(text)
        assert process.read_identity(tmp_path / "f") is None
    assert process.read_identity(tmp_path / "none") is None


def test_the_socket_fits_however_long_the_cache_folder_is_named(tmp_path: Path) -> None:
    long = tmp_path / ("ä" * 60) / ("b" * 80)
    assert len(os.fsencode(place_of(long).socket)) < 108
    assert place_of(long).cgroup != place_of(tmp_path).cgroup
    assert place_of(long).run != place_of(long / "c").run
