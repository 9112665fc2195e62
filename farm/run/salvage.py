"""What a compile had said when it was cancelled, killed, or its engine went away."""

from __future__ import annotations

from typing import TYPE_CHECKING

from farm.engine.rawjson import CLIPPED
from farm.events import StepOutput, StepStarted
from farm.render.dockerfile import log_id
from farm.run.attempt import COMPILE
from farm.run.logs import BUILD_LOG, COMPILE_LOG, extract

if TYPE_CHECKING:
    from farm.events import Event, Sink
    from farm.run.attempt import Work


_CLIPPED = CLIPPED.decode()
_CANCELLED_TIMEOUT_S = 1.0
"""Who presses Ctrl-C gets the prompt back within two seconds."""
_TIMEOUT_S = 20.0


class Witness:
    """A sink that passes events on and remembers whether the compile began, or was clipped."""

    def __init__(self, sink: Sink) -> None:
        self.began = False
        self.clipped = False
        self._sink = sink

    def __call__(self, event: Event, /) -> None:
        """Take note of an event."""
        match event:
            case StepStarted(step="compile"):
                self.began = True
            case StepOutput(line=line) if _CLIPPED in line:
                self.clipped = True
        self._sink(event)


def salvage(work: Work, witness: Witness, *, cancelled: bool) -> None:
    """Write ``compile.log`` as far as the compile got.

    What was seen live is whole unless the engine clipped it; then the engine's
    own copy is, if it can be had in time.
    """
    # An earlier run's copy stays in the engine until the step begins anew.
    if not witness.began:
        return
    log = work.folder / COMPILE_LOG
    saved = _recovered(work, cancelled=cancelled) if witness.clipped else None
    if saved:
        log.write_bytes(saved)
    else:
        extract(work.folder / BUILD_LOG, log, step=COMPILE)


def _recovered(work: Work, *, cancelled: bool) -> bytes | None:
    from farm.engine.recover import recover_log

    manifest = work.identified.manifest
    cache_id = log_id(manifest.dockerfile)
    if cache_id is None:
        return None
    return recover_log(
        work.engine,
        cache_id,
        image=manifest.base.image,
        timeout_s=_CANCELLED_TIMEOUT_S if cancelled else _TIMEOUT_S,
        apart=work.apart,
    )
