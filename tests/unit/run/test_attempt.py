"""What became of a build: success, a stale failure, and the error that a failure is told as."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

import pytest

from farm.engine.engine import BuildResult
from farm.engine.rawjson import StepSummary
from farm.errors import (
    BuildError,
    ExitCode,
    FarmError,
    IntegrityError,
    OutOfMemoryError,
    PatchError,
    StorageError,
)
from farm.plan.jobs import JobPlan
from farm.render.manifest import BaseReference, Manifest
from farm.run.attempt import Attempt, Work, failure, read_mapping, run_attempt
from farm.run.settle import Identified
from tests.support.fake_engine import FakeEngine
from tests.support.projects import demo_unit

if TYPE_CHECKING:
    from pathlib import Path

    from farm.engine.engine import BuildRequest, Engine
    from farm.events import Sink
    from farm.host.programs import Cancel

LOG = "[1/2] cc a.c\na.c:3:5: error: expected ';'\n    3 | int x\nninja: build stopped\n"


def attempt(
    tmp_path: Path, *, exit_status: int = 0, cached: bool = False, failed: str = "",
    farm_errors: tuple[str, ...] = (), status: dict[str, Any] | None = None, code: int = 66,
) -> Attempt:  # fmt: skip
    steps = [StepSummary(name="compile", seconds=1, cached=cached)]
    if failed:
        steps.insert(
            0, StepSummary(name=failed, seconds=1, cached=False, error=f"exit code: {code}")
        )
    result = BuildResult(
        exit_status=exit_status, seconds=1, steps=tuple(steps), error="failed to solve",
        farm_errors=farm_errors,
    )  # fmt: skip
    return Attempt(number=1, result=result, exported=tmp_path, status=status or {})


def told(tmp_path: Path, found: Attempt, log: str = LOG) -> FarmError:
    path = tmp_path / "build.log"
    path.write_text(log, encoding="utf-8")
    return failure(found, path, FakeEngine())


@pytest.mark.parametrize(
    ("build", "compile_", "compiled"),
    [(0, 0, True), (0, 1, False), (1, 0, False), (0, None, False), (0, "0", False)],
)
def test_a_build_has_compiled_only_if_engine_and_step_say_so(
    tmp_path: Path, build: int, compile_: object, *, compiled: bool
) -> None:
    status = {} if compile_ is None else {"exit_status": compile_}
    assert attempt(tmp_path, exit_status=build, status=status).compiled is compiled


def test_only_a_failure_from_the_cache_is_stale(tmp_path: Path) -> None:
    assert attempt(tmp_path, cached=True, status={"exit_status": 1}).stale_failure
    assert not attempt(tmp_path, cached=False).stale_failure
    assert not attempt(tmp_path, cached=True, status={"exit_status": 0}).stale_failure


def test_a_build_that_was_stopped_is_no_failure_even_from_the_cache(tmp_path: Path) -> None:
    found = attempt(tmp_path, cached=True, status={"exit_status": 75})
    stopped = replace(found, steps={"total": 3, "exit_status": 0})
    assert stopped.stopped
    assert not stopped.stale_failure
    assert not stopped.compiled
    failed = replace(found, steps={"total": 3, "exit_status": 1})
    assert not failed.stopped
    assert failed.stale_failure


def test_the_compilers_own_message_is_what_is_told(tmp_path: Path) -> None:
    error = told(tmp_path, attempt(tmp_path))
    assert isinstance(error, BuildError)
    assert "expected ';'" in error.message
    assert error.step == "compile"
    assert any("int x" in line for line in error.details)


def test_a_patch_that_does_not_fit_is_told_as_one(tmp_path: Path) -> None:
    failed = attempt(tmp_path, exit_status=1, failed="patched", farm_errors=("a.patch: hunk 1",))
    error = told(tmp_path, failed)
    assert isinstance(error, PatchError)
    assert (error.message, error.step) == ("a.patch: hunk 1", "patched")


@pytest.mark.parametrize("step", ["toolkit", "source", "patched", "compile"])
def test_what_is_not_what_its_digest_says_is_told_as_that(tmp_path: Path, step: str) -> None:
    said = ("/farm/x: not what its digest says",)
    failed = attempt(tmp_path, exit_status=1, failed=step, farm_errors=said, code=65)
    error = told(tmp_path, failed)
    assert isinstance(error, IntegrityError)
    assert (error.message, error.step) == (*said, step)


def test_what_farms_programs_say_elsewhere_is_no_patch(tmp_path: Path) -> None:
    failed = attempt(tmp_path, exit_status=1, failed="requirements", farm_errors=("x",))
    assert isinstance(told(tmp_path, failed), BuildError)


def test_a_kill_that_the_kernel_counted_is_memory_whatever_was_said(tmp_path: Path) -> None:
    error = told(tmp_path, attempt(tmp_path, status={"oom_kills": 1}))
    assert isinstance(error, OutOfMemoryError)
    assert error.code is ExitCode.OUT_OF_MEMORY
    assert "MAX_JOBS=1" in error.hint


def test_a_compile_for_which_the_disk_was_too_small_is_told_as_that(tmp_path: Path) -> None:
    found = attempt(tmp_path, status={"exit_status": 1})
    found = replace(found, result=replace(found.result, no_space=True))
    said = "copying core.c\nerror: [Errno 28] No space left on device\n"
    full = "no space left on the disk of the engine fake, on its host"
    for log, message in ((said, f"{full}: {said.splitlines()[1]}"), ("", full)):
        error = told(tmp_path, found, log)
        assert isinstance(error, StorageError)
        assert error.message == message
        assert error.hint
        assert error.step == "compile"


def test_a_killed_compiler_is_memory(tmp_path: Path) -> None:
    log = "g++: fatal error: Killed signal terminated program cc1plus\ncompilation terminated.\n"
    assert isinstance(told(tmp_path, attempt(tmp_path), log), OutOfMemoryError)


def test_a_log_that_says_nothing_leaves_the_exit_status(tmp_path: Path) -> None:
    failed = attempt(tmp_path, status={"exit_status": 77})
    error = told(tmp_path, failed, "")
    assert (error.message, error.details) == ("exit status 77", ("failed to solve",))


@pytest.mark.parametrize("content", [None, "", "{", "[]", "3", "\udc80"])
def test_a_status_that_is_none_is_empty(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "status.json").write_bytes(content.encode(errors="surrogateescape"))
    assert read_mapping(tmp_path / "status.json") == {}


def test_a_status_is_what_the_step_wrote(tmp_path: Path) -> None:
    (tmp_path / "status.json").write_text(json.dumps({"exit_status": 0}))
    assert read_mapping(tmp_path / "status.json") == {"exit_status": 0}


class Taking:
    """An engine that answers in turn and remembers what it was asked, secrets included."""

    def __init__(self, *answers: BuildResult) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[BuildRequest, dict[str, str]]] = []

    def solve(self, request: BuildRequest, sink: Sink, *, cancel: Cancel) -> BuildResult:
        del sink, cancel
        assert (request.context / "given").exists()
        secrets = {name: path.read_text() for name, path in request.secrets}
        self.asked.append((request, secrets))
        return self.answers.pop(0)


def work_on(tmp_path: Path, engine: Taking) -> Work:
    base = BaseReference(image="b", digest="")
    manifest = Manifest(unit="demo", base=base, dockerfile="", context=())
    work = Work(
        identified=Identified(
            unit=demo_unit(tmp_path / "project"), manifest=manifest, identity="ab" * 32
        ),
        engine=cast("Engine", engine),
        folder=tmp_path,
        scratch=tmp_path / "scratch",
        jobs=JobPlan(max_jobs=6, nvcc_threads=2, arithmetic=""),
    )
    work.context.mkdir(parents=True)
    (work.context / "given").touch()
    return work


DONE = BuildResult(exit_status=0, seconds=0)
REFUSED = BuildResult(
    exit_status=1,
    seconds=1,
    steps=(StepSummary(name="source", seconds=1, cached=False, error="exit code: 65"),),
)


def test_jobs_are_a_secret_and_no_argument_which_would_be_in_the_engines_key(
    tmp_path: Path,
) -> None:
    engine = Taking(DONE)
    run_attempt(work_on(tmp_path, engine), 1, lambda _: None, threading.Event())
    ((request, secrets),) = engine.asked
    assert secrets == {"jobs": "MAX_JOBS=6\nNVCC_THREADS=2\n"}
    assert {name for name, _ in request.build_args} == {"FARM_ATTEMPT"}


@pytest.mark.parametrize("again", [DONE, REFUSED])
def test_what_is_refused_is_sent_once_more_under_another_name(
    tmp_path: Path, again: BuildResult
) -> None:
    engine = Taking(REFUSED, again)
    attempt = run_attempt(work_on(tmp_path, engine), 1, lambda _: None, threading.Event())
    assert attempt.result is again
    first, second = (request.context for request, _ in engine.asked)
    assert first.name != second.name
    assert not first.exists()
