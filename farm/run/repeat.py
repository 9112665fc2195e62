"""The command that repeats a failure."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.model.unit import Unit
    from farm.run.site import Site


def repeat_command(unit: Unit, site: Site) -> str:
    """The command that repeats a failure, wherever it is typed."""
    root, out = site.place.project.root, site.place.out
    words = ["farm"]
    words += [] if Path.cwd().is_relative_to(root) else ["-C", str(root)]
    words += ["build", unit.label]
    words += [] if out == site.place.project.out else ["--output-dir", str(out)]
    words += ["--max-jobs", str(site.options.max_jobs)] if site.options.max_jobs else []
    words += [] if site.options.preflight else ["--no-preflight"]
    if site.options.look and unit.label in site.looked:
        words += ["--until", "configure"]
        words += [word for glob in site.options.look.only for word in ("--only", glob)]
    return shlex.join(words)
