"""Get the log of a compile that was cancelled or killed out of the engine's cache."""

from __future__ import annotations

import re
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from farm.engine.engine import BuildRequest
from farm.errors import FarmError

if TYPE_CHECKING:
    from farm.engine.engine import Engine

CACHE_ID = "farm-log"
"""The cache mount to which the compile step copies its log, at ``/farm/log``."""

_KEY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
# ROUND makes the step new each time: what lies in a cache mount is no part of its identity.
_DOCKERFILE = """\
FROM {image} AS copy
ARG ROUND
RUN --network=none --mount=type=cache,id={cache_id},target=/farm/log mkdir /recovered && \
    if [ -f /farm/log/{key}.log ]; then cp /farm/log/{key}.log /recovered/; fi
FROM scratch AS log
COPY --from=copy /recovered/ /
"""


def recover_log(engine: Engine, key: str, *, image: str, timeout_s: float = 20.0) -> bytes | None:
    """Return what the compile step of ``key`` last wrote, or None if nothing can be had.

    Ask only when that step began in this run: the copy of an earlier one stays
    until the step starts again.

    Args:
        engine: The engine on which the step ran.
        key: The name under which the step keeps its copy.
        image: An image that the engine has, with a shell: the unit's base.
        timeout_s: When to give up; a lost log must not hold up the end of a run.
    """
    if not _KEY.fullmatch(key):
        raise ValueError(f"not a log key: {key!r}")
    with tempfile.TemporaryDirectory(prefix="farm-log-") as name:
        folder = Path(name)
        (folder / "context").mkdir()
        dockerfile = folder / "Dockerfile"
        text = _DOCKERFILE.format(image=image, cache_id=CACHE_ID, key=key)
        dockerfile.write_text(text, encoding="utf-8")
        request = BuildRequest(
            unit="log",
            context=folder / "context",
            dockerfile=dockerfile,
            target="log",
            output=folder / "out",
            build_args=(("ROUND", str(time.time_ns())),),
            timeout_s=timeout_s,
        )
        try:
            engine.solve(request, lambda _: None, cancel=threading.Event())
            return (folder / "out" / f"{key}.log").read_bytes()
        except (FarmError, OSError):
            return None
