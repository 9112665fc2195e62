"""A container at the step at which a build failed, with its files and the failing command ready.

It has no network, as the step had none, and what is run there stays there: nothing of
this machine is mounted.
"""

from __future__ import annotations

import asyncio
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path  # noqa: TC003 - dataclass fields are introspected by callers
from typing import TYPE_CHECKING

from farm.engine.engine import MOUNTS_APART, BuildRequest, Container
from farm.errors import BaseError, BuildError
from farm.host.files import storage_errors
from farm.host.machine import this_machine
from farm.plan.jobs import fitting_jobs
from farm.render.context import INSIDE_FOLDER, PATHS
from farm.repro.reproduce import completed
from farm.repro.stages import stage_at
from farm.run.attempt import COMPILE
from farm.run.layout import write_context
from farm.run.prerequisites import Prerequisites
from farm.run.resources import Resources
from farm.run.secrets import network_secrets
from farm.run.share import capacity_of, given
from farm.run.tasks import Tasks, all_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.engine.engine import Engine, Session
    from farm.repro.grounds import Setting
    from farm.repro.opening import Opened
    from farm.run.prerequisites import Base

AGAIN = "farm-again"
_AGAIN = '#!/bin/sh\nexec python3 -B /farm/inside/again.py "$@"\n'
_SHELL = (
    f"{AGAIN} --show; echo 'repeat it: {AGAIN}; leave: exit' >&2; "
    "if command -v bash >/dev/null; then exec bash; else exec sh; fi"
)
_WITH_SOURCES = {"source", "patched", COMPILE}
"""Stages in which sources are unpacked; only the last two say that they run there."""
_VARIABLES = ("MAX_JOBS", "CMAKE_BUILD_PARALLEL_LEVEL", "CARGO_BUILD_JOBS")
"""How build systems are told the number of jobs; those that a Dockerfile sets are set here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What containers of one build are made with."""

    opened: Opened
    engine: Engine
    context: Path
    max_jobs: int
    nvcc_threads: int
    setting: Setting

    @property
    def dockerfile(self) -> str:
        """The text of the Dockerfile."""
        return self.opened.replay.identified.manifest.dockerfile

    def image(self, stage: str) -> str:
        """Build a stage; returns the name of its image on the engine.

        Raises:
            BuildError: it cannot be built.
            FarmError: the engine, the disk or the user ended it.
        """
        folder = self.opened.folder
        dockerfile, jobs = folder / "Dockerfile", folder / "jobs"
        dockerfile.write_text(self.dockerfile, encoding="utf-8")
        # The attempt that failed: an engine that knows it has it at once.
        args = [("FARM_ATTEMPT", str(self.opened.contents.ended.attempt))]
        args += [] if self.opened.ours else [MOUNTS_APART]
        numbers = f"MAX_JOBS={self.max_jobs}\nNVCC_THREADS={self.nvcc_threads}\n"
        jobs.write_text(numbers, encoding="ascii")
        name = f"farm-shell:{self.opened.contents.identity[:12]}-{stage}"
        with network_secrets(self.opened.unit) as secrets:
            request = BuildRequest(
                unit=self.opened.unit.label,
                context=self.context,
                dockerfile=dockerfile,
                target=stage,
                output=folder / "nothing",
                image=name,
                build_args=tuple(args),
                secrets=(*secrets, ("jobs", jobs)),
            )
            result = self.engine.solve(request, self.setting.sink, cancel=self.setting.cancel)
        if result.exit_status:
            raise BuildError(
                f"{self.opened.unit.label} does not come to {stage} here: {result.error}",
                step=result.failed_step,
                hint="--at names an earlier step",
            )
        return name

    @contextmanager
    def container(
        self, stage: str, command: tuple[str, ...], *, terminal: bool = False
    ) -> Iterator[Session]:
        """A container of a stage, not started yet; raises as `image` and `Engine.session`."""
        container = Container(
            image=self.image(stage),
            command=command or ("/bin/sh", "-c", _SHELL),
            files=tuple((path, "/") for path in sorted(self._tools().iterdir())),
            env=tuple(self._environment()),
            folder=f"/build/{self.opened.unit.key.package}" if stage in _WITH_SOURCES else "",
            terminal=terminal,
            disposable=True,
        )
        with self.engine.session(container, cancel=self.setting.cancel) as session:
            yield session

    def _environment(self) -> Iterator[tuple[str, str]]:
        """The jobs that the step had, where its Dockerfile knows of them."""
        for name in _VARIABLES:
            if f"{name}=" in self.dockerfile:
                yield name, str(self.max_jobs)
        if "NVCC_THREADS=" in self.dockerfile:
            yield "NVCC_THREADS", str(self.nvcc_threads)

    def _tools(self) -> Path:
        """What the step had mounted: its programs, and a folder for its log; and farm-again."""
        tree = self.opened.folder / "tools"
        if tree.exists():
            return tree
        with storage_errors(tree):
            (tree / "farm/log").mkdir(parents=True)
            shutil.copytree(self.context / PATHS.inside, tree / "farm/inside")
            shutil.copyfile(INSIDE_FOLDER / "again.py", tree / "farm/inside/again.py")
            program = tree / "usr/local/bin" / AGAIN
            program.parent.mkdir(parents=True)
            program.write_text(_AGAIN, encoding="ascii")
            program.chmod(0o755)
        return tree


def prepared(opened: Opened, setting: Setting) -> Bench:
    """Bring all that a bundle's build needs, to be built as far as one wants to look.

    Raises:
        FarmError: something cannot be had, or the base is another one here.
    """
    cache, options, unit = setting.cache, setting.options, opened.unit
    replay = completed(opened, cache)
    machine = given(this_machine(), options)

    async def bring() -> tuple[dict[str, Path], Base, Engine]:
        tasks = Tasks(Resources(capacity_of(machine, options)), setting.cancel)
        prerequisites = Prerequisites(
            cache, options, setting.sink, tasks, setting.engine, replay.held
        )
        staged, base = await all_of(prerequisites.inputs(unit), prerequisites.base(unit.base))
        return staged, base, await prerequisites.engine()

    staged, base, found = asyncio.run(bring())
    manifest = replay.identified.manifest
    if base.reference != manifest.base:
        raise BaseError(f"the base is {base.reference.image} here, not {manifest.base.image}")
    # Of a name of its own: see `farm.run.attempt.Work.context`.
    context = opened.folder / f"context-{replay.identified.identity}"
    context.mkdir()
    write_context(context, manifest.context, staged)
    return Bench(
        opened=opened,
        engine=found,
        context=context,
        # Nobody waits here at a gate: only as many at once as surely fit.
        max_jobs=options.max_jobs or fitting_jobs(unit.jobs, machine),
        nvcc_threads=options.nvcc_threads or 1,
        setting=setting,
    )


def failed_stage(opened: Opened, step: str = "") -> str:
    """The stage to look at: where the build failed, or where ``step`` begins.

    Raises:
        UsageError: there is no such step, or nothing before it.
    """
    dockerfile = opened.replay.identified.manifest.dockerfile
    return stage_at(dockerfile, step or opened.contents.ended.step or COMPILE)
