"""The build's client: its command line, its environment, and how it is ended.

A few lines of shell stand in for buildx where a fault of the client itself is meant.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from farm.engine.buildx import build, command
from farm.engine.buildx_client import Watch
from farm.engine.endpoint import Endpoint
from farm.engine.engine import BuildRequest
from farm.errors import (
    BuildError,
    CancelledError,
    EngineError,
    FarmError,
    OutOfMemoryError,
    StorageError,
)
from farm.events import Event, StepOutput

FAST = Watch(interval_s=0.1, timeout_s=1, misses=2)


def request(folder: Path, *, timeout_s: float | None = None) -> BuildRequest:
    return BuildRequest(
        unit="a@1:cpu",
        context=folder / "context",
        dockerfile=folder / "Dockerfile",
        target="result",
        output=folder / "out",
        timeout_s=timeout_s,
    )


def client(folder: Path, script: str, *, docker: str = "true") -> Endpoint:
    path = folder / "buildx"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return Endpoint(name="fake", kind="private", docker=(docker,), buildx=(str(path),))


def run(folder: Path, script: str) -> None:
    endpoint = client(folder, script)
    build(endpoint, request(folder), lambda _: None, cancel=threading.Event())


def fails(error: str) -> str:
    return f"cat >&2 <<'END'\nERROR: failed to build: failed to solve: {error}\nEND\nexit 1"


def test_the_command_names_everything_and_no_secret() -> None:
    endpoint = Endpoint(name="e", kind="user", docker=("docker",), buildx=("docker", "buildx"))
    argv = command(
        endpoint,
        BuildRequest(
            unit="u",
            context=Path("/c"),
            dockerfile=Path("/d/Dockerfile"),
            target="result",
            output=Path('/o/with,comma"'),
            build_args=(("MAX_JOBS", "2"),),
            secrets=(("ca", Path("/s/ca.crt")),),
        ),
    )
    assert argv == [
        *("docker", "buildx", "build", "--progress=rawjson"),
        *("--file", "/d/Dockerfile", "--target", "result"),
        *("--output", 'type=local,"dest=/o/with,comma"""'),
        *("--build-arg", "MAX_JOBS=2"),
        *("--secret", "id=ca,src=/s/ca.crt"),
        "/c",
    ]


def test_the_users_shell_does_not_reach_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SOURCE_DATE_EPOCH", "BUILDX_EXPERIMENTAL", "BUILDKIT_PROGRESS", "CFLAGS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("DOCKER_HOST", "unix:///users")
    user = Endpoint(name="u", kind="user", docker=(), buildx=(), env=(("BUILDX_BUILDER", "b"),))
    environment = user.environment()
    assert not {"SOURCE_DATE_EPOCH", "BUILDX_EXPERIMENTAL", "CFLAGS"} & environment.keys()
    assert environment["DOCKER_HOST"] == "unix:///users"
    assert environment["BUILDX_BUILDER"] == "b"
    private = Endpoint(name="p", kind="private", docker=(), buildx=())
    assert "DOCKER_HOST" not in private.environment()


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("rpc error: code = Unavailable desc = error reading from server: EOF", EngineError),
        ("Cannot connect to the Docker daemon at unix:///x. Is it running?", EngineError),
        ("failed to copy files: write /out/x: no space left on device", StorageError),
        ('process "/bin/sh -c x" did not complete successfully: exit code: 137', OutOfMemoryError),
    ],
)
def test_what_is_not_a_steps_own_fault_is_told_apart(
    tmp_path: Path, error: str, expected: type[FarmError]
) -> None:
    with pytest.raises(expected):
        run(tmp_path, fails(error))


def test_a_command_that_mentions_a_fault_is_not_that_fault(tmp_path: Path) -> None:
    words = "connection refused: no space left on device"
    error = f'process "echo {words}" did not complete successfully: exit code: 1'
    endpoint = client(tmp_path, fails(error))
    result = build(endpoint, request(tmp_path), lambda _: None, cancel=threading.Event())
    assert result.exit_status == 1
    assert result.error == f"failed to solve: {error}"


def test_a_client_that_cannot_be_started_is_an_engine_error(tmp_path: Path) -> None:
    endpoint = Endpoint(name="e", kind="user", docker=(), buildx=("/no/such/buildx",))
    with pytest.raises(EngineError):
        build(endpoint, request(tmp_path), lambda _: None, cancel=threading.Event())


def test_a_client_that_is_killed_is_an_engine_error(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="SIGKILL"):
        run(tmp_path, "kill -9 $$")


def test_a_client_that_ignores_the_interrupt_is_killed_with_its_children(tmp_path: Path) -> None:
    cancel = threading.Event()
    pids: list[int] = []

    def receive(event: Event) -> None:
        if isinstance(event, StepOutput):
            pids.extend(int(pid) for pid in event.line.split())
            cancel.set()

    vertex = {"digest": "d", "name": "[compile 1/1] RUN", "started": "2026-01-01T00:00:00Z"}
    script = (
        f"trap '' INT TERM\nsleep 300 & echo '{json.dumps({'vertexes': [vertex]})}' >&2\n"
        "data=$(echo $$ $! | base64 -w0)\n"
        'echo "{\\"logs\\":[{\\"vertex\\":\\"d\\",\\"data\\":\\"$data\\"}]}" >&2\n'
        "while :; do wait; done"
    )
    with pytest.raises(CancelledError):
        build(client(tmp_path, script), request(tmp_path), receive, cancel=cancel)
    assert len(pids) == 2
    assert not any(running(pid) for pid in pids)


def running(pid: int) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_too_long_is_a_build_error(tmp_path: Path) -> None:
    endpoint = client(tmp_path, "exec sleep 300")
    with pytest.raises(BuildError, match=r"longer than 0\.3 s"):
        build(endpoint, request(tmp_path, timeout_s=0.3), lambda _: None, cancel=threading.Event())


def test_an_engine_that_stops_answering_is_given_up(tmp_path: Path) -> None:
    endpoint = client(tmp_path, "exec sleep 300", docker="false")
    with pytest.raises(EngineError, match="stopped answering"):
        build(endpoint, request(tmp_path), lambda _: None, cancel=threading.Event(), watch=FAST)


def test_an_engine_that_answers_is_not_given_up(tmp_path: Path) -> None:
    endpoint = client(tmp_path, "exec sleep 1")
    result = build(
        endpoint, request(tmp_path), lambda _: None, cancel=threading.Event(), watch=FAST
    )
    assert result.exit_status == 0


def test_a_broken_receiver_is_heard_and_does_not_block_the_client(tmp_path: Path) -> None:
    vertex = {"digest": "d", "name": "[compile 1/1] RUN", "started": "2026-01-01T00:00:00Z"}
    (tmp_path / "stream").write_text(json.dumps({"vertexes": [vertex]}) + "\n" + "x" * 1_000_000)

    def receive(_: Event) -> None:
        raise RuntimeError("broken view")

    endpoint = client(tmp_path, f"cat {tmp_path}/stream >&2")
    with pytest.raises(RuntimeError, match="broken view"):
        build(endpoint, request(tmp_path), receive, cancel=threading.Event())


def test_a_process_left_behind_with_the_pipe_open_does_not_hang_the_build(tmp_path: Path) -> None:
    endpoint = client(tmp_path, "sleep 300 & exit 0")
    result = build(endpoint, request(tmp_path), lambda _: None, cancel=threading.Event())
    assert result.exit_status == 0


def test_the_client_does_not_outlive_a_farm_that_is_killed(tmp_path: Path) -> None:
    endpoint = client(
        tmp_path,
        f"echo $$ > {tmp_path}/pid.new; mv {tmp_path}/pid.new {tmp_path}/pid; exec sleep 300",
    )
    code = (
        "import sys, threading; from pathlib import Path;"
        "from farm.engine.buildx import build; from farm.engine.engine import BuildRequest;"
        "from farm.engine.endpoint import Endpoint;"
        f"f = Path({str(tmp_path)!r});"
        f"build(Endpoint(name='e', kind='private', docker=('true',), buildx={endpoint.buildx!r}),"
        "BuildRequest(unit='u', context=f, dockerfile=f, target='t', output=f),"
        "lambda e: None, cancel=threading.Event())"
    )
    with subprocess.Popen([sys.executable, "-c", code]) as farm:
        pause = threading.Event()
        while not (tmp_path / "pid").exists():
            assert farm.poll() is None
            pause.wait(0.05)
        farm.kill()
        farm.wait()
    pid = int((tmp_path / "pid").read_text())
    for _ in range(1200):
        if not running(pid):
            return
        pause.wait(0.05)
    pytest.fail("the client still runs")
