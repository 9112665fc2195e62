"""What the compile cache has kept of a package, in a cache mount that only builds reach."""

from __future__ import annotations

import json
import shlex
import shutil
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from farm.engine.engine import small_build
from farm.errors import EngineError, IntegrityError
from farm.host.files import link, storage_errors

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from farm.engine.engine import Engine

TIMEOUT_S = 3600.0
PROGRAM = Path(__file__).resolve().parent.parent / "inside" / "kept.py"
TAR = "compiled.tar"
_STATS = "stats.json"
# ROUND makes the step new each time: what lies in a cache mount is no part of its identity.
_DOCKERFILE = """\
FROM {image} AS kept
ARG ROUND
RUN --network=none --mount=type=cache,id=farm-compiled-1-{package},target=/farm/compiled \\
    --mount=type=bind,target=/farm/context \\
    python3 /farm/context/kept.py {words} --folder /farm/compiled --out /done
FROM scratch AS compiled
COPY --from=kept /done/ /
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """How much is kept of a package; ``oldest_s`` is when the oldest of it was last used, UTC."""

    package: str
    files: int
    size_bytes: int
    oldest_s: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CompileCache:
    """The cache of a package on an engine.  ``image`` is one with Python that the engine has.

    Each method says what is kept then, and raises EngineError, StorageError, CancelledError.
    """

    engine: Engine
    package: str
    image: str
    cancel: threading.Event

    def stats(self) -> Kept:
        """Nothing else."""
        with self._done(("stats",)) as (kept, _):
            return kept

    def prune(self, most_bytes: int) -> Kept:
        """Remove what was not used for longest, until no more is left than that."""
        with self._done(("prune", "--most", str(most_bytes))) as (kept, _):
            return kept

    def export(self, target: Path) -> Kept:
        """Write all of it as one file."""
        with self._done(("export",)) as (kept, folder), storage_errors(target):
            new = target.with_name(f".{target.name}.new")
            shutil.copyfile(folder / TAR, new)
            new.replace(target)
            return kept

    def take(self, source: Path) -> Kept:
        """Put in what such a file holds.

        Raises:
            IntegrityError: it holds something else.
        """
        words = ("import", "--tar", f"/farm/context/{TAR}")
        with self._done(words, source) as (kept, _):
            return kept

    @contextmanager
    def _done(
        self, words: Sequence[str], source: Path | None = None
    ) -> Iterator[tuple[Kept, Path]]:
        text = _DOCKERFILE.format(image=self.image, package=self.package, words=shlex.join(words))
        with small_build("compiled", text, timeout_s=TIMEOUT_S) as request:
            # Of a name of its own: see `farm.run.attempt.Work.context`.
            context = request.context.with_name(f"context-{time.time_ns()}")
            request.context.rename(context)
            with storage_errors(context):
                shutil.copyfile(PROGRAM, context / PROGRAM.name)
                if source:
                    link(source, context / TAR)
            anew = replace(request, context=context, build_args=(("ROUND", str(time.time_ns())),))
            done = self.engine.solve(anew, lambda _: None, cancel=self.cancel)
            if done.farm_errors:
                raise IntegrityError(f"the compile cache of {self.package}: {done.farm_errors[0]}")
            if done.exit_status:
                raise EngineError(f"the compile cache of {self.package}: {done.error}")
            facts = json.loads((request.output / _STATS).read_text(encoding="ascii"))
            yield Kept(package=self.package, **facts), request.output
