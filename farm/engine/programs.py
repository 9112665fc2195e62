"""Put the compile cache's program where the compile steps of an engine find it: in a cache mount.

So it is no part of any unit's context, nor of its identity: a wheel is the same without it.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from farm.engine.engine import small_build
from farm.errors import EngineError
from farm.host.files import link, storage_errors
from farm.model.compile_cache import PROGRAM

if TYPE_CHECKING:
    import threading
    from pathlib import Path

    from farm.engine.engine import Engine

TIMEOUT_S = 300.0
# ROUND makes the step new each time: a mount may be gone of which the engine knows that it was
# filled.  Other builds may have left anything there under that name; it goes.
_DOCKERFILE = f"""\
FROM {{image}} AS put
ARG ROUND
RUN --network=none --mount=type=cache,id=farm-programs-1,target=/farm/programs \\
    --mount=type=bind,target=/farm/context \\
    mkdir /done && cd /farm/programs && \\
    if ! echo "{PROGRAM.sha256}  {PROGRAM.filename}" | sha256sum --check --status; then \\
    cp /farm/context/{PROGRAM.filename} .$ROUND && rm -rf {PROGRAM.filename} && \\
    mv .$ROUND {PROGRAM.filename}; fi
FROM scratch AS program
COPY --from=put /done/ /
"""


def put_program(engine: Engine, wheel: Path, image: str, cancel: threading.Event) -> None:
    """Put the program there, unless it is.  ``image`` is one with a shell that the engine has.

    Raises:
        EngineError: that failed.
        StorageError: the disk is full.
        CancelledError: ``cancel`` was set.
    """
    text = _DOCKERFILE.format(image=image)
    with small_build("program", text, timeout_s=TIMEOUT_S) as request:
        # Of a name of its own: see `farm.run.attempt.Work.context`.
        context = request.context.with_name(f"context-{PROGRAM.sha256[:24]}")
        request.context.rename(context)
        with storage_errors(context):
            link(wheel, context / PROGRAM.filename)
        anew = replace(request, context=context, build_args=(("ROUND", str(time.time_ns())),))
        done = engine.solve(anew, lambda _: None, cancel=cancel)
    if done.exit_status:
        raise EngineError(f"the compile cache could not be put on the engine: {done.error}")
