"""Puts the time of its build into the wheel, as some packages do with their version."""

from datetime import datetime, timezone
from pathlib import Path

from setuptools import setup

Path("fickle.py").write_text(f"BUILT = {datetime.now(timezone.utc).isoformat()!r}\n")
setup(py_modules=["fickle"])
