"""Whether the engine that a user's clients reach may be on another machine: nobody is asked."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT = "default"
"""The context that Docker makes of DOCKER_HOST, or of this machine's socket."""


def maybe_elsewhere(environment: Mapping[str, str], engine: str) -> bool:
    """Whether builds may take place on another machine, by what decides where clients go.

    ``engine`` is auto, user or private; the private one is always here.
    """
    if engine == "private":
        return False
    host = environment.get("DOCKER_HOST", "")
    if host:
        return not host.startswith("unix://")
    return (environment.get("DOCKER_CONTEXT") or chosen_context(environment)) not in {"", DEFAULT}


def chosen_context(environment: Mapping[str, str]) -> str:
    """Return the context that the user's configuration makes current, or nothing."""
    folder = Path(environment.get("DOCKER_CONFIG") or Path.home() / ".docker")
    with suppress(OSError, ValueError, AttributeError):
        text = (folder / "config.json").read_text(encoding="utf-8")
        return str(json.loads(text).get("currentContext") or "")
    return ""
