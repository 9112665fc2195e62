"""The engine that other tests use in place of a real one: what it stands for is true of it."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from farm.engine.docker import DockerEngine
from farm.engine.endpoint import Endpoint
from farm.engine.engine import BuildRequest, Container
from farm.errors import (
    BuildError,
    CancelledError,
    EngineError,
    FarmError,
    OutOfMemoryError,
    StorageError,
)
from farm.inspect.policy import check_alone
from farm.inspect.wheel import read_wheel
from tests.support.fake_engine import COMPILE, GPU, RUN, TRIAL, Ends, FakeEngine

if TYPE_CHECKING:
    from pathlib import Path

    from farm.engine.engine import Engine
    from farm.events import Event

UNIT = "a-b@1.0:cpu"
NEVER = threading.Event()


def ignore(event: Event, /) -> None:
    del event


def request(folder: Path, *, number: int = 1, dockerfile: str = "Dockerfile") -> BuildRequest:
    (folder / "context").mkdir(exist_ok=True)
    (folder / dockerfile).write_text("FROM scratch")
    return BuildRequest(
        unit=UNIT,
        context=folder / "context",
        dockerfile=folder / dockerfile,
        target="result",
        output=folder / f"out-{number}",
        build_args=(("FARM_ATTEMPT", str(number)),),
    )


def test_both_are_engines() -> None:
    endpoint = Endpoint(name="e", kind="user", docker=(), buildx=())
    engines: tuple[Engine, ...] = (FakeEngine(), DockerEngine(endpoint=endpoint))
    assert [engine.kind for engine in engines] == ["fake", "user"]


def test_a_build_brings_a_wheel_in_which_nothing_is_wrong(tmp_path: Path) -> None:
    engine = FakeEngine()
    assert engine.solve(request(tmp_path), ignore, cancel=NEVER).exit_status == 0
    (wheel,) = (tmp_path / "out-1").glob("*.whl")
    assert wheel.name == "a_b-1.0-py3-none-any.whl"
    facts = read_wheel(wheel)
    assert (facts.name, facts.version) == ("a-b", "1.0")
    assert check_alone(facts) == ()
    assert json.loads((tmp_path / "out-1/status.json").read_text())["exit_status"] == 0


def test_a_failure_comes_out_of_the_cache_until_something_changes(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.tell(UNIT, COMPILE, Ends.BADLY)
    first = engine.solve(request(tmp_path), ignore, cancel=NEVER)
    again = engine.solve(request(tmp_path), ignore, cancel=NEVER)
    assert [step.cached for step in (*first.steps, *again.steps)] == [False, True]
    assert json.loads((tmp_path / "out-1/status.json").read_text())["exit_status"] == 1
    engine.solve(request(tmp_path, number=2), ignore, cancel=NEVER)
    assert json.loads((tmp_path / "out-2/status.json").read_text())["exit_status"] == 0
    assert engine.built[UNIT] == 2
    assert engine.asked(COMPILE) == 3


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (Ends.LOST, EngineError),
        (Ends.KILLED, OutOfMemoryError),
        (Ends.FULL, StorageError),
        (Ends.LATE, BuildError),
    ],
)
def test_what_goes_wrong_around_a_step_has_the_engines_own_errors(
    tmp_path: Path, ending: Ends, expected: type[FarmError]
) -> None:
    engine = FakeEngine()
    engine.tell(UNIT, COMPILE, ending)
    with pytest.raises(expected):
        engine.solve(request(tmp_path), ignore, cancel=NEVER)
    assert engine.solve(request(tmp_path), ignore, cancel=NEVER).steps[0].cached is False


def test_a_step_that_breaks_brings_nothing_out(tmp_path: Path) -> None:
    engine = FakeEngine()
    engine.tell(UNIT, COMPILE, Ends.BROKEN)
    result = engine.solve(request(tmp_path), ignore, cancel=NEVER)
    assert (result.exit_status, result.failed_step) == (1, COMPILE)
    assert not (tmp_path / "out-1").exists()


def test_what_hangs_ends_when_it_is_cancelled_and_others_go_on(tmp_path: Path) -> None:
    engine, cancel = FakeEngine(), threading.Event()
    engine.tell(UNIT, COMPILE, Ends.HUNG)
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(engine.solve, request(tmp_path), ignore, cancel=cancel)
        engine.until(lambda e: e.running == [(COMPILE, UNIT)])
        trial = request(tmp_path, number=2, dockerfile="Dockerfile.smoke-test")
        engine.solve(trial, ignore, cancel=NEVER)
        assert "passed" in json.loads((tmp_path / "out-2/smoke.json").read_text())
        cancel.set()
        with pytest.raises(CancelledError):
            hanging.result()
    assert engine.most == 2
    assert engine.running == []
    assert [call.step for call in engine.calls] == [COMPILE, TRIAL]


def test_an_image_is_there_until_its_container_took_it_away() -> None:
    engine = FakeEngine()
    engine.images.add("image")
    engine.tell("image", RUN, Ends.BADLY)
    container = Container(image="image", command=("x",))
    assert engine.run(container, cancel=NEVER).status == 1
    gone = Container(image="image", command=("x",), disposable=True)
    assert engine.run(gone, cancel=NEVER).status == 0
    with pytest.raises(EngineError, match="no such image"):
        engine.run(container, cancel=NEVER)
    assert GPU not in {call.step for call in engine.calls}
