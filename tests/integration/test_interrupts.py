"""Ended at any moment, in any way: nothing runs on, nothing half-made is taken for whole."""

from __future__ import annotations

import hashlib
import http.server
import os
import signal
import threading
import time
from typing import TYPE_CHECKING

import pytest

from farm.engine import private
from tests.support.engines import own_engine
from tests.support.farming import (
    Done,
    Farm,
    Running,
    add_variant,
    borrow_cache,
    copy_project,
    engine_pid,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.engine

SLOW, CPU, NAP = "tiny@1.0:slow", "tiny@1.0:cpu", "tiny@1.0:nap"
SOON_S = 60.0
"""The promise is two seconds, on a machine that is not busy; the compile would take minutes."""
NAP_S = 10
"""Long enough for whatever is to happen in the midst of it, on a machine that is busy."""


@pytest.fixture(scope="module")
def cache(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """With an engine that may be killed."""
    with own_engine(farm_cache, tmp_path_factory.mktemp("interrupts") / "cache") as folder:
        yield folder


@pytest.fixture(scope="module")
def warm(cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine runs and has what every build here starts from."""
    root = copy_project("faults", tmp_path_factory.mktemp("warm") / "project")
    done = Farm(root=root, cache=cache).build("tiny:cpu")
    assert done.code == 0, done.said
    return cache


@pytest.fixture
def farm(cache: Path, tmp_path: Path) -> Farm:
    root = copy_project("faults", tmp_path / "project")
    add_variant(root, "nap", f'env: {{TINY_SLEEP_S: "{NAP_S}", NAP: "{time.time_ns()}"}}')
    return Farm(root=root, cache=cache)


def ended_soon(running: Running, number: signal.Signals) -> Done:
    """Send a signal; the farm is gone soon after it."""
    before = time.monotonic()
    running.signal(number)
    done = running.end()
    took_s = time.monotonic() - before
    print(f"{number.name}: gone after {took_s:.2f} s")  # noqa: T201 - shown with pytest -rP
    assert took_s < SOON_S
    return done


def assert_cancelled(done: Done, unit: str) -> None:
    assert done.code == 130, done.said
    assert done.outcomes() == {unit: "cancelled"}
    assert "Traceback" not in done.said


def assert_nothing_runs_on(farm: Farm) -> None:
    assert until(lambda: not farm.steps_running()), farm.steps_running()
    assert until(lambda: not farm.processes()), farm.processes()


def assert_nothing_published(farm: Farm) -> None:
    """Also where the farm ended before it made ``out/``."""
    found = [path for path in farm.out.glob("*") if path.name != ".farm"]
    assert not any(list(path.iterdir()) for path in found)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_it_compiles_ends_everything_soon_and_the_log_is_kept(
    warm: Path, farm: Farm, number: signal.Signals
) -> None:
    del warm
    with farm.start(SLOW) as running:
        running.until_it_compiles()
        assert farm.steps_running()
        assert any("buildx" in line for line in farm.processes())
        done = ended_soon(running, number)
    assert_cancelled(done, SLOW)
    assert_nothing_runs_on(farm)
    assert_nothing_published(farm)
    (run,) = farm.runs()
    for name in ("build.log", "compile.log"):
        assert "before the wait" in (run / "tiny-1.0/slow" / name).read_text(), name
    assert '"exit_code": 130' in (run / "run.json").read_text()


def test_ctrl_c_ends_several_units_and_those_that_wait(warm: Path, farm: Farm) -> None:
    del warm
    with farm.start("-j", "2", SLOW, NAP, "follower") as running:
        running.until_it_compiles()
        done = ended_soon(running, signal.SIGINT)
    assert done.code == 130
    assert set(done.outcomes().values()) <= {"cancelled", "failed", "blocked"}
    assert done.outcomes()[SLOW] == "cancelled"
    assert set(done.outcomes()) == {SLOW, NAP, "tiny@1.0:broken", "follower@1.0:cpu"}
    assert_nothing_runs_on(farm)


def test_ctrl_c_early_says_one_line_and_no_traceback(warm: Path, farm: Farm) -> None:
    del warm
    for delay_s in (0.05, 0.3, 0.6, 0.9):
        with farm.start(SLOW) as running:
            time.sleep(delay_s)
            done = ended_soon(running, signal.SIGINT)
        assert done.code in {130, -signal.SIGINT}  # before Python has begun, the signal itself
        assert done.code != 130 or "Traceback" not in done.said
        assert_nothing_runs_on(farm)
    assert_nothing_published(farm)


class _Trickle(http.server.BaseHTTPRequestHandler):
    """Sends the beginning of a large file, and then keeps silent."""

    over: threading.Event

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(2**24))
        self.end_headers()
        self.wfile.write(b"x" * (2**17 + 1))  # one piece is told of, and nothing comes after it
        self.wfile.flush()
        self.over.wait(120)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as in http.server
        pass


@pytest.fixture
def trickling() -> Iterator[str]:
    over = threading.Event()
    handler = type("Trickle", (_Trickle,), {"over": over})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/tiny-1.0.tar.gz"
        over.set()
        server.shutdown()
        thread.join()


def test_ctrl_c_during_a_download_ends_it_soon_and_nothing_half_fetched_is_kept_as_whole(
    cache: Path, farm: Farm, trickling: str
) -> None:
    wanted = hashlib.sha256(trickling.encode()).hexdigest()
    recipe = farm.root / "recipes/tiny.yaml"
    with recipe.open("a", encoding="utf-8") as stream:
        stream.write(
            f"sources:\n  big: {{source: {{archive: '{trickling}', sha256: {wanted}}}}}\n"
        )
    with farm.start(CPU) as running:
        running.until(lambda e: e["event"] == "TaskProgress" and e["done"] > 0)
        done = ended_soon(running, signal.SIGINT)
    assert_cancelled(done, CPU)
    assert_nothing_runs_on(farm)
    assert_nothing_published(farm)
    assert not list((cache / "store/sha256").rglob(wanted))


def test_ctrl_c_while_the_base_is_made_ends_it_soon(
    farm_cache: Path, farm: Farm, tmp_path: Path
) -> None:
    cache = borrow_cache(farm_cache, tmp_path / "cache")
    (cache / "bases").unlink()
    (cache / "bases").mkdir()
    fresh = Farm(root=farm.root, cache=cache)
    try:
        with fresh.start(CPU) as running:
            running.until(lambda e: e["event"] == "TaskProgress" and e["done"] >= 3)
            done = ended_soon(running, signal.SIGINT)
        assert_cancelled(done, CPU)
        assert until(lambda: not fresh.processes())
        left = {path.suffix for path in (cache / "bases").iterdir()}
        assert left <= {".lock", ".part"}
    finally:
        private.stop(cache)


def test_a_killed_farm_takes_its_client_and_its_steps_along_and_the_next_run_succeeds(
    warm: Path, farm: Farm
) -> None:
    del warm
    with farm.start(NAP) as running:
        running.until_it_compiles()
        os.kill(running.process.pid, signal.SIGKILL)
        running.process.wait()
    assert_nothing_runs_on(farm)
    assert_nothing_published(farm)
    assert "was killed" in farm.run("status").stdout
    done = farm.build(NAP)
    assert done.code == 0, done.said
    assert done.outcomes() == {NAP: "built"}


def test_a_killed_engine_is_told_in_a_word_and_the_next_run_starts_another(
    warm: Path, farm: Farm
) -> None:
    before = engine_pid(warm)
    with farm.start(NAP) as running:
        running.until_it_compiles()
        os.kill(before, signal.SIGKILL)
        done = running.end()
    assert done.code == 7, done.said
    ended = done.ended(NAP)
    assert "engine" in ended["message"]
    assert "went away" in ended["message"]
    assert ended["hint"]
    assert "Traceback" not in done.said
    assert_nothing_runs_on(farm)
    assert_nothing_published(farm)
    again = farm.build(NAP)
    assert again.code == 0, again.said
    assert again.outcomes() == {NAP: "built"}
    assert engine_pid(warm) != before
