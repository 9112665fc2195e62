"""Beside the user's own Docker, three generations of it: used if good enough, never changed.

Each runs for real on a throwaway machine (``tests/support/user_docker.py``),
whose network and ``/etc/docker/daemon.json`` the farm gets here as if they were
this machine's own.  Needs root, apt-get and a Debian mirror, and fails without,
saying so.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from farm.engine import daemon_api, private
from farm.engine.connect import choose
from farm.engine.place import place_of
from farm.events import Event, Notice
from farm.host.process import read_identity
from farm.load.library import gather
from farm.load.project import find_project, shipped_root
from farm.model.unit import RootfsBase
from farm.plan.plan import Choice, make_plan
from farm.plan.select import parse_selector
from farm.run.options import BuildOptions
from farm.run.prerequisites import bring_inputs
from tests.support.docker_trees import GENERATIONS, NEW, OLD, STABLE, Generation
from tests.support.farming import base_at
from tests.support.user_docker import (
    BRIDGE_ADDRESS,
    IMAGE,
    LABEL,
    Snapshot,
    UserDocker,
    user_docker,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.engine

FARM = Path(sys.executable).with_name("farm")
PAIR = Path(__file__).parents[1] / "projects/pair"
ENSURE = """
import sys
from pathlib import Path
from farm.engine import private
private.ensure_running(Path(sys.argv[1]), lambda event: None)
"""

GOOD = [pytest.param(each, id=each.name) for each in (STABLE, NEW)]
EVERY = [pytest.param(each, id=each.name) for each in GENERATIONS]
PASSED_OVER = [pytest.param(OLD, id=OLD.name)]


def quiet(event: Event, /) -> None:
    del event


@pytest.fixture(scope="module")
def docker(request: pytest.FixtureRequest, farm_cache: Path) -> Iterator[UserDocker]:
    """The user's Docker of the generation that the test names; one at a time is up."""
    generation: Generation = request.param
    with user_docker(generation, farm_cache, quiet) as running:
        yield running


@pytest.fixture
def as_its_user(docker: UserDocker, monkeypatch: pytest.MonkeyPatch) -> UserDocker:
    """Make this process one whose docker command, plugins and engine are the user's."""
    for name in ("DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "BUILDX_BUILDER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in docker.environment().items():
        monkeypatch.setenv(name, value)
    return docker


def supply(root: Path, selector: str, cache: Path) -> None:
    """Bring what a build needs: the user's machine here is connected to nothing."""
    parsed = parse_selector(selector)
    plan = make_plan(gather(find_project(root=root), [parsed.package]), [parsed], Choice())
    for unit in plan.units:
        bring_inputs(unit, cache, BuildOptions(), quiet)
        assert isinstance(unit.base, RootfsBase)
        base_at(cache, unit.base)


def farm(
    docker: UserDocker, root: Path, cache: Path, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run ``farm`` on the user's machine, as the user would; it must succeed."""
    environment = docker.environment() | {"FARM_CACHE_DIR": str(cache), "NO_COLOR": "1"}
    done = subprocess.run(
        docker.as_user((str(FARM), "--root", str(root), *arguments)),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=root,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def new_images(before: Snapshot, after: Snapshot) -> list[str]:
    return [image for image in after.images if image not in before.images]


def assert_untouched_but_for_images(before: Snapshot, after: Snapshot) -> None:
    for part in ("links", "iptables", "networks", "containers", "volumes"):
        assert getattr(after, part) == getattr(before, part)
    assert set(before.images) <= set(after.images)


@pytest.mark.parametrize("docker", EVERY, indirect=True)
def test_the_users_docker_reads_its_own_settings_and_has_its_bridge_and_rules(
    docker: UserDocker,
) -> None:
    """Otherwise nothing here would show whether the farm disturbs them."""
    seen = docker.snapshot()
    assert LABEL in docker.inside("docker", "info", "--format", "{{.Labels}}")
    assert any(image.startswith(IMAGE) for image in seen.images)
    assert any(BRIDGE_ADDRESS in link for link in seen.links)
    assert any("docker0" in rule and "MASQUERADE" in rule for rule in seen.iptables)
    host_network = Path("/proc/self/ns/net").readlink()
    assert Path(f"/proc/{docker.pid}/ns/net").readlink() != host_network
    assert dict(docker.tree.versions)["docker.io"].startswith(docker.version.partition("+")[0])


@pytest.mark.parametrize("docker", PASSED_OVER, indirect=True)
def test_a_docker_that_is_too_old_is_passed_over_with_one_line_that_says_why(
    as_its_user: UserDocker, fresh_cache: Path
) -> None:
    before = as_its_user.snapshot()
    told: list[Event] = []
    endpoint = choose("auto", fresh_cache, told.append).endpoint
    assert endpoint.kind == "private"
    notices = [event.text for event in told if isinstance(event, Notice)]
    assert len(notices) == 1
    assert "\n" not in notices[0]
    assert as_its_user.version in notices[0]
    assert "RUN --network" in notices[0]
    assert "private engine" in notices[0]
    assert as_its_user.snapshot() == before


@pytest.mark.parametrize("docker", GOOD, indirect=True)
def test_a_docker_that_is_good_enough_is_used_without_a_word_and_left_as_it_was(
    as_its_user: UserDocker, fresh_cache: Path
) -> None:
    before = as_its_user.snapshot()
    told: list[Event] = []
    endpoint = choose("auto", fresh_cache, told.append).endpoint
    assert endpoint.kind == "user"
    assert told == []
    info = [*endpoint.docker, "info", "--format", "{{.Labels}}"]
    asked = subprocess.run(
        info, capture_output=True, text=True, check=True, env=endpoint.environment()
    )
    assert LABEL in asked.stdout
    assert not private.status(fresh_cache).running
    assert as_its_user.snapshot() == before


@pytest.mark.parametrize("docker", GOOD, indirect=True)
def test_a_good_docker_without_buildx_plugin_is_used_with_the_farms_own(
    as_its_user: UserDocker, fresh_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "no-plugins"))
    endpoint = choose("auto", fresh_cache, quiet).endpoint
    assert endpoint.kind == "user"
    plugin = str(as_its_user.folder / "config/cli-plugins/docker-buildx")
    assert plugin not in endpoint.buildx


@pytest.mark.parametrize("docker", EVERY, indirect=True)
def test_the_private_engine_neither_reads_nor_disturbs_what_is_the_users(
    docker: UserDocker, fresh_cache: Path
) -> None:
    before = docker.snapshot()
    place = place_of(fresh_cache)
    command = docker.as_user((sys.executable, "-c", ENSURE, str(fresh_cache)))
    subprocess.run(command, check=True, env=docker.environment())
    endpoint = private.ensure_running(fresh_cache, quiet)

    def ask(*arguments: str) -> str:
        line = [*endpoint.docker, *arguments]
        environment = endpoint.environment()
        return subprocess.run(
            line, capture_output=True, text=True, check=True, env=environment
        ).stdout

    assert ask("info", "--format", "{{.DockerRootDir}} {{len .Labels}}").split() == ["/srv", "0"]
    bridge = ask("network", "inspect", "bridge", "--format", "{{json .IPAM.Config}}")
    assert BRIDGE_ADDRESS.rpartition(".")[0] not in bridge
    assert docker.snapshot() == before
    engine = read_identity(place.engine_identity)
    assert engine is not None
    engine.end(grace_s=0)  # in the worst way
    assert docker.snapshot() == before
    assert private.stop(fresh_cache) is False
    assert docker.snapshot() == before


@pytest.mark.parametrize("docker", PASSED_OVER, indirect=True)
def test_a_build_beside_an_old_docker_takes_the_private_engine_and_leaves_nothing_there(
    docker: UserDocker, farm_cache: Path, fresh_cache: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(PAIR, tmp_path / "pair"))
    supply(root, "mdurl:pure", farm_cache)
    before = docker.snapshot()
    done = farm(docker, root, fresh_cache, "build", "--progress=plain", "mdurl:pure")
    said = [line for line in done.stderr.splitlines() if "RUN --network" in line]
    assert len(said) == 1, done.stderr
    assert len(list(root.glob("out/mdurl-0.1.2/pure/*.whl"))) == 1
    assert docker.snapshot() == before


@pytest.mark.parametrize("docker", GOOD, indirect=True)
def test_a_build_on_the_users_docker_adds_a_base_image_that_clean_takes_away_again(
    docker: UserDocker, farm_cache: Path, fresh_cache: Path, tmp_path: Path
) -> None:
    root = Path(shutil.copytree(PAIR, tmp_path / "pair"))
    supply(root, "mdurl:pure", farm_cache)
    before = docker.snapshot()
    done = farm(docker, root, fresh_cache, "build", "--progress=plain", "mdurl:pure")
    assert "private engine" not in done.stderr
    assert not private.status(fresh_cache).running
    assert len(list(root.glob("out/mdurl-0.1.2/pure/*.whl"))) == 1
    after = docker.snapshot()
    assert_untouched_but_for_images(before, after)
    added = new_images(before, after)
    assert len(added) == 1
    assert added[0].startswith("farm-base:")
    farm(docker, root, fresh_cache, "clean", "--images")
    assert docker.snapshot() == before


@pytest.mark.parametrize("docker", [pytest.param(NEW, id=NEW.name)], indirect=True)
def test_a_real_package_is_compiled_on_the_users_docker(
    docker: UserDocker, farm_cache: Path, fresh_cache: Path, project: Path
) -> None:
    selector = "llama-cpp-python@0.2.44:cpu"
    supply(shipped_root(), selector, farm_cache)
    before = docker.snapshot()
    farm(docker, project, fresh_cache, "build", "--progress=plain", selector)
    result = project / "out/llama-cpp-python-0.2.44/cpu"
    assert len(list(result.glob("llama_cpp_python-0.2.44-*.whl"))) == 1
    log = (result / "logs/build.log").read_text(encoding="utf-8")
    assert "output clipped" not in log
    after = docker.snapshot()
    assert_untouched_but_for_images(before, after)
    assert all(image.startswith("farm-base:") for image in new_images(before, after))
    socket = Path(docker.host.removeprefix("unix://"))
    assert daemon_api.answers(socket)
