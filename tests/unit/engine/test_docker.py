"""Docker Engine behind the interface: containers that end for certain, and what it has to offer.

A few lines of shell stand in for the client; the real one is in tests/integration.
"""

from __future__ import annotations

import json
import os
import socketserver
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.debian.bases import BaseImage
from farm.engine.containers import is_dead, this_farm
from farm.engine.docker import DockerEngine
from farm.engine.endpoint import Endpoint
from farm.engine.engine import Container
from farm.errors import CancelledError, EngineError
from farm.host.machine import Machine, this_machine
from farm.host.process import identify
from tests.support.farming import set_when

if TYPE_CHECKING:
    from collections.abc import Iterator

NEVER = threading.Event()
RUNS = """case $1 in
inspect) echo exited ;;
start) cat; exit 3 ;;
esac"""


class Client:
    """A docker command that notes what it is called with."""

    def __init__(self, folder: Path, script: str, *, host: str = "unix:///x") -> None:
        self.calls = folder / "calls"
        path = folder / "docker"
        path.write_text(f'#!/bin/sh\necho "$*" >> {self.calls}\n{script}\n')
        path.chmod(0o755)
        self.engine = DockerEngine(
            endpoint=Endpoint(name="e", kind="user", docker=(str(path),), buildx=(), host=host)
        )

    @property
    def verbs(self) -> list[str]:
        return [line.split()[0] for line in self.calls.read_text().splitlines()]


def container(**changes: object) -> Container:
    given = {"image": "image", "command": ("program",), **changes}
    return Container(**given)  # type: ignore[arg-type]  # of the right ones


def test_a_container_gets_devices_files_and_input_and_no_network(tmp_path: Path) -> None:
    client = Client(tmp_path, RUNS)
    done = client.engine.run(
        container(
            stdin=b"text\xff",
            devices=(("/dev/a", "/dev/b"),),
            files=((Path("/lib/x"), "/farm/x"),),
        ),
        cancel=NEVER,
    )
    assert (done.status, done.output) == (3, b"text\xff")
    create, copy = client.calls.read_text().splitlines()[1:3]
    assert "--network=none" in create
    assert "--device /dev/a:/dev/b image program" in create
    assert f"--label farm.owner={this_farm()}" in create
    assert copy.startswith("cp --follow-link /lib/x farm-")
    assert copy.endswith(":/farm/x")
    assert client.verbs[-1] == "rm"


@pytest.mark.parametrize("verb", ["create", "cp", "start", "inspect"])
def test_whatever_fails_the_container_and_a_disposable_image_go(tmp_path: Path, verb: str) -> None:
    script = f"case $1 in {verb}) echo no such device >&2; exit 1;; inspect) echo created;; esac"
    client = Client(tmp_path, script)
    given = container(files=((Path("/a"), "/b"),), disposable=True)
    with pytest.raises(EngineError, match="cannot run a container"):
        client.engine.run(given, cancel=NEVER)
    assert client.verbs[-2:] == ["rm", "rmi"]


def test_one_that_does_not_end_in_time_is_ended(tmp_path: Path) -> None:
    client = Client(tmp_path, f"{RUNS}\n".replace("cat; exit 3", "exec sleep 300"))
    with pytest.raises(EngineError, match=r"'docker start' at unix:.* did not end within 0\.2 s"):
        client.engine.run(container(timeout_s=0.2), cancel=NEVER)
    assert client.verbs[-1] == "rm"


@pytest.mark.parametrize("verb", ["create", "cp", "start"])
def test_a_cancel_ends_it_wherever_it_is(tmp_path: Path, verb: str) -> None:
    cancel = threading.Event()
    script = f"case $1 in {verb}) touch {tmp_path}/begun; exec sleep 300;; esac"
    client = Client(tmp_path, script)
    canceller = threading.Thread(target=set_when, args=(cancel, tmp_path / "begun"))
    canceller.start()
    with pytest.raises(CancelledError):
        client.engine.run(container(files=((Path("/a"), "/b"),)), cancel=cancel)
    canceller.join()
    assert client.verbs[-1] == "rm"


def ended_farm() -> str:
    """The label of a farm that was here and is no more."""
    code = "from farm.engine.containers import this_farm; print(this_farm())"
    return subprocess.check_output([sys.executable, "-c", code], text=True).strip()


def test_only_containers_of_farms_that_have_ended_are_swept(tmp_path: Path) -> None:
    listed = f"ps) printf 'one %s\\ntwo %s\\n' '{ended_farm()}' '{this_farm()}';;"
    client = Client(tmp_path, RUNS.replace("inspect)", f"{listed}\ninspect)"))
    client.engine.run(container(), cancel=NEVER)
    assert client.calls.read_text().splitlines()[1] == "rm --force --volumes one"


def test_whose_end_cannot_be_told_is_taken_to_live() -> None:
    me = identify(os.getpid())
    assert me is not None
    boot, namespace, *_ = this_farm().split(":")
    assert is_dead(ended_farm(), is_here=False)
    assert not is_dead(this_farm(), is_here=True)
    assert not is_dead(f"{boot}:1{namespace}:1:1", is_here=True)  # of another container
    assert not is_dead(f"another-boot:{namespace}:1:1", is_here=False)  # of another machine
    assert is_dead(f"another-boot:{namespace}:1:1", is_here=True)  # of an earlier boot
    for text in ("", "x", boot, f"{boot}:{namespace}:-1:", f"{boot}:{namespace}:a:b"):
        assert not is_dead(text, is_here=True)


def test_an_engine_elsewhere_is_asked_what_it_has(tmp_path: Path) -> None:
    far = Client(tmp_path, "echo 64 270000000000", host="ssh://far").engine.capacity()
    assert far == Machine(cores=64, memory_bytes=270_000_000_000, total_bytes=270_000_000_000)
    odd = Client(tmp_path, "echo '<no value>'", host="tcp://far:2376")
    with pytest.raises(EngineError, match="does not say what it has"):
        odd.engine.capacity()


def test_an_engine_here_has_what_the_machine_has(tmp_path: Path) -> None:
    client = Client(tmp_path, "exit 1")
    assert client.engine.capacity().cores == this_machine().cores
    assert not client.calls.exists()


@pytest.mark.parametrize("known", ["sha256:1", "sha256:2"])
def test_a_base_that_is_there_starts_no_client(tmp_path: Path, known: str) -> None:
    with engine_that_knows(tmp_path / "socket", **{"/images/farm-base%3Ax/json": known}):
        client = Client(tmp_path, "exit 1", host=f"unix://{tmp_path}/socket")
        client.engine.load(base(tmp_path), cancel=NEVER)
    assert not client.calls.exists()


def test_a_base_of_another_content_is_loaded(tmp_path: Path) -> None:
    with engine_that_knows(tmp_path / "socket", **{"/images/farm-base%3Ax/json": "sha256:9"}):
        client = Client(tmp_path, "", host=f"unix://{tmp_path}/socket")
        client.engine.load(base(tmp_path), cancel=NEVER)
    assert client.verbs == ["load", "tag"]


def test_an_engine_elsewhere_is_asked_by_its_client_what_it_has_loaded(tmp_path: Path) -> None:
    client = Client(tmp_path, "echo sha256:1", host="ssh://far")
    client.engine.load(base(tmp_path), cancel=NEVER)
    assert client.verbs == ["image"]


def test_loading_a_base_can_be_cancelled(tmp_path: Path) -> None:
    cancel = threading.Event()
    client = Client(tmp_path, f"case $1 in load) touch {tmp_path}/begun; exec sleep 300;; esac")
    canceller = threading.Thread(target=set_when, args=(cancel, tmp_path / "begun"))
    canceller.start()
    with pytest.raises(CancelledError):
        client.engine.load(base(tmp_path), cancel=cancel)
    canceller.join()


def test_an_engine_that_hangs_is_given_up(tmp_path: Path) -> None:
    endpoint = Client(tmp_path, "exec sleep 300").engine.endpoint
    with pytest.raises(EngineError, match=r"'docker load' .* did not end within 0\.2 s"):
        endpoint.ask("load", timeout_s=0.2)


@contextmanager
def engine_that_knows(path: Path, **images: str) -> Iterator[None]:
    """An engine's socket that says of each resource which image it is."""

    class Handler(BaseHTTPRequestHandler):
        def address_string(self) -> str:
            return "local"  # a Unix socket has no other

        def do_GET(self) -> None:
            found = images.get(self.path)
            self.send_response(200 if found else 404)
            self.end_headers()
            self.wfile.write(json.dumps({"Id": found, "Version": found}).encode())

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    with socketserver.ThreadingUnixStreamServer(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


def test_an_engine_says_its_version_over_its_socket_or_by_its_client(tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    with engine_that_knows(socket, **{"/version": "28.5.2"}):
        assert Client(tmp_path, "", host=f"unix://{socket}").engine.version() == "28.5.2"
    elsewhere = Client(tmp_path, "echo 27.1", host="ssh://x.org")
    assert elsewhere.engine.version() == "27.1"
    assert elsewhere.verbs == ["version"]


@pytest.mark.parametrize("host", ["unix:///nowhere", "ssh://x.org"])
def test_a_version_that_nobody_tells_is_empty_and_no_failure(tmp_path: Path, host: str) -> None:
    assert Client(tmp_path, "exit 1", host=host).engine.version() == ""


def base(folder: Path) -> BaseImage:
    return BaseImage(
        origin="mirror",
        digest="sha256:0",
        image_id="sha256:1",
        manifest_digest="sha256:2",
        tag="farm-base:x",
        debs=(),
        archive=folder / "image.tar",
        size_bytes=0,
    )


@pytest.mark.parametrize("docker", ["/no/such/docker", "docker-that-is-not-there"])
def test_a_client_that_is_not_there_is_an_engine_error(docker: str) -> None:
    endpoint = Endpoint(name="e", kind="user", docker=(docker,), buildx=())
    with pytest.raises(EngineError, match="there is no program"):
        endpoint.ask("info")


def test_an_engine_costs_no_slow_import() -> None:
    code = (
        "import importlib, pkgutil, sys, farm.engine as room\n"
        "for module in pkgutil.iter_modules(room.__path__):\n"
        "    importlib.import_module(f'farm.engine.{module.name}')\n"
        "print(*{'requests', 'python_on_whales', 'pydantic', 'rich', 'typer'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "\n"
