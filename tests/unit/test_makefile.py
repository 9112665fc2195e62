"""make hands on what the user wrote, and never to a shell."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent


def make(tmp_path: Path, *arguments: str) -> str:
    """Run ``make plan`` with a ``farm`` that only shows its arguments."""
    shown = tmp_path / "bin"
    shown.mkdir()
    (shown / "farm").write_text('#!/bin/sh\nfor each in "$@"; do printf "<%s>" "$each"; done\n')
    (shown / "farm").chmod(0o755)
    argv = ["make", "--no-print-directory", "-o", f"{tmp_path}/.ready", "plan"]
    argv += [f"BIN={shown}", f"VENV={tmp_path}", *arguments]
    (tmp_path / ".ready").touch()
    done = subprocess.run(
        argv, cwd=ROOT, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_variables_become_one_selector(tmp_path: Path) -> None:
    told = make(tmp_path, "RECIPE=vllm", "VERSION=0.22.0", "VARIANT=rocm-gfx942")
    assert told == "<plan><vllm@0.22.0:rocm-gfx942>"


@pytest.mark.parametrize("value", ["cpu'; touch pwned; '", "`touch pwned`", '"; touch pwned; "'])
def test_no_shell_reads_a_variable(tmp_path: Path, value: str) -> None:
    assert make(tmp_path, f"VARIANT={value}") == f"<plan><llama-cpp-python:{value}>"
    assert not (ROOT / "pwned").exists()
