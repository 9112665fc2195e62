"""``farm doctor``: each fault is caused, found, and comes with a remedy and the right code."""

from __future__ import annotations

import os
import re
import socket
import tempfile
import time
from email.utils import formatdate
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import farm.upkeep
from farm.engine.probe import ProbeReport
from farm.errors import ExitCode
from farm.plan.jobs import GIB
from farm.upkeep import engines, machine, network
from farm.upkeep.checks import Situation, State
from farm.upkeep.environment import FARM_VARIABLES, FOR_THE_RECIPE

if TYPE_CHECKING:
    from .conftest import Farm, Index

OF_THE_GATE = ("CORES", "MEMORY_BYTES", "CALL_BYTES", "PRIORITY", "POOL", "CALLS", "PACKAGE")
SET_BY_FARM = {
    *("FARM_ATTEMPT", "FARM_CMAKE_NESTED", "FARM_WHEEL", "FARM_RESULT"),
    *(f"FARM_{name}" for name in OF_THE_GATE),
    *("FARM_CACHE", "FARM_CACHED", "FARM_CACHE_BYTES"),
}
"""In containers, and for the check of a bisection."""


@pytest.fixture
def project(farm: Farm, world: Path) -> Path:
    """A project whose one recipe is in order."""
    assert farm("init").code == 0
    return world


def found(told: dict[str, Any], name: str) -> dict[str, Any]:
    """The first check of that name that is not in order, or the first at all."""
    named = [check for check in told["checks"] if check["name"] == name]
    assert named, f"{name} not in {[check['name'] for check in told['checks']]}"
    return next((check for check in named if check["state"] != "ok"), named[0])


def test_a_project_in_order_has_no_complaint(farm: Farm, project: Path) -> None:
    told = farm("doctor", "--offline", "--json").json
    assert found(told, "recipe markupsafe")["state"] == "ok"
    assert found(told, "project")["found"].startswith(str(project))


def test_whatever_is_wrong_has_a_remedy_and_only_problems_have_a_code(
    farm: Farm, world: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_CERT", "/nowhere.pem")
    monkeypatch.setenv("FARM_CASH_DIR", "x")
    for check in farm("doctor", "--offline", "--json").json["checks"]:
        assert (check["remedy"] != "") == (check["state"] != "ok"), check
        assert (check["code"] != 0) == (check["state"] == "problem"), check


def test_the_text_has_a_line_for_each_finding_and_a_last_word(farm: Farm, world: Path) -> None:
    ended = farm("doctor", "--offline")
    assert re.search(r"^ok +Python +3\.", ended.out, re.MULTILINE)
    assert re.search(r"^warning +project +no recipes/", ended.out, re.MULTILINE)
    assert re.search(r"^ +→ .*farm init", ended.out, re.MULTILINE)
    assert "keep" in ended.out.splitlines()[-1]


def test_it_changes_nothing(farm: Farm, project: Path, tmp_path: Path) -> None:
    before = {path for path in tmp_path.rglob("*") if ".docker" not in path.parts}
    farm("doctor", "--offline")
    assert {path for path in tmp_path.rglob("*") if ".docker" not in path.parts} == before


@pytest.mark.parametrize(
    ("variable", "value", "name", "code"),
    [
        ("PIP_CERT", "/nowhere.pem", "PIP_CERT", ExitCode.FETCH),
        ("MAX_JOBS", "many", "MAX_JOBS", ExitCode.USAGE),
        ("FARM_ENGINE", "podman", "FARM_ENGINE", ExitCode.USAGE),
        ("TMPDIR", "/nowhere", "TMPDIR", ExitCode.STORAGE),
    ],
)
def test_a_variable_that_stops_builds_is_a_problem(  # noqa: PLR0917 - pytest's fixtures
    farm: Farm,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    value: str,
    name: str,
    code: ExitCode,
) -> None:
    monkeypatch.setenv(variable, value)
    ended = farm("doctor", "--offline", "--json")
    check = found(ended.json, name)
    assert check["state"] == "problem"
    assert check["code"] == code
    assert value in check["found"]
    assert ended.code == ended.json["exit_code"] == code


def test_bundles_that_differ_are_told(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        (tmp_path / name).write_text("")
        monkeypatch.setenv(name, str(tmp_path / name))
    check = found(farm("doctor", "--offline", "--json").json, "CA bundles")
    assert check["state"] == "warning"
    assert f"PIP_CERT={tmp_path}/PIP_CERT" in check["found"]


def test_traps_are_named(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/opt/wheels")
    monkeypatch.setenv("TORCH_CUDA_ARCH_LIST", "8.6")
    monkeypatch.setenv("FARM_CACHE_DIRR", "x")
    monkeypatch.setenv("http_proxy", "http://me:secret@one:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://two:3128")
    ended = farm("doctor", "--offline", "--json")
    told = ended.json
    assert "PIP_FIND_LINKS: ignored" in found(told, "settings of pip and uv")["found"]
    assert "TORCH_CUDA_ARCH_LIST" in found(told, "settings of the build")["found"]
    assert "FARM_CACHE_DIR'" in found(told, "FARM_CACHE_DIRR")["remedy"]
    assert found(told, "http_proxy")["state"] == "warning"
    assert "secret" not in ended.out


def test_docker_host_that_points_nowhere_is_told_with_what_happens(
    farm: Farm, tmp_path: Path
) -> None:
    check = found(farm("doctor", "--offline", "--json").json, "your Docker")
    assert f"{tmp_path}/no-docker.sock" in check["found"] or "no docker command" in check["found"]
    assert "DOCKER_HOST" in check["remedy"]


def test_programs_that_are_missing_are_named_with_their_packages(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ended = farm("doctor", "--offline", "--json")
    assert ended.code == ExitCode.ENGINE
    assert found(ended.json, "your Docker")["state"] == "problem"
    if os.geteuid() == 0:
        check = found(ended.json, "root rights and programs")
        assert "apt-get" in check["found"]
        assert "apt" in check["remedy"]
    assert found(ended.json, "git")["state"] == "warning"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_without_root_it_says_that_a_docker_of_the_users_is_needed() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        situation = Situation(cache=Path(folder), environ={})
        no_docker = ProbeReport(found=False, detail="no docker")
        list(engines.checks(situation, no_docker))  # nobody may perhaps not read what this imports
        os.setresuid(65534, 65534, 0)
        try:
            told = {check.name: check for check in engines.checks(situation, no_docker)}
        finally:
            os.setresuid(0, 0, 0)
    check = told["root rights and programs"]
    assert (check.state, check.code) == (State.PROBLEM, ExitCode.ENGINE)
    assert "need root rights" in check.found
    assert "Docker" in check.remedy
    assert told["your Docker"].state is State.PROBLEM


def test_what_cannot_be_looked_at_is_a_finding_and_not_a_crash(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_CACHE_DIR", "/" + 300 * "x")
    ended = farm("doctor", "--offline", "--json")
    check = found(ended.json, "machine")
    assert (check["state"], check["code"]) == ("problem", ExitCode.STORAGE)
    assert "File name too long" in check["found"]
    assert found(ended.json, "git")["found"]  # the rest is looked at all the same


def test_a_cache_behind_links_in_a_circle_is_told(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    monkeypatch.setenv("FARM_CACHE_DIR", str(tmp_path / "loop"))
    ended = farm("doctor", "--offline", "--json")
    assert found(ended.json, "FARM_CACHE_DIR")["code"] == ExitCode.STORAGE
    assert ended.code != ExitCode.INTERNAL


def test_an_index_that_refuses_is_a_problem(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://user:secret@127.0.0.1:1/simple/")
    ended = farm("doctor", "--json")
    check = found(ended.json, "package index")
    assert (check["state"], check["code"]) == ("problem", ExitCode.FETCH)
    assert "refused" in check["found"]
    assert "secret" not in ended.out
    assert ended.code == ExitCode.FETCH


def test_an_index_that_is_none_is_a_problem(farm: Farm, index: Index) -> None:
    check = found(farm("doctor", "--json").json, "package index")
    assert check["state"] == "problem"
    assert "404" in check["found"]


def test_an_index_that_answers_is_ok_and_tells_the_time(farm: Farm, index: Index) -> None:
    index.add_sdist("setuptools", "80.0")
    told = farm("doctor", "--json").json
    assert found(told, "package index")["state"] == "ok"
    assert all(check["name"] != "clock and network" for check in told["checks"])
    index.date = formatdate(time.time() + 7200, usegmt=True)
    check = found(farm("doctor", "--json").json, "clock and network")
    assert "120 minutes behind" in check["found"]


def test_an_index_that_never_answers_does_not_hold_up_the_rest(
    farm: Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/simple/")
        check = found(farm("doctor", "--json").json, "package index")
    assert check["state"] == "problem"
    assert "timed out" in check["found"] or "no answer" in check["found"]


def test_a_mirror_that_is_none_is_a_problem(
    farm: Farm, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARM_DEBIAN_MIRROR", "http://127.0.0.1:1/debian")
    check = found(farm("doctor", "--json").json, "Debian mirror")
    assert (check["state"], check["code"]) == ("problem", ExitCode.FETCH)
    monkeypatch.setenv("FARM_DEBIAN_MIRROR", "gopher://old")
    check = found(farm("doctor", "--json").json, "Debian mirror")
    assert "FARM_DEBIAN_MIRROR" in check["found"]
    monkeypatch.setenv("FARM_DEBIAN_MIRROR", f"{index.base}/debian")
    assert "404" in found(farm("doctor", "--json").json, "Debian mirror")["found"]


def test_every_problem_of_every_own_recipe_is_told_with_its_place(
    farm: Farm, project: Path
) -> None:
    (project / "recipes/bad.yaml").write_text("package: bad\nversoins: {}\n")
    (project / "recipes/empty.yaml").write_text("")
    ended = farm("doctor", "--offline", "--json")
    problems = [check for check in ended.json["checks"] if check["state"] == "problem"]
    text = " ".join(check["found"] for check in problems if "recipe" in check["name"])
    assert "recipes/bad.yaml:2:1" in text
    assert "versions" in text
    assert "recipes/empty.yaml" in text
    assert any(check["code"] == ExitCode.RECIPE for check in problems)


def test_a_recipe_that_cannot_be_read_is_told(farm: Farm, project: Path) -> None:
    (project / "recipes/folder.yaml").mkdir()
    assert found(farm("doctor", "--offline", "--json").json, "recipe folder")["state"] != "ok"


def test_a_lock_that_no_longer_fits_is_told_with_the_command(farm: Farm, project: Path) -> None:
    recipe = project / "recipes/markupsafe.yaml"
    recipe.write_text(recipe.read_text() + "\nrequires: ['wheel>=0.40']\n")
    check = found(farm("doctor", "--offline", "--json").json, "recipe markupsafe")
    assert check["state"] == "warning"
    assert check["remedy"] == "farm lock markupsafe@3.0.3:cpu"


def test_patches_that_are_missing_or_unused_are_told(farm: Farm, project: Path) -> None:
    (project / "patches/markupsafe/3.0.3/0001-forgotten.patch").write_text("")
    check = found(farm("doctor", "--offline", "--json").json, "patches")
    assert "0001-forgotten.patch" in check["found"]
    recipe = project / "recipes/markupsafe.yaml"
    recipe.write_text(recipe.read_text() + "\npatches: [0002-absent.patch]\n")
    ended = farm("doctor", "--offline", "--json")
    assert "0002-absent.patch" in found(ended.json, "recipe markupsafe")["found"]


def test_a_cache_that_is_no_folder_is_a_problem(
    farm: Farm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FARM_CACHE_DIR", str(tmp_path / "file"))
    ended = farm("doctor", "--offline", "--json")
    assert found(ended.json, "FARM_CACHE_DIR")["code"] == ExitCode.STORAGE


def test_a_named_root_that_is_no_project_is_an_error(farm: Farm, world: Path) -> None:
    assert farm("--root", str(world), "doctor", "--offline").code == ExitCode.USAGE


@pytest.mark.parametrize(
    ("free", "state"), [(GIB // 2, State.PROBLEM), (2 * GIB, State.WARNING), (9 * GIB, State.OK)]
)
def test_free_space_is_judged_by_what_a_build_needs(free: int, state: State) -> None:
    limits = {"needed": machine.SPACE_NEEDED_BYTES, "wanted": machine.SPACE_WANTED_BYTES}
    check = machine.space_check("disk", Path("/cache"), free, 10 * GIB, **limits)
    assert check.state is state
    assert "of 10.0 GiB free for /cache" in check.found


def test_mount_points_are_read_with_their_escapes(tmp_path: Path) -> None:
    file = tmp_path / "mountinfo"
    file.write_text("36 35 98:0 / /my\\040disk rw,noatime shared:1 - ext4 /dev/vda rw\n")
    assert machine.mounts(file) == {Path("/my disk"): "ext4"}


@pytest.mark.parametrize("file_system", ["overlay", "nfs4", "fuse.sshfs", "virtiofs"])
def test_a_cache_where_layers_cannot_be_kept_is_told(file_system: str) -> None:
    check = machine.file_system_check(file_system, Path("/cache"))
    assert check.state is State.WARNING
    assert "FARM_CACHE_DIR" in check.remedy


def test_a_clock_from_before_the_installation_is_a_problem() -> None:
    assert machine.clock_check(0).state is State.PROBLEM
    assert machine.clock_check(time.time()).state is State.OK


@pytest.mark.parametrize("date", [None, "", "yesterday"])
def test_a_server_without_a_date_says_nothing_of_the_clock(date: str | None) -> None:
    assert list(network.skew(date, 0, "index")) == []


def test_doctor_knows_every_variable_of_farm() -> None:
    package = Path(farm.upkeep.__file__).parent.parent
    text = "\n".join(path.read_text(encoding="utf-8") for path in package.rglob("*.py"))
    used = set(re.findall(r"[\"'`\s$](FARM_[A-Z_]*[A-Z])\b(?=[\"'`\s:.,)=])", text))
    unknown = used - set(FARM_VARIABLES) - SET_BY_FARM - {"FARM_ERROR", "FARM_VARIABLES"}
    assert unknown == set()
    assert not set(FOR_THE_RECIPE) & set(FARM_VARIABLES)
