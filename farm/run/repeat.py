"""The commands that repeat a failure."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from farm.engine.buildx import fields
from farm.load.folders import VARIABLE, usual_cache_folder

if TYPE_CHECKING:
    from farm.model.unit import Unit
    from farm.run.options import BuildOptions
    from farm.run.run_context import RunContext


def repeat_command(unit: Unit, context: RunContext) -> str:
    """The command that repeats a failure as recipes are now, wherever it is typed."""
    root, out = context.place.project.root, context.place.out
    words = ["farm"]
    words += [] if Path.cwd().is_relative_to(root) else ["-C", str(root)]
    words += ["build", unit.label]
    words += [] if out == context.place.project.out else ["--output-dir", str(out)]
    words += _option_words(context.options)
    words += _cache_words(context.options)
    words += _shared_words(context.options)
    words += ["--locked"] if context.options.locked else []
    words += [] if context.options.preflight else ["--no-preflight"]
    if context.options.look and unit.label in context.looked:
        words += ["--until", "configure"]
        words += [word for glob in context.options.look.only for word in ("--only", glob)]
    return _variables(context.place.cache) + shlex.join(words)


def reproduce_command(bundle: Path, context: RunContext) -> str:
    """The command that does again just what a bundle holds."""
    words = ["farm", "reproduce", str(bundle), *_option_words(context.options)]
    return _variables(context.place.cache) + shlex.join(words)


def _option_words(options: BuildOptions) -> list[str]:
    """All that may decide whether it fails again, and that each command takes."""
    mirror, memory = options.source_mirror, options.memory_bytes
    valued = {
        "--max-jobs": options.max_jobs,
        "--nvcc-threads": options.nvcc_threads,
        "--memory": f"{round(memory / 2**20, 3):.12g} MiB" if memory else None,
        "--engine": None if options.engine == "auto" else options.engine,
        "--source-mirror": mirror.root if mirror else None,
    }
    words = [word for name, value in valued.items() if value for word in (name, str(value))]
    return words + (["--offline"] if options.offline else [])


def _cache_words(options: BuildOptions) -> list[str]:
    """BuildKit's caches elsewhere; what is reproduced asks none."""
    both = (("--cache-from", options.cache_from), ("--cache-to", options.cache_to))
    return [w for name, caches in both for c in caches for w in (name, fields(*c.pairs))]


def _shared_words(options: BuildOptions) -> list[str]:
    """Results shared with other machines; what is reproduced asks none."""
    if options.results is None:
        return []
    words = ["--results", str(options.results.address)]
    words += [word for path in options.results.trust for word in ("--trust-key", str(path))]
    return words + (["--results-read-only"] if options.results.read_only else [])


def _variables(cache: Path) -> str:
    """The cache folder, where it is not the one that everybody has: there is no option for it."""
    return "" if cache == usual_cache_folder() else f"{VARIABLE}={shlex.quote(str(cache))} "
