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

LOG = "compile.log"
"""What the compile step calls the copy of its log in its cache mount, at ``/farm/log``."""

_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")
# ROUND makes the step new each time: what lies in a cache mount is no part of its identity.
# What a build left there need not be a file.
_DOCKERFILE = f"""\
FROM {{image}} AS copy
ARG ROUND
RUN --network=none --mount=type=cache,id={{cache_id}},target=/farm/log mkdir /recovered && \\
    if [ -f /farm/log/{LOG} ] && [ ! -L /farm/log/{LOG} ]; then \\
    cp --no-dereference /farm/log/{LOG} /recovered/; fi
FROM scratch AS log
COPY --from=copy /recovered/ /
"""


def recover_log(
    engine: Engine, cache_id: str, *, image: str, timeout_s: float = 20.0
) -> bytes | None:
    """Return what a compile step last wrote, or None if nothing can be had.

    Ask only when that step began in this run: the copy of an earlier one stays
    until the step starts again.

    Args:
        engine: The engine on which the step ran.
        cache_id: The cache mount of that step (`farm.render.dockerfile.log_id`).
        image: An image that the engine has, with a shell: the unit's base.
        timeout_s: When to give up; a lost log must not hold up the end of a run.
    """
    if not _ID.fullmatch(cache_id):
        raise ValueError(f"not the id of a cache mount: {cache_id!r}")
    with tempfile.TemporaryDirectory(prefix="farm-log-") as name:
        folder = Path(name)
        (folder / "context").mkdir()
        dockerfile = folder / "Dockerfile"
        text = _DOCKERFILE.format(image=image, cache_id=cache_id)
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
            return (folder / "out" / LOG).read_bytes()
        except (FarmError, OSError):
            return None
