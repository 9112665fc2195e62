"""What stays of a build: its logs in the run's folder, its result in the store, its bundle."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from farm.events import Outcome
from farm.run.bundling import keep_bundle
from farm.run.logs import BUILD_LOG, CALLS, COMPILE_LOG, compose
from farm.run.smoke_test import DOCKERFILE as TRIED_DOCKERFILE
from farm.run.smoke_test import LOG as TRIED_LOG
from farm.store.bundle import MANIFEST, Ended
from farm.store.record import write_record

if TYPE_CHECKING:
    from pathlib import Path

    from farm.run.attempt import Work
    from farm.run.run_context import RunContext
    from farm.store.record import Record
    from farm.store.results import Result


def keep_logs(exported: Path, folder: Path) -> Path | None:
    """Move the step's own logs beside the build log, which gets its whole lines.

    Returns:
        The compile's log; None if the step left none.
    """
    logs = exported / "logs"
    calls = logs / CALLS
    if calls.is_file() and not calls.is_symlink():
        shutil.move(calls, folder / CALLS)
    raw, timed = logs / COMPILE_LOG, logs / "compile.timed.log"
    if not raw.exists():
        return None
    build_log = folder / BUILD_LOG
    compose(build_log, timed, build_log)
    timed.unlink()
    kept = folder / COMPILE_LOG
    shutil.move(raw, kept)
    return kept


def keep_result(work: Work, wheel: Path, record: Record, context: RunContext) -> Result:
    """Put wheel, record and all that tells of them into the store of results."""
    from farm.attest.files import attest
    from farm.attest.made import Made

    identified, made = work.identified, work.scratch / "result"
    (made / "logs").mkdir(parents=True)
    wheel.rename(made / wheel.name)
    for name in (BUILD_LOG, COMPILE_LOG, CALLS):
        if (work.folder / name).exists():
            shutil.copyfile(work.folder / name, made / "logs" / name)
    for name in ("Dockerfile", MANIFEST):
        shutil.copyfile(work.folder / name, made / name)
    keep_trial(work.folder, made)
    built = Made(unit=identified.unit, manifest=identified.manifest, record=record)
    record = attest(made, built, context.options.sign_key)
    write_record(made, record)
    write_record(work.folder, record)
    ended = Ended(outcome=Outcome.BUILT.value, attempt=record.attempt)
    keep_bundle(work, ended, made, context.place.cache, context.sink)
    return context.results.keep(made, identified.unit.key, identified.identity)


def keep_trial(folder: Path, result: Path) -> None:
    """Keep how the wheel was tried beside it."""
    for name, target in ((TRIED_DOCKERFILE, result), (TRIED_LOG, result / "logs")):
        if (folder / name).exists():
            shutil.copyfile(folder / name, target / name)
