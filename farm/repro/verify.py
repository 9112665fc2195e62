"""Build from nothing, to see whether the same inputs give the same bytes."""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from farm.engine import private
from farm.host.files import storage_errors
from farm.inspect.compare import explain
from farm.repro.reproduce import Verdict, workplace
from farm.store.results import ResultStore, result_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.inspect.compare import Difference
    from farm.repro.grounds import Setting
    from farm.repro.opening import Opened
    from farm.repro.reproduce import Reproduced

_SHARED = ("store", "kept")
"""Of a cache folder, what is believed by hash alone: files that were fetched, wheels."""


@contextmanager
def from_nothing(setting: Setting, opened: Opened) -> Iterator[Setting]:
    """Another engine without any cache, bases made anew, another number of jobs.

    What was fetched is there: it is compared with its hash wherever it is used.  All is
    gone afterwards.

    Raises:
        StorageError: the cache folder cannot be written.
    """
    parent = setting.cache / "tmp"
    with storage_errors(parent):
        parent.mkdir(exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="verify-", dir=parent))
        for name in _SHARED:
            (setting.cache / name).mkdir(exist_ok=True)
            (folder / name).symlink_to(setting.cache / name)
    then = opened.contents.surroundings.max_jobs
    options = replace(
        setting.options,
        engine="private",
        max_jobs=setting.options.max_jobs or (then // 2 if then > 1 else 2),
    )
    try:
        yield replace(setting, cache=folder, options=options, engine=None)
    finally:
        private.stop(folder)
        shutil.rmtree(folder, ignore_errors=True)


def with_causes(done: Reproduced, opened: Opened, *, made_in: Path, known_in: Path) -> Reproduced:
    """A build that gave other bytes, with why; the cache folders hold its wheel and the first.

    Where the first one is no longer kept, nothing is said.
    """
    key = opened.unit.key
    then = ResultStore(known_in / "kept").find(key, done.identity)
    if done.verdict is not Verdict.OTHER_BYTES or then is None:
        return done
    made = result_folder(workplace(made_in).out, key)
    causes: list[Difference] = []
    for wheel in then.record.wheels:
        if (made / wheel.filename).is_file():
            causes += explain(then.folder / wheel.filename, made / wheel.filename)
    return replace(done, causes=tuple(causes))
