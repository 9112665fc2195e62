"""The private engine and the bases for real: what they do, and every way to disturb them.

Needs root, apt-get and a Debian mirror.  Toolbox and base are made once, in the
cache folder of all tests; the engines here have folders of their own.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from tempfile import gettempdir
from typing import TYPE_CHECKING, Any

import pytest

from farm.debian import archive, bases, toolbox
from farm.engine import images, namespaces, private
from farm.engine.docker import DockerEngine
from farm.engine.engine import Container
from farm.engine.place import place_of
from farm.errors import BaseError, CancelledError, EngineError, FetchError, StorageError
from farm.events import Event, Notice, TaskProgress
from farm.host import process
from farm.host.network import proxy_variables
from farm.model.unit import RootfsBase
from farm.source.debs import base_image
from farm.source.job import Job
from farm.store.blobs import Store
from tests.support.engines import BASE
from tests.support.farming import base_at

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from farm.debian.bases import BaseImage
    from farm.debian.toolbox import Toolbox
    from farm.engine.endpoint import Endpoint

pytestmark = pytest.mark.engine


def quiet(event: Event, /) -> None:
    del event


def read(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout


def docker(endpoint: Endpoint, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*endpoint.docker, *arguments]
    environment = endpoint.environment()
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


def until(condition: Callable[[], object], timeout_s: float = 60) -> bool:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def processes_with(text: str) -> list[str]:
    """Command lines of the running processes (zombies have none) that hold a text."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if text in line:
            found.append(line)
    return found


@pytest.fixture(scope="module")
def tools(farm_cache: Path) -> Toolbox:
    return toolbox.prepare(farm_cache, quiet)


@pytest.fixture(scope="module")
def base(farm_cache: Path) -> BaseImage:
    return base_at(farm_cache, BASE)


def made_at(cache: Path, base: RootfsBase = BASE) -> BaseImage | None:
    resolved = bases.known(base, cache)
    return bases.made(resolved, cache) if resolved else None


def share(tools: Toolbox, cache: Path) -> Path:
    """Make another cache folder that has the toolbox already."""
    (cache / "engine").mkdir(parents=True, exist_ok=True)
    (cache / "engine" / tools.root.name).symlink_to(tools.root)
    return cache


def supplied(tools: Toolbox, cache: Path) -> Path:
    """Make another cache folder that has the packages of bases too."""
    (cache / "store").symlink_to(tools.root.parent.parent / "store")
    return share(tools, cache)


@pytest.fixture(scope="module")
def cache(tools: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = share(tools, tmp_path_factory.mktemp("cache"))
    yield folder
    private.stop(folder)


@pytest.fixture
def own_cache(tools: Toolbox, tmp_path: Path) -> Iterator[Path]:
    folder = share(tools, tmp_path / "cache")
    yield folder
    private.stop(folder)


def test_a_base_runs_its_compiler_without_network_and_reaches_out_only_when_asked(
    cache: Path, base: BaseImage
) -> None:
    endpoint = private.ensure_running(cache, quiet)
    images.load(base, endpoint)
    images.load(base, endpoint)
    run = ("run", "--rm", "--network=none", base.tag)
    assert "gcc" in docker(endpoint, *run, "gcc", "--version").stdout
    assert {d.name: d.version for d in base.debs}["gcc-14"].startswith("14.")
    found = re.match(r"(https?)://([^/:@]+)(?::([0-9]+))?/", archive.mirror() + "/")
    if found and not proxy_variables():
        port = found[3] or {"http": "80", "https": "443"}[found[1]]
        reach = f"exec 3<>/dev/tcp/{found[2]}/{port} && echo reached"
        inside = docker(endpoint, "run", "--rm", base.tag, "bash", "-c", reach)
        assert inside.stdout == "reached\n"
        assert "reached" not in docker(endpoint, *run, "bash", "-c", reach).stdout


def test_buildx_builds_with_the_users_docker_settings_out_of_the_way(
    cache: Path, base: BaseImage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "BUILDX_BUILDER"):
        monkeypatch.setenv(name, "tcp://127.0.0.1:9")
    endpoint = private.ensure_running(cache, quiet)
    images.load(base, endpoint)
    (tmp_path / "Dockerfile").write_text(
        f"FROM {base.tag} AS build\n"
        "RUN --network=none --mount=type=cache,target=/c <<end\n"
        "echo 'int main(){return 0;}' | gcc -xc - -o /c/a && mkdir /out && cp /c/a /out/\n"
        "end\n"
        "FROM scratch\nCOPY --from=build /out /\n"
    )
    for client in (endpoint.buildx, (*endpoint.docker, "buildx")):
        out = tmp_path / f"out{len(client)}"
        done = subprocess.run(
            [*client, "build", "--progress=rawjson", f"--output={out}", str(tmp_path)],
            capture_output=True,
            text=True,
            check=False,
            env=endpoint.environment(),
        )
        assert done.returncode == 0, done.stderr
        assert subprocess.run([out / "a"], check=False).returncode == 0


def test_python_on_whales_can_use_the_clients(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from python_on_whales import DockerClient

    endpoint = private.ensure_running(cache, quiet)
    for name, value in endpoint.env:
        monkeypatch.setenv(name, value)
    client = DockerClient(client_call=list(endpoint.docker))
    assert client.info().driver


def mounts(cache: Path) -> list[str]:
    """What is mounted, but for what other tests have mounted in their own folders."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [line for line in lines if gettempdir() not in line or str(cache.parent) in line]


def machine(cache: Path) -> dict[str, str]:
    """What an engine could change on the machine."""
    name = place_of(cache).cgroup.lstrip("/")
    groups = sorted(str(path) for path in Path("/sys/fs/cgroup").glob(f"**/{name}*"))
    return {
        "links": read("ip", "-o", "link"),
        "rules": read("iptables-save", "-t", "nat") if shutil.which("iptables-save") else "",
        "forwarding": Path("/proc/sys/net/ipv4/ip_forward").read_text(),
        "mounts": "\n".join(sorted(mounts(cache))),
        "cgroups": "\n".join(groups),
    }


def test_starting_and_stopping_changes_nothing_on_the_machine(own_cache: Path) -> None:
    before = machine(own_cache)
    private.ensure_running(own_cache, quiet)
    during = machine(own_cache)
    status = private.status(own_cache)
    assert status.running
    assert status.facts is not None
    assert status.facts.version
    assert status.data_bytes > 0
    assert private.stop(own_cache)
    assert not private.stop(own_cache)
    assert not private.status(own_cache).running
    assert {name: during[name] for name in ("links", "rules", "forwarding", "mounts")} == {
        name: before[name] for name in ("links", "rules", "forwarding", "mounts")
    }
    assert machine(own_cache) == before
    assert not processes_with(str(own_cache))


@pytest.mark.parametrize("victim", ["outermost", "dockerd", "network"])
def test_a_kill_leaves_no_process_and_the_next_start_works(
    own_cache: Path, base: BaseImage, victim: str
) -> None:
    endpoint = private.ensure_running(own_cache, quiet)
    images.load(base, endpoint)
    mark = str(10**9 + time.time_ns() % 10**9)  # no other test sleeps as long
    docker(endpoint, "run", "--detach", "--network=none", base.tag, "sleep", mark)
    place = place_of(own_cache)
    outermost = process.read_identity(place.engine_identity)
    network = process.read_identity(place.network_identity)
    assert outermost is not None
    assert network is not None
    sleeper = [line for line in processes_with(f"sleep {mark}") if line.startswith("sleep")]
    assert sleeper
    dockerd = outermost.children()[0].children()[0]
    killed = {"outermost": outermost, "dockerd": dockerd, "network": network}[victim]
    os.kill(killed.pid, signal.SIGKILL)
    if victim != "network":
        assert until(lambda: not outermost.alive())
        assert until(lambda: not network.alive())
        assert until(lambda: not processes_with(f"sleep {mark}"))
    endpoint = private.ensure_running(own_cache, quiet)
    assert docker(endpoint, "run", "--rm", "--network=none", base.tag, "true").returncode == 0


def test_two_farms_at_once_make_one_engine(own_cache: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from farm.engine import private; "
        "c = Path(sys.argv[1]); private.ensure_running(c, lambda e: None); "
        "print(private.status(c).pid)"
    )
    command = [sys.executable, "-c", code, str(own_cache)]
    farms = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    pids = {farm.communicate()[0] for farm in farms}
    assert len(pids) == 1
    assert len([line for line in processes_with(str(own_cache)) if "unshare" in line]) <= 1


def test_an_engine_that_a_killed_farm_had_half_started_is_replaced(own_cache: Path) -> None:
    private.ensure_running(own_cache, quiet)
    place = place_of(own_cache)
    half = process.read_identity(place.engine_identity)
    assert half is not None
    place.state.unlink()  # written last
    private.ensure_running(own_cache, quiet)
    assert not half.alive()
    assert private.status(own_cache).running


def test_where_overlay_does_not_work_another_storage_is_used_and_said(
    tools: Toolbox, tmp_path: Path
) -> None:
    layers = {name: tmp_path / name for name in ("lower", "upper", "work", "merged")}
    for folder in layers.values():
        folder.mkdir()
    options = ",".join(f"{name}dir={layers[name]}" for name in ("lower", "upper", "work"))
    merged = str(layers["merged"])
    subprocess.run(["mount", "-t", "overlay", "-o", options, "overlay", merged], check=True)
    cache = share(tools, layers["merged"] / "cache")
    try:
        events: list[Event] = []
        endpoint = private.ensure_running(cache, events.append)
        driver = docker(endpoint, "info", "--format", "{{.Driver}}").stdout.strip()
        notices = [event.text for event in events if isinstance(event, Notice)]
        assert driver in {"fuse-overlayfs", "vfs"}
        assert [driver in text for text in notices] == [True]
    finally:
        private.stop(cache)
        subprocess.run(["umount", merged], check=True)


def test_traces_of_an_engine_before_the_last_boot_do_not_disturb(own_cache: Path) -> None:
    private.ensure_running(own_cache, quiet)
    place = place_of(own_cache)
    kept = {
        file: file.read_text()
        for file in (place.engine_identity, place.network_identity, place.state)
    }
    private.stop(own_cache)
    for file, text in kept.items():
        file.write_text(re.sub(r"^[0-9a-f-]{36}\n", "another-boot\n", text))
    assert private.status(own_cache).pid is None
    private.ensure_running(own_cache, quiet)
    assert private.status(own_cache).running


def test_damaged_data_is_put_aside_whole_and_said(own_cache: Path) -> None:
    private.ensure_running(own_cache, quiet)
    private.stop(own_cache)
    database = place_of(own_cache).data / "volumes" / "metadata.db"
    assert database.is_file()
    database.write_bytes(b"not a database" * 1000)
    events: list[Event] = []
    private.ensure_running(own_cache, events.append)
    status = private.status(own_cache)
    assert status.running
    (aside,) = status.aside
    assert (aside / "volumes" / "metadata.db").read_bytes().startswith(b"not a database")
    (notice,) = (e.text for e in events if isinstance(e, Notice))
    assert str(aside) in notice
    assert "rm -r" in notice


def test_a_network_that_fails_once_costs_neither_the_start_nor_the_data(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private.ensure_running(own_cache, quiet)
    private.stop(own_cache)
    keepsake = place_of(own_cache).data / "keepsake"
    keepsake.write_text("")
    real, failures = namespaces.start_network, [EngineError("the network did not come up")]

    def flaky(*given: Any, **named: Any) -> None:
        if failures:
            raise failures.pop()
        real(*given, **named)

    monkeypatch.setattr(namespaces, "start_network", flaky)
    private.ensure_running(own_cache, quiet)
    assert keepsake.exists()
    assert private.status(own_cache).aside == ()


def test_a_container_gets_its_files_and_input_and_is_gone_afterwards(
    cache: Path, base: BaseImage, tmp_path: Path
) -> None:
    engine = DockerEngine(endpoint=private.ensure_running(cache, quiet))
    never = threading.Event()
    engine.load(base, cancel=never)
    (tmp_path / "given").write_text("given\n")
    (tmp_path / "link").symlink_to("given")
    container = Container(
        image=base.tag,
        command=("sh", "-c", "cat - /srv/a; ls /dev/zero0; exit 3"),
        stdin=b"said\n",
        devices=(("/dev/zero", "/dev/zero0"),),
        files=((tmp_path / "link", "/srv/a"),),
    )
    done = engine.run(container, cancel=never)
    assert (done.status, done.text) == (3, "said\ngiven\n/dev/zero0\n")
    with pytest.raises(EngineError, match="cannot run a container"):
        engine.run(replace(container, devices=(("/dev/none", "/dev/x"),)), cancel=never)
    with pytest.raises(EngineError, match="cannot run a container"):
        engine.run(replace(container, command=("/no/such/program",)), cancel=never)
    endless = replace(container, command=("sleep", "86397"), timeout_s=3)
    with pytest.raises(EngineError, match="did not end within 3 s"):
        engine.run(endless, cancel=never)
    assert docker(engine.endpoint, "ps", "--all", "--quiet").stdout == ""
    assert engine.capacity().cores == len(os.sched_getaffinity(0))


ENDLESS = """
import sys, threading
from pathlib import Path
from tempfile import gettempdir
from farm.engine import private
from farm.engine.docker import DockerEngine
from farm.engine.engine import Container
engine = DockerEngine(endpoint=private.ensure_running(Path(sys.argv[1]), lambda e: None))
container = Container(image=sys.argv[2], command=("sleep", "86398"))
engine.run(container, cancel=threading.Event())
"""


def test_a_container_of_a_farm_that_was_killed_is_removed_by_the_next(
    cache: Path, base: BaseImage
) -> None:
    engine = DockerEngine(endpoint=private.ensure_running(cache, quiet))
    engine.load(base, cancel=threading.Event())

    def running() -> str:
        return docker(engine.endpoint, "ps", "--quiet").stdout

    with subprocess.Popen([sys.executable, "-c", ENDLESS, str(cache), base.tag]) as farm:
        assert until(running)
        engine.run(Container(image=base.tag, command=("true",)), cancel=threading.Event())
        assert running()  # its farm lives
        farm.kill()
    assert running()
    engine.run(Container(image=base.tag, command=("true",)), cancel=threading.Event())
    assert not running()


def test_an_engine_that_cannot_start_says_why_and_keeps_its_data(
    own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    private.ensure_running(own_cache, quiet)
    private.stop(own_cache)
    keepsake = place_of(own_cache).data / "keepsake"
    keepsake.write_text("")
    real = namespaces.daemon_config
    monkeypatch.setattr(
        namespaces,
        "daemon_config",
        lambda **given: {**real(**given), "no-such-directive": True},
    )
    with pytest.raises(EngineError) as caught:
        private.ensure_running(own_cache, quiet)
    assert any("no-such-directive" in line for line in caught.value.details)
    assert keepsake.exists()
    assert not processes_with(str(own_cache))


def test_a_long_and_odd_name_of_the_cache_folder_works(tools: Toolbox, tmp_path: Path) -> None:
    long = share(tools, tmp_path / ("it's ä $HOME " * 5) / ("longer" * 10))
    endpoint = private.ensure_running(long, quiet)
    try:
        assert docker(endpoint, "info").returncode == 0
        assert docker(endpoint, "buildx", "ls").returncode == 0
    finally:
        run = place_of(long).run
        private.stop(long)
    assert not run.exists()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1,5 GB of its own."""
    image = tmp_path / "disk"
    with image.open("wb") as file:
        file.truncate(1500 * 1024**2)
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-m0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(folder)], check=True)
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_said_and_room_makes_it_work_again(
    tools: Toolbox, base: BaseImage, small_disk: Path
) -> None:
    cache = share(tools, small_disk / "cache")
    filler = small_disk / "filler"
    try:
        endpoint = private.ensure_running(cache, quiet)
        free = shutil.disk_usage(small_disk).free
        with filler.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, free - 100 * 1024**2)
        with pytest.raises(StorageError, match="full"):
            images.load(base, endpoint)
        private.stop(cache)
        with pytest.raises(StorageError, match="MiB are free"):
            private.ensure_running(cache, quiet)
        filler.unlink()
        endpoint = private.ensure_running(cache, quiet)
        images.load(base, endpoint)
        assert docker(endpoint, "run", "--rm", base.tag, "true").returncode == 0
    finally:
        private.stop(cache)


def test_bootstrapping_on_a_full_disk_leaves_nothing_whole(
    tools: Toolbox, small_disk: Path
) -> None:
    cache = share(tools, small_disk / "cache")
    with (small_disk / "filler").open("wb") as file:
        free = shutil.disk_usage(small_disk).free
        os.posix_fallocate(file.fileno(), 0, free - 150 * 1024**2)
    with pytest.raises(StorageError, match="no space left"):
        base_at(cache, BASE)
    assert made_at(cache) is None


def test_unpacking_the_toolbox_on_a_full_disk_leaves_nothing_whole(
    small_disk: Path,
) -> None:
    with (small_disk / "filler").open("wb") as file:
        free = shutil.disk_usage(small_disk).free
        os.posix_fallocate(file.fileno(), 0, free - 250 * 1024**2)
    with pytest.raises(StorageError, match="no space left"):
        toolbox.prepare(small_disk, quiet)
    assert toolbox.existing(small_disk) is None


def test_a_base_is_the_same_bytes_every_time_whatever_the_umask(
    base: BaseImage, tools: Toolbox, tmp_path: Path
) -> None:
    umask = os.umask(0o077)
    try:
        again = base_at(supplied(tools, tmp_path), BASE)
    finally:
        os.umask(umask)
    assert (again.image_id, again.tag) == (base.image_id, base.tag)
    assert again.archive.read_bytes() == base.archive.read_bytes()
    leftovers = {path.suffix for path in (tmp_path / "bases").iterdir()}
    assert leftovers <= {"", ".lock", ".json"}


def test_a_package_that_does_not_exist_is_named(tmp_path: Path) -> None:
    base = RootfsBase(name="b", suite="trixie", packages=("gcc", "no-such-package-here"))
    with pytest.raises(BaseError, match="lacks what is needed") as caught:
        base_at(tmp_path, base)
    assert any("no-such-package-here" in line for line in caught.value.details)
    assert made_at(tmp_path, base) is None


def test_a_mirror_that_cannot_be_reached_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(archive.MIRROR_VARIABLE, "http://127.0.0.1:9/debian")
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:9"):
        base_at(tmp_path, BASE)
    with pytest.raises(FetchError, match=r"127\.0\.0\.1:9") as caught:
        toolbox.prepare(tmp_path, quiet)
    assert archive.MIRROR_VARIABLE in caught.value.hint


def test_a_cancelled_bootstrap_ends_at_once_and_leaves_nothing(
    tools: Toolbox, tmp_path: Path
) -> None:
    cancel = threading.Event()

    def cancel_in_the_midst(event: Event, /) -> None:
        if isinstance(event, TaskProgress) and event.task.startswith("bootstrap"):
            cancel.set()

    store = Store(tools.root.parent.parent / "store")
    job = Job(store=store, sink=cancel_in_the_midst, cancel=cancel)
    with pytest.raises(CancelledError):
        base_image(BASE, job, supplied(tools, tmp_path))
    assert until(lambda: not processes_with(str(tmp_path)), 5)
    assert made_at(tmp_path) is None


def test_a_killed_bootstrap_leaves_no_process_and_the_next_one_succeeds(
    tools: Toolbox, tmp_path: Path
) -> None:
    base = RootfsBase(name="b", suite="trixie", packages=())
    code = (
        "import sys; from pathlib import Path; from farm.model.unit import RootfsBase; "
        "from tests.support.farming import base_at; "
        "base_at(Path(sys.argv[1]), RootfsBase(name='b', suite='trixie', packages=()))"
    )
    command = [sys.executable, "-c", code, str(supplied(tools, tmp_path))]
    with subprocess.Popen(command) as farm:
        folder = tmp_path / "bases"
        assert until(lambda: list(folder.glob("*.part/mmdebstrap.*/usr/bin")))
        farm.kill()
    assert until(lambda: not processes_with(str(tmp_path)), 5)
    assert made_at(tmp_path, base) is None
    assert base_at(tmp_path, base).size_bytes > 0
