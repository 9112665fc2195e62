"""Finding the user's Docker, and saying why it is not used.

The engine is a few lines of shell here: what is tested is what the farm makes of
its answers.  The real ones are in tests/integration.
"""

from __future__ import annotations

import json
import os
import socket
import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.debian import toolbox
from farm.engine.connect import choose, preference, remembered_machine, user_engine
from farm.engine.limits import most_for_builds
from farm.engine.probe import ProbeReport, dead_socket, probe_user_engine
from farm.engine.where import maybe_elsewhere
from farm.errors import CancelledError, EngineError, UsageError
from farm.host.machine import Machine, this_machine
from farm.run.options import BuildOptions
from farm.run.share import machine_before
from tests.support.farming import set_when

if TYPE_CHECKING:
    from farm.events import Event

INFO = {"ID": "one", "ServerVersion": "99.1", "OSType": "linux", "ClientInfo": {}}
CONTEXT = [{"Name": "mine", "Endpoints": {"docker": {"Host": "tcp://127.0.0.1:9"}}}]
OLD = "dockerfile parse error line 2: Unknown flag: network"


class Docker:
    """A docker command on the PATH that answers as told, and a buildx beside it."""

    def __init__(self, folder: Path) -> None:
        self.bin = folder / "bin"
        self.bin.mkdir()
        self.builds = folder / "builds"
        self.buildx = folder / "docker-buildx"

    def write(self, path: Path, script: str) -> None:
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def answer(self, info: object, *, context: object = CONTEXT, said: str = "") -> None:
        self.write(
            self.bin / "docker",
            'case "$*" in\n'
            f"*'context inspect'*) cat <<'E'\n{json.dumps(context)}\nE\n;;\n"
            '*".ID}} {{.ServerVersion"*) echo one 99.1;;\n'
            f"*info*) cat <<'E'\n{json.dumps(info)}\nE\n"
            f"echo '{said}' >&2;;\nesac",
        )

    def with_buildx(self, script: str) -> dict[str, object]:
        self.write(self.buildx, f"echo x >> {self.builds}\n{script}")
        plugins = [{"Name": "buildx", "Path": str(self.buildx)}]
        return {**INFO, "ClientInfo": {"Plugins": plugins}}

    @property
    def build_count(self) -> int:
        return len(self.builds.read_text().splitlines()) if self.builds.exists() else 0


WORKS = """
for a; do case $a in type=local*) d=${a##*dest=};; esac; done
mkdir -p "$d"; echo works >"$d/probe"
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    for name in [name for name in os.environ if name.startswith("DOCKER_")]:
        monkeypatch.delenv(name)
    fake = Docker(tmp_path)
    monkeypatch.setenv("PATH", f"{fake.bin}:/usr/bin:/bin")
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:9")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "config"))
    return fake


def ignore(_: Event) -> None:
    pass


def test_without_docker_the_report_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    report = probe_user_engine()
    assert not report.found
    assert report.summary == "no usable Docker (there is no docker command on the PATH)"


def test_an_absent_socket_needs_no_client(docker: Docker, monkeypatch: pytest.MonkeyPatch) -> None:
    docker.answer(INFO)
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such.sock")
    assert probe_user_engine().detail == "nothing answers at unix:///no/such.sock"


def test_a_socket_that_nobody_listens_on_is_dead(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
    assert dead_socket({"DOCKER_HOST": f"unix://{path}"}) == f"nothing answers at unix://{path}"


def test_a_chosen_context_is_never_called_dead_unasked(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"currentContext": "far"}')
    assert dead_socket({"DOCKER_CONFIG": str(tmp_path)}) == ""
    assert dead_socket({"DOCKER_CONTEXT": "far", "DOCKER_CONFIG": "/none"}) == ""
    assert dead_socket({"DOCKER_HOST": "ssh://far"}) == ""


@pytest.mark.skipif(os.geteuid() != 0, reason="needs to become another user")
def test_a_socket_without_permission_has_its_own_remedy(tmp_path: Path) -> None:
    path = Path("/tmp") / f"farm-test-{os.getpid()}.sock"  # noqa: S108 - others must reach it
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(str(path))
        sock.listen()
        path.chmod(0o600)
        try:
            os.seteuid(65534)
            assert dead_socket({"DOCKER_HOST": f"unix://{path}"}).startswith("permission denied")
        finally:
            os.seteuid(0)
            path.unlink()


def test_permission_denied_by_docker_itself_has_the_remedy(docker: Docker) -> None:
    text = "permission denied while trying to connect to the Docker daemon socket"
    docker.answer({"ServerErrors": [text], "ClientInfo": {}})
    report = probe_user_engine()
    assert (report.found, report.detail) == (False, text)
    assert "group docker" in report.hint


def test_an_engine_that_does_not_answer_is_given_up(docker: Docker) -> None:
    docker.answer(INFO)
    script = (docker.bin / "docker").read_text().replace("*info*)", "*info*) sleep 300;")
    docker.write(docker.bin / "docker", script.removeprefix("#!/bin/sh\n"))
    report = probe_user_engine(timeout_s=0.5)
    assert report.detail == "'docker info' at tcp://127.0.0.1:9 did not end within 0.5 s"


def test_a_context_that_does_not_exist_is_named(docker: Docker) -> None:
    docker.write(docker.bin / "docker", 'echo "context \\"nope\\": context not found" >&2; exit 1')
    assert 'context "nope": context not found' in probe_user_engine().detail


@pytest.mark.parametrize("context", [[], [{}], {}, "no", None])
def test_a_docker_command_that_is_something_else_is_no_crash(
    docker: Docker, context: object
) -> None:
    docker.answer("nonsense", context=context)
    assert not probe_user_engine().found


def test_podman_in_dockers_place_is_named(docker: Docker) -> None:
    docker.answer({"host": {"arch": "amd64"}})
    assert probe_user_engine().detail == "the docker command is podman's"


def test_a_good_engine_is_pinned_to_its_context_and_builder(docker: Docker) -> None:
    docker.answer(docker.with_buildx(WORKS))
    report = probe_user_engine()
    assert report.good
    assert report.endpoint is not None
    assert report.endpoint.docker == (str(docker.bin / "docker"), "--context", "mine")
    assert report.endpoint.buildx == (str(docker.buildx),)
    assert ("BUILDX_BUILDER", "mine") in report.endpoint.env
    assert report.endpoint.host == "tcp://127.0.0.1:9"
    assert not report.endpoint.is_here
    assert report.summary == "your Docker (99.1, context mine)"


@pytest.mark.parametrize(
    ("error", "missing"),
    [
        (OLD, ("RUN --network", "heredocs in Dockerfiles")),
        (
            "dockerfile parse error line 4: unknown instruction: WORKS",
            ("heredocs in Dockerfiles",),
        ),
        ("invalid progress mode rawjson", ("buildx with --progress=rawjson",)),
        ("something else", ("a working build (failed to solve: something else)",)),
    ],
)
def test_what_an_engine_lacks_is_named(
    docker: Docker, error: str, missing: tuple[str, ...]
) -> None:
    docker.answer(docker.with_buildx(f"echo 'ERROR: failed to solve: {error}' >&2; exit 1"))
    assert probe_user_engine().missing == missing


def test_windows_containers_and_other_machines_are_refused(docker: Docker) -> None:
    docker.answer({**INFO, "OSType": "windows"})
    assert probe_user_engine().missing == ("Linux containers",)
    docker.answer({**INFO, "Architecture": "s390x"})
    assert "(it has s390x)" in probe_user_engine().missing[0]


def test_another_buildx_serves_where_there_is_no_plugin(docker: Docker) -> None:
    docker.answer(INFO)
    assert probe_user_engine().missing == ("the buildx plugin",)
    docker.with_buildx(WORKS)
    assert probe_user_engine(other_buildx=(str(docker.buildx),)).good


def test_asked_for_and_not_good_is_an_error_that_says_what_is_missing(
    docker: Docker, tmp_path: Path
) -> None:
    docker.answer(docker.with_buildx(f"echo 'ERROR: failed to solve: {OLD}' >&2; exit 1"))
    with pytest.raises(EngineError, match="lacks RUN --network and heredocs"):
        choose("user", tmp_path / "cache", ignore)


def test_a_probe_is_remembered_until_something_changes(docker: Docker, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    docker.answer(docker.with_buildx(WORKS))
    first = user_engine(cache, ignore)
    assert user_engine(cache, ignore) == first
    assert docker.build_count == 1
    docker.write(docker.bin / "docker", (docker.bin / "docker").read_text() + "# upgraded")
    assert user_engine(cache, ignore) == first
    assert docker.build_count == 2


def test_a_plan_knows_what_the_engine_had_when_it_was_asked_last(
    docker: Docker, tmp_path: Path
) -> None:
    info = docker.with_buildx(WORKS)
    docker.answer({**info, "NCPU": 64, "MemTotal": 270_000_000_000})
    assert remembered_machine(tmp_path) is None
    user_engine(tmp_path, ignore)
    asked = docker.build_count
    far = Machine(cores=64, memory_bytes=270_000_000_000, total_bytes=270_000_000_000)
    assert remembered_machine(tmp_path) == far
    most = replace(far, memory_bytes=most_for_builds(270_000_000_000))
    assert machine_before(tmp_path, BuildOptions()) == (most, True)
    less = replace(far, memory_bytes=7)
    assert machine_before(tmp_path, BuildOptions(memory_bytes=7)) == (less, True)
    with pytest.raises(UsageError, match=r"builds can have 249\.5 GiB of the 251\.5 GiB that"):
        machine_before(tmp_path, BuildOptions(memory_bytes=2**39))
    here, known = machine_before(tmp_path, BuildOptions(engine="private"))
    assert (here.cores, known) == (this_machine().cores, True)
    assert docker.build_count == asked


@pytest.mark.parametrize("said", [{}, {"NCPU": 0, "MemTotal": 9}, {"NCPU": "64", "MemTotal": 9}])
def test_an_engine_that_does_not_say_what_it_has_is_taken_for_this_machine(
    docker: Docker, tmp_path: Path, said: dict[str, object]
) -> None:
    docker.answer({**docker.with_buildx(WORKS), **said})
    user_engine(tmp_path, ignore)
    assert remembered_machine(tmp_path) is None
    assert not machine_before(tmp_path, BuildOptions())[1]


@pytest.mark.parametrize(
    ("environment", "elsewhere"),
    [
        ({}, False),
        ({"DOCKER_HOST": "unix:///run/docker.sock", "DOCKER_CONTEXT": "far"}, False),
        ({"DOCKER_HOST": "ssh://far"}, True),
        ({"DOCKER_CONTEXT": "far"}, True),
        ({"DOCKER_CONTEXT": "default"}, False),
    ],
)
def test_where_an_engine_may_be_is_told_by_what_clients_go_by(
    tmp_path: Path, environment: dict[str, str], *, elsewhere: bool
) -> None:
    environment = {"DOCKER_CONFIG": str(tmp_path), **environment}
    assert maybe_elsewhere(environment, "auto") is elsewhere
    assert not maybe_elsewhere(environment, "private")
    (tmp_path / "config.json").write_text('{"currentContext": "far"}')
    chosen = not {"DOCKER_HOST", "DOCKER_CONTEXT"} & environment.keys()
    assert maybe_elsewhere(environment, "user") is (elsewhere or chosen)


def test_another_engine_behind_the_same_address_is_probed_again(
    docker: Docker, tmp_path: Path
) -> None:
    info = docker.with_buildx(WORKS)
    docker.answer({**info, "ID": "two"})  # which is not what it says the second time
    user_engine(tmp_path, ignore)
    user_engine(tmp_path, ignore)
    assert docker.build_count == 2


def test_a_remembered_probe_that_is_damaged_is_made_again(docker: Docker, tmp_path: Path) -> None:
    docker.answer(docker.with_buildx(WORKS))
    first = user_engine(tmp_path, ignore)
    (kept,) = (tmp_path / "engine").glob("probe-*.json")
    kept.write_text(kept.read_text()[:100])
    assert user_engine(tmp_path, ignore) == first


def test_a_passing_trouble_is_not_remembered(docker: Docker, tmp_path: Path) -> None:
    docker.answer(docker.with_buildx("echo 'ERROR: failed to solve: full' >&2; exit 1"))
    assert not user_engine(tmp_path, ignore).good
    docker.with_buildx(WORKS)
    assert user_engine(tmp_path, ignore).good


@pytest.mark.parametrize("value", ["auto", "user", "private"])
def test_the_variable_says_which_engine(value: str) -> None:
    assert preference({"FARM_ENGINE": value}) == value
    assert preference({}) == preference({"FARM_ENGINE": ""}) == "auto"


def test_an_engine_that_does_not_exist_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="FARM_ENGINE=podman"):
        preference({"FARM_ENGINE": "podman"})


def test_a_cancel_ends_the_probe_and_is_taken_for_no_lack(docker: Docker, tmp_path: Path) -> None:
    cancel = threading.Event()
    docker.answer(docker.with_buildx(f"touch {tmp_path}/begun; exec sleep 300"))
    canceller = threading.Thread(target=set_when, args=(cancel, tmp_path / "begun"))
    canceller.start()
    with pytest.raises(CancelledError):
        choose("user", tmp_path, ignore, cancel=cancel)
    canceller.join()


def test_a_cancel_reaches_the_making_of_farms_own_buildx(
    docker: Docker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.answer(INFO)  # which has no plugin
    cancel = threading.Event()

    def prepare(*_: object, cancel: threading.Event, offline: bool) -> None:
        assert not offline
        cancel.set()
        raise CancelledError("cancelled")

    monkeypatch.setattr(toolbox, "prepare", prepare)
    with pytest.raises(CancelledError):
        user_engine(tmp_path, ignore, cancel=cancel)
    assert cancel.is_set()


def test_a_report_says_why_in_one_line() -> None:
    report = ProbeReport(found=True, name="x", version="1", missing=("a", "b"))
    assert report.summary == "your Docker (1, context x) lacks a and b"
