"""What it says is chosen by a variable."""

import os
from pathlib import Path

from setuptools import setup

Path("pinned/said.py").write_text(f"SAYS = {os.environ['SAYS']!r}\n")
setup(packages=["pinned"])
