"""``farm engine`` with an engine: up, by hand, status, down, reset."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.engine


def test_the_engines_life(farm_cache: Path, fresh_cache: Path, tmp_path: Path) -> None:
    env = {**os.environ, "FARM_CACHE_DIR": str(fresh_cache)}

    def farm(*arguments: str) -> str:
        command = [sys.executable, "-c", "from farm.cli.main import main; main()", *arguments]
        done = subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    told = json.loads(farm("engine", "up", "--json"))
    assert told["status"]["running"] is True
    script = farm("engine", "up").partition("by hand:\n")[2].partition("\nit goes on")[0]
    # What it prints is there to be pasted into a shell.
    by_hand = subprocess.run(
        ["bash", "-c", f"shopt -s expand_aliases\n{script}\ndocker version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Server:" in by_hand.stdout, by_hand.stderr
    assert "runs since" in farm("engine", "status")
    doctor = farm("doctor", "--offline")
    assert "private engine" in doctor
    assert "runs since" in doctor

    assert farm("engine", "down") == "the private engine is stopped\n"
    assert "does not run" in farm("engine", "status")
    assert "freed" in farm("engine", "reset")
    assert not (fresh_cache / "engine").exists()
    # Its tools are links here, into the cache of all tests: what they lead to stays.
    assert list((farm_cache / "engine").glob("toolbox-*/usr/bin/docker"))
