"""What ``make lint`` says, beside everything else rather than before it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]


def test_the_code_is_clean() -> None:
    # A make that runs the tests hands its own variables to every make below it.
    of_make = ("MAKE", "MFLAGS")
    env = {name: value for name, value in os.environ.items() if not name.startswith(of_make)}
    done = subprocess.run(
        ["make", "--keep-going", "lint"],
        cwd=ROOT,
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
