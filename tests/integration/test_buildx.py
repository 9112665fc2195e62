"""Builds on a real engine: failing, large, cancelled, killed, cut off."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import farm.inside
from farm.engine import images, private
from farm.engine.buildx import build
from farm.engine.buildx_client import Watch
from farm.engine.docker import DockerEngine
from farm.engine.endpoint import Endpoint
from farm.engine.engine import MOUNTS_APART, BuildRequest, BuildResult
from farm.engine.limits import limit_of, most_for_builds
from farm.engine.place import place_of
from farm.engine.probe import missing_features
from farm.engine.recover import recover_log
from farm.errors import (
    BuildError,
    CancelledError,
    EngineError,
    OutOfMemoryError,
    StorageError,
)
from farm.events import Event, StepFinished, StepOutput, StepProgress
from farm.host.machine import installed_memory
from tests.support.engines import BASE, own_engine
from tests.support.farming import base_at

if TYPE_CHECKING:
    from collections.abc import Iterator

    from farm.debian import bases

pytestmark = pytest.mark.engine

DOCKERFILE = """\
FROM {image} AS base
FROM base AS patched
COPY work.py /work.py
{patched}
FROM patched AS compile
ARG FARM_ATTEMPT=1
ARG ROUND
RUN --network=none --mount=type=cache,id={key},target=/farm/log \\
    --mount=type=bind,source=inside,target=/farm/inside <<EOF
set -eu
python3 /farm/inside/step.py --name compile --out /out --spill /farm/log \\
    --attempt "$FARM_ATTEMPT" -- python3 /work.py {key}
python3 /farm/inside/collect.py --out /out /wheels
EOF
FROM scratch AS result
COPY --from=compile /out/ /
"""
SLEEP = "import time\nprint('going', flush=True)\ntime.sleep(600)\n"


def ignore(_: Event) -> None:
    pass


@pytest.fixture(scope="module")
def own_cache(farm_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache folder whose engine these tests may kill; its toolbox is that of all tests."""
    with own_engine(farm_cache, tmp_path_factory.mktemp("buildx") / "cache") as folder:
        yield folder


@pytest.fixture(scope="module")
def image(farm_cache: Path) -> bases.BaseImage:
    return base_at(farm_cache, BASE)


@dataclass
class Bench:
    """An engine with a base, and a folder to build in."""

    endpoint: Endpoint
    image: str
    folder: Path
    events: list[Event] = field(default_factory=list)
    cancel: threading.Event = field(default_factory=threading.Event)
    going: threading.Event = field(default_factory=threading.Event)

    @property
    def engine(self) -> DockerEngine:
        return DockerEngine(endpoint=self.endpoint)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def key(self) -> str:
        return hashlib.sha256(str(self.folder).encode()).hexdigest()[:16]

    def receive(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, StepOutput) and event.line == "going":
            self.going.set()

    def request(
        self, work: str, *, patched: str = "", timeout_s: float | None = None
    ) -> BuildRequest:
        context = self.folder / "context"
        context.mkdir(exist_ok=True)
        inside = Path(farm.inside.__file__).parent
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(inside, context / "inside", ignore=ignored, dirs_exist_ok=True)
        (context / "work.py").write_text(work)
        text = DOCKERFILE.format(image=self.image, patched=patched, key=self.key)
        (self.folder / "Dockerfile").write_text(text)
        return BuildRequest(
            unit="a@1:cpu",
            context=context,
            dockerfile=self.folder / "Dockerfile",
            target="result",
            output=self.out,
            build_args=(("ROUND", str(time.time_ns())),),
            timeout_s=timeout_s,
        )

    def build(
        self,
        work: str,
        *,
        patched: str = "",
        timeout_s: float | None = None,
        watch: Watch | None = None,
    ) -> BuildResult:
        request = self.request(work, patched=patched, timeout_s=timeout_s)
        return build(self.endpoint, request, self.receive, cancel=self.cancel, watch=watch)

    def status(self) -> dict[str, object]:
        return dict(json.loads((self.out / "status.json").read_text()))


@pytest.fixture
def bench(own_cache: Path, image: bases.BaseImage, tmp_path: Path) -> Bench:
    endpoint = private.ensure_running(own_cache, ignore)
    images.load(image, endpoint)
    return Bench(endpoint=endpoint, image=image.tag, folder=tmp_path)


def pids_of(text: str) -> list[int]:
    """Return the running processes whose command line mentions a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if text.encode() in words.replace(b"\0", b" "):
            found.append(int(path.parent.name))
    return found


def gone(text: str) -> bool:
    """Wait until no process mentions a text."""
    deadline = time.monotonic() + 60
    while pids_of(text):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def when(event: threading.Event, action: object) -> None:
    """Do something, in another thread, when an event is set."""

    def wait() -> None:
        if event.wait(120) and callable(action):
            action()

    threading.Thread(target=wait, daemon=True).start()


def test_the_private_engine_lacks_nothing(bench: Bench) -> None:
    assert missing_features(bench.endpoint, threading.Event()) == ()


def test_steps_run_below_the_engines_own_cgroup(bench: Bench, own_cache: Path) -> None:
    assert bench.build("print(open('/proc/self/cgroup').read())").exit_status == 0
    groups = (bench.out / "logs/compile.log").read_text().split()
    assert any(f":{place_of(own_cache).cgroup}/" in group for group in groups)


def test_the_kernel_holds_all_builds_to_less_than_there_is(bench: Bench, own_cache: Path) -> None:
    del bench
    assert limit_of(place_of(own_cache)) == most_for_builds(installed_memory())


def test_a_build_leaves_wheel_logs_and_status(bench: Bench) -> None:
    work = (
        "import os; os.mkdir('/wheels'); open('/wheels/a-1-py3-none-any.whl', 'w').write('w')\n"
        "print('[1/2] Building a.o')\nprint('caf\u00e9')\n"
    )
    result = bench.build(work)
    assert (result.exit_status, result.error) == (0, "")
    names = {str(path.relative_to(bench.out)) for path in bench.out.rglob("*") if path.is_file()}
    assert names == {
        "a-1-py3-none-any.whl",
        "logs/compile.log",
        "logs/compile.timed.log",
        "status.json",
    }
    assert (bench.out / "logs/compile.log").read_text() == "[1/2] Building a.o\ncaf\u00e9\n"
    status = bench.status()
    assert status["exit_status"] == 0
    digest = hashlib.sha256(b"w").hexdigest()
    assert status["wheels"] == [{"name": "a-1-py3-none-any.whl", "sha256": digest, "size": 1}]
    counted = [event for event in bench.events if isinstance(event, StepProgress)]
    assert [(event.step, event.done, event.total) for event in counted] == [("compile", 1, 2)]
    ended = [event.step for event in bench.events if isinstance(event, StepFinished)]
    assert ended == ["base", "patched", "compile", "result"]


def test_a_failing_compile_still_delivers_its_log_and_status(bench: Bench) -> None:
    result = bench.build("print('a.c:1: error: no'); raise SystemExit(2)")
    assert result.exit_status == 0
    assert bench.status()["exit_status"] == 2
    assert (bench.out / "logs/compile.log").read_text() == "a.c:1: error: no\n"


def test_a_failing_step_before_it_is_named_with_its_error(bench: Bench) -> None:
    patched = "RUN --network=none echo 'farm: error: patch 1.patch: no' >&2; exit 66"
    result = bench.build("pass", patched=patched)
    assert result.exit_status == 1
    assert result.failed_step == "patched"
    assert result.farm_errors == ("patch 1.patch: no",)
    assert result.error.startswith("failed to solve: process ")
    assert result.error.endswith("exit code: 66")
    assert not bench.out.exists()


def test_a_log_of_thirty_megabytes_comes_out_whole(bench: Bench) -> None:
    count = 400_000
    result = bench.build(
        f"import sys\nfor n in range({count}): sys.stdout.write('%07d %s\\n' % (n, 'y' * 72))"
    )
    assert result.exit_status == 0
    log = (bench.out / "logs/compile.log").read_bytes()
    assert len(log) == count * 81
    assert log.endswith(b"%07d %s\n" % (count - 1, b"y" * 72))


def test_a_cancelled_build_leaves_nothing_running_and_its_log_can_be_had(bench: Bench) -> None:
    when(bench.going, bench.cancel.set)
    with pytest.raises(CancelledError):
        bench.build(SLEEP)
    assert not pids_of(str(bench.folder))
    assert gone(f"/work.py {bench.key}")
    assert not bench.out.exists()
    assert recover_log(bench.engine, bench.key, image=bench.image) == b"going\n"


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_only_a_file_is_taken_for_a_log(bench: Bench, kind: str) -> None:
    plant = f"""\
import os, pathlib
place = pathlib.Path("/farm/log/compile.log")
place.unlink()
place.symlink_to("/etc/passwd") if {kind == "link"} else place.mkdir()
"""
    assert bench.build(plant).exit_status == 0
    assert recover_log(bench.engine, bench.key, image=bench.image) is None


def test_a_log_that_was_never_begun_cannot_be_had(bench: Bench) -> None:
    assert recover_log(bench.engine, "never", image=bench.image) is None


def test_a_build_apart_shares_no_cache_mount_with_others(bench: Bench) -> None:
    request = replace(bench.request("print('theirs')"), build_args=(MOUNTS_APART,))
    done = bench.engine.solve(request, ignore, cancel=threading.Event())
    assert done.exit_status == 0, done.error
    assert recover_log(bench.engine, bench.key, image=bench.image) is None
    assert recover_log(bench.engine, bench.key, image=bench.image, apart=True) == b"theirs\n"
    assert recover_log(bench.engine, "never", image="farm-base:none") is None


def test_a_build_that_takes_too_long_is_ended(bench: Bench) -> None:
    with pytest.raises(BuildError, match="took longer"):
        bench.build(SLEEP, timeout_s=5)
    assert gone(f"/work.py {bench.key}")


def test_a_killed_client_is_told_and_its_step_ends(bench: Bench) -> None:
    def kill() -> None:
        for pid in pids_of(str(bench.folder / "Dockerfile")):
            os.kill(pid, signal.SIGKILL)

    when(bench.going, kill)
    with pytest.raises(EngineError, match="SIGKILL"):
        bench.build(SLEEP)
    assert gone(f"/work.py {bench.key}")


def test_a_killed_farm_leaves_neither_client_nor_step(bench: Bench) -> None:
    request = bench.request(SLEEP)
    code = (
        "import sys, threading; from pathlib import Path, PosixPath\n"
        "from farm.engine.buildx import build; from farm.engine.engine import BuildRequest\n"
        "from farm.engine.endpoint import Endpoint\n"
        f"build({bench.endpoint!r}, {request!r}, lambda e: print(e, flush=True),"
        " cancel=threading.Event())\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(farm.inside.__file__).parents[2])}
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, text=True
    ) as process:
        assert process.stdout is not None
        assert any("going" in line for line in process.stdout)
        process.kill()
    assert gone(str(request.dockerfile))
    assert gone(f"/work.py {bench.key}")


def test_a_step_killed_for_memory_says_so(bench: Bench) -> None:
    with pytest.raises(OutOfMemoryError, match="step patched"):
        bench.build("pass", patched="RUN --network=none sh -c 'kill -9 $$'")


def test_a_full_output_folder_is_a_storage_error(bench: Bench) -> None:
    bench.out.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", bench.out], check=True)
    try:
        with pytest.raises(StorageError):
            bench.build("print('x' * 1_000_000)")
    finally:
        subprocess.run(["umount", bench.out], check=True)


def engine_processes(own_cache: Path) -> Iterator[int]:
    """Yield the engine's outermost process and all below it."""
    waiting = [private.status(own_cache).pid or 0]
    while waiting:
        pid = waiting.pop()
        yield pid
        children = Path(f"/proc/{pid}/task/{pid}/children")
        waiting += [int(child) for child in children.read_text().split()]


def test_an_engine_that_is_killed_is_told_and_the_next_one_builds(
    bench: Bench, own_cache: Path
) -> None:
    pid = private.status(own_cache).pid
    assert pid is not None
    when(bench.going, lambda: os.kill(pid, signal.SIGKILL))
    with pytest.raises(EngineError, match="went away"):
        bench.build(SLEEP)
    assert gone(f"/work.py {bench.key}")
    bench.endpoint = private.ensure_running(own_cache, ignore)
    assert bench.build("print('again')").exit_status == 0


def test_an_engine_that_hangs_is_given_up(bench: Bench, own_cache: Path) -> None:
    pids = list(engine_processes(own_cache))[1:]

    def stop() -> None:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)

    when(bench.going, stop)
    try:
        with pytest.raises(EngineError, match="stopped answering"):
            bench.build(SLEEP, watch=Watch(interval_s=0.5, timeout_s=1, misses=2))
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    assert gone(f"/work.py {bench.key}")


def test_an_engine_that_is_not_there_is_told(bench: Bench) -> None:
    host = "unix:///no/such/docker.sock"
    bench.endpoint = Endpoint(
        name="none",
        kind="private",
        docker=(*bench.endpoint.docker[:-1], host),
        buildx=bench.endpoint.buildx,
        env=(*bench.endpoint.env, ("DOCKER_HOST", host)),
    )
    with pytest.raises(EngineError):
        bench.build("pass")
