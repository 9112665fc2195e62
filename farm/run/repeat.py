"""The command that repeats a failure."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from farm.model.unit import Unit
    from farm.run.run_context import RunContext


def repeat_command(unit: Unit, context: RunContext) -> str:
    """The command that repeats a failure, wherever it is typed."""
    root, out = context.place.project.root, context.place.out
    words = ["farm"]
    words += [] if Path.cwd().is_relative_to(root) else ["-C", str(root)]
    words += ["build", unit.label]
    words += [] if out == context.place.project.out else ["--output-dir", str(out)]
    words += ["--max-jobs", str(context.options.max_jobs)] if context.options.max_jobs else []
    words += [] if context.options.preflight else ["--no-preflight"]
    if context.options.look and unit.label in context.looked:
        words += ["--until", "configure"]
        words += [word for glob in context.options.look.only for word in ("--only", glob)]
    return shlex.join(words)
