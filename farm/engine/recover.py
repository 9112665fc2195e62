"""Get the log of a compile that was cancelled or killed out of the engine's cache."""

from __future__ import annotations

import re
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.engine.engine import MOUNTS_APART, small_build
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
    engine: Engine, cache_id: str, *, image: str, timeout_s: float = 20.0, apart: bool = False
) -> bytes | None:
    """Return what a compile step last wrote, or None if nothing can be had.

    Ask only when that step began in this run: the copy of an earlier one stays
    until the step starts again.

    Args:
        engine: The engine on which the step ran.
        cache_id: The cache mount of that step (`farm.render.dockerfile.log_id`).
        image: An image that the engine has, with a shell: the unit's base.
        timeout_s: When to give up; a lost log must not hold up the end of a run.
        apart: Whether the step's mounts were its own (`MOUNTS_APART`).
    """
    if not _ID.fullmatch(cache_id):
        raise ValueError(f"not the id of a cache mount: {cache_id!r}")
    text = _DOCKERFILE.format(image=image, cache_id=cache_id)
    with small_build("log", text, timeout_s=timeout_s) as request:
        args = (("ROUND", str(time.time_ns())), *([MOUNTS_APART] if apart else []))
        anew = replace(request, build_args=args)
        try:
            engine.solve(anew, lambda _: None, cancel=threading.Event())
            return (request.output / LOG).read_bytes()
        except (FarmError, OSError):
            return None
