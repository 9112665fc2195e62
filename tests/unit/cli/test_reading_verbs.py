"""Verbs that only read: list, show, plan, render, status."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from typing import TYPE_CHECKING

import pytest

from farm import api
from farm.debian import bases
from farm.errors import ExitCode
from farm.host.machine import this_machine
from farm.load.baselocks import format_base_lock
from farm.load.folders import cache_folder
from farm.load.library import gather
from farm.load.project import find_project
from farm.model.unit import RootfsBase, UnitKey
from farm.plan.plan import Choice, make_plan
from farm.plan.select import parse_selector
from farm.run.runs import RunSummary, new_run, write_summary
from farm.run.settle import expectation
from farm.store.record import Record, WheelFile, write_record
from farm.store.results import result_folder
from tests.support.debian import debs
from tests.support.projects import DEMO, PATCH, SHA, project_at
from tests.support.projects import planned as plan_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Farm

KEY = UnitKey(package="demo", version="1.0.0", variant="cpu")
IMAGE = DEMO.replace("plain", "fromimage") + "summary: A demonstration\nunlocked: on purpose\n"


@pytest.fixture
def project(world: Path) -> Path:
    more = """\
    env: {A: {value: b, reason: the compiler wants it, verified: yesterday}}
    patches: [a.patch]
    edits: [{file: setup.py, replace: old, by: new}]
    jobs: {memory_per_job: 3 GiB, reason: measured on 14.2}
"""
    recipe = IMAGE.replace("{toolchain: fromimage}", f"\n    toolchain: fromimage\n{more}")
    project_at(world, {"recipes/demo.yaml": recipe, "patches/demo/1.0.0/a.patch": PATCH})
    return world


def result(root: Path, identity: str, *, content: bytes = b"wheel") -> None:
    """Put a result of the demo's only unit where it belongs."""
    folder = root / "out/.farm/staging"
    folder.mkdir(parents=True)
    name, sha256 = "demo-1.0.0-py3-none-any.whl", hashlib.sha256(content).hexdigest()
    wheel = WheelFile(filename=name, sha256=sha256, size_bytes=len(content))
    (folder / wheel.filename).write_bytes(content)
    write_record(folder, Record(
        unit=KEY.label, package="demo", version="1.0.0", variant="cpu", python="3.13",
        accelerator="none", archs=(), features=(), toolchain="fromimage",
        host_compiler="gcc-14", identity=identity, outcome="built", wheels=(wheel,),
        started_s=1.7e9, seconds=37.25, expected=expected(root),
    ))  # fmt: skip
    target = result_folder(root / "out", KEY)
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(folder, target)


def expected(root: Path) -> str:
    """What the demo's wheel is held against, as its recipe has it now."""
    project = find_project(root=root)
    parsed = parse_selector("demo")
    (unit,) = make_plan(gather(project, ["demo"]), [parsed], Choice()).units
    return expectation(unit)


def planned(farm: Farm) -> dict[str, object]:
    (unit,) = farm("plan", "demo", "--json").json["units"]
    assert isinstance(unit, dict)
    return unit


def test_list_names_recipes_with_versions_and_variants(farm: Farm, project: Path) -> None:
    ended = farm("list")
    assert ended.code == 0
    row = next(line for line in ended.out.splitlines() if line.startswith("demo"))
    assert row.split() == ["demo", "1.0.0", "cpu", "1.0.0", "fromimage"]
    listed = {recipe["package"]: recipe for recipe in farm("list", "--json").json["recipes"]}
    assert listed["demo"]["origin"] == "project"
    assert listed["demo"]["variants"] == {
        "cpu": {"toolchain": "fromimage", "archs": [], "default_version": "1.0.0"}
    }
    assert listed["vllm"]["origin"] == "shipped"
    assert "rust" in listed["vllm"]["features"]


def test_show_prints_the_reason_of_each_setting(farm: Farm, project: Path) -> None:
    out = farm("show", "demo").out
    for text in (
        "demo@1.0.0:cpu\n",
        "package       A demonstration\n",
        "toolchain     fromimage, host compiler gcc-14\n",
        "memory        3 GiB per compile job: measured on 14.2\n",
        "patch         a.patch (on demo)\n",
        "why: the compiler wants it\n",
        "goes when: 1.1 is out\n",
        "edit          demo/setup.py: 'old' → 'new'\n",
        "variants.cpu.env.A = b\n      the compiler wants it (verified: yesterday)\n",
    ):
        assert text in out
    (unit,) = farm("show", "demo", "--json").json["units"]
    assert unit["key"] == {"package": "demo", "version": "1.0.0", "variant": "cpu"}
    assert dict(unit["env"])["A"] == "b"


def test_a_plan_says_why_and_shows_the_arithmetic(farm: Farm, project: Path) -> None:
    out = farm("plan", "demo", "--memory", "7 GiB", "--jobs", "1").out
    assert out.startswith("demo@1.0.0:cpu  cannot be built yet\n  why       on purpose\n")
    assert "within 7.0 GiB, 3.0 GiB for one that was never measured" in out
    assert "(measured on 14.2)" in out
    wanted = farm("plan", "demo", "--max-jobs", "77").out
    assert "MAX_JOBS=77, as you asked" in wanted


def test_more_memory_than_there_is_is_refused_with_both_numbers(farm: Farm, project: Path) -> None:
    there = this_machine().total_bytes
    assert there
    for verb in (["plan"], ["build"], ["build", "--dry-run"]):
        ended = farm(*verb, "demo", "--memory", f"{there // 2**30 + 1000} GiB")
        assert ended.code == ExitCode.USAGE
        assert f"{there // 2**30 + 1000:,}.0 GiB asked for" in ended.err
        assert f"of the {there / 2**30:,.1f} GiB that there are" in ended.err
    assert not (project / "out").exists()


def test_max_jobs_of_the_environment_are_the_users(
    farm: Farm, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAX_JOBS", "5")
    assert planned(farm)["max_jobs"] == 5


def test_how_it_is_built_is_no_part_of_what_is_built(
    farm: Farm, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    identity = planned(farm)["identity"]
    assert len(str(identity)) == 64
    monkeypatch.setenv("MAX_JOBS", "5")
    monkeypatch.setenv("NVCC_THREADS", "3")
    monkeypatch.setenv("FARM_MEMORY", "1 GiB")
    assert planned(farm)["identity"] == identity


def lock(root: Path) -> None:
    """Lock the demo's requirements, which are none."""
    from farm.load.locks import format_lock, inputs_digest
    from farm.load.project import find_project
    from farm.model.unit import Lock

    (unit,) = plan_of(find_project(root=root)).units
    path = root / f"recipes/locks/demo/1.0.0/{unit.lock_stem}.txt"
    path.parent.mkdir(parents=True)
    path.write_text(format_lock(Lock(inputs=inputs_digest(unit.lock_inputs), pins=())))


def test_a_checked_plan_fails_if_a_unit_cannot_be_built(farm: Farm, project: Path) -> None:
    """Also one that is only needed; what can be built later is shown all the same."""
    needy = DEMO.replace("package: demo", "package: needy").replace("plain", "fromimage")
    needs = "needs: [{package: demo, version: 1.0.0, variant: cpu}]\n"
    (project / "recipes/needy.yaml").write_text(needy + needs)
    for arguments in (["--memory", "8 GiB"], ["--memory", "8 GiB", "--json"]):
        assert farm("plan", "demo", *arguments).code == 0
        ended = farm("plan", "needy", "--check", *arguments)
        assert ended.code == ExitCode.LOCK
        assert ended.out == farm("plan", "needy", *arguments).out
        assert "2 of 2 units cannot be built yet" in ended.err
        assert "demo@1.0.0:cpu: on purpose" in ended.err
        assert "needy@1.0.0:cpu: its build requirements are not locked" in ended.err
    lock(project)
    assert farm("plan", "demo", "--check").code == 0
    assert farm("plan", "needy", "--check").code == ExitCode.LOCK


def test_a_plan_tells_new_built_changed_and_damaged_apart(farm: Farm, project: Path) -> None:
    lock(project)
    new = planned(farm)
    assert (new["standing"], new["why"]) == (
        "to build",
        "you asked for it; there is no result yet",
    )
    result(project, str(new["identity"]))
    assert planned(farm)["standing"] == "built"
    wheel = project / "out/demo-1.0.0/cpu/demo-1.0.0-py3-none-any.whl"
    wheel.write_bytes(b"WHEEL")
    assert "gone or was changed" in str(planned(farm)["why"])
    result(project, "00" * 32)
    assert "what goes into it has changed" in str(planned(farm)["why"])


def test_what_is_built_and_whole_needs_no_engine_and_writes_nothing(
    farm: Farm, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(project)
    result(project, str(planned(farm)["identity"]))
    before = sorted(project.rglob("*"))
    monkeypatch.setenv("PATH", "")
    ended = farm("build", "demo", "--progress", "json")
    assert ended.code == 0, ended.err
    events = [json.loads(line) for line in ended.out.splitlines()]
    (finished,) = [event for event in events if event.get("outcome")]
    assert (finished["unit"], finished["outcome"]) == (KEY.label, "unchanged")
    assert sorted(project.rglob("*")) == before


def test_what_is_not_locked_fails_before_any_engine_and_says_how_to_lock_it(
    farm: Farm, project: Path
) -> None:
    ended = farm("build", "demo", "--progress", "plain")
    assert ended.code == ExitCode.LOCK
    assert "farm lock demo@1.0.0:cpu" in ended.out + ended.err
    shown = farm("status", "--json").json
    (run,) = shown["runs"]
    assert (run["exit_code"], run["units"]) == (ExitCode.LOCK, {KEY.label: "failed"})
    assert shown["results"] == []


def test_a_dry_run_builds_nothing(farm: Farm, project: Path) -> None:
    ended = farm("build", "demo", "--dry-run")
    assert ended.code == 0
    # The machine's free memory stands in the arithmetic, and never keeps still.
    both = (ended.out, farm("plan", "demo").out)
    said, planned = (re.sub(r"(MAX_JOBS=|memory up to).*", r"\1", text) for text in both)
    assert said == planned
    assert "MAX_JOBS" in said
    assert not (project / "out").exists()


def test_what_cannot_work_is_refused_before_anything_is_done_unless_asked_for(
    farm: Farm, project: Path
) -> None:
    recipe = project / "recipes/demo.yaml"
    recipe.write_text(
        recipe.read_text() + 'python_limits: {newest: "3.9", reason: too new, source: its page}\n'
    )
    for verb in ("plan", "render", "build"):
        ended = farm(verb, "demo")
        assert ended.code == ExitCode.PLAN
        assert "demo cannot be built for Python 3.13, only 3.9 or older: too new" in ended.err
        assert "--no-preflight" in ended.err
    assert not (project / "out").exists()
    shown = farm("plan", "demo", "--no-preflight").out
    assert "  refused   demo cannot be built for Python 3.13" in shown
    assert farm("show", "demo").code == 0
    ended = farm("build", "demo", "--no-preflight", "--progress", "plain")
    assert ended.code == ExitCode.LOCK  # which is what comes next
    assert "built although it is known not to work: demo cannot be built" in ended.out + ended.err
    assert "farm build demo@1.0.0:cpu --no-preflight" in ended.out + ended.err


def test_render_prints_the_dockerfile(farm: Farm, project: Path) -> None:
    out = farm("render", "demo").out
    assert out.startswith("# demo 1.0.0, variant cpu, Python 3.13\n")
    assert f"FROM example.org/debian@sha256:{SHA} AS base\n" in out
    assert 'ENV A="b"\n' in out


def test_render_refuses_a_folder_that_holds_something(farm: Farm, project: Path) -> None:
    ended = farm("render", "demo", "--output", "recipes")
    assert ended.code == ExitCode.USAGE
    assert "is not empty" in ended.err


def test_render_writes_all_that_a_plain_build_needs(farm: Farm, project: Path) -> None:
    ended = farm("render", "demo", "--output", "there")
    assert ended.code == 0, ended.err
    files = {str(p.relative_to(project / "there")) for p in (project / "there").rglob("*.*")}
    assert {"inside/step.py", "patches/a.patch", "edits/demo.json", "sources/demo.tar",
            "wheels/requirements.txt"} <= files  # fmt: skip
    assert (project / "there/Dockerfile").read_text() == farm("render", "demo").out


@pytest.fixture
def bootstrapped(world: Path) -> str:
    """A demo on a base that is locked and was bootstrapped; the base's tag."""
    (unit,) = plan_of(project_at(world, {"recipes/demo.yaml": DEMO})).units
    assert isinstance(unit.base, RootfsBase)
    lock = format_base_lock({unit.base.key: ("x", debs("gcc"))})
    files = {"recipes/demo.yaml": DEMO, "recipes/bases/floor.lock": lock}
    made = project_at(world, files)
    (unit,) = plan_of(made).units
    assert isinstance(unit.base, RootfsBase)
    resolved = bases.known(unit.base, cache_folder())
    assert resolved is not None
    folder = cache_folder() / "bases" / resolved.digest[:24]
    folder.mkdir(parents=True)
    (folder / "image.tar").write_bytes(b"an image")
    facts = {"image_id": "i", "manifest_digest": "m", "size_bytes": 8}
    (folder / "base.json").write_text(json.dumps(facts))
    return resolved.tag


def test_render_brings_the_base_that_no_registry_has(
    farm: Farm, world: Path, bootstrapped: str
) -> None:
    printed = farm("render", "demo").out
    assert f"FROM {bootstrapped} AS base\n" in printed
    ended = farm("render", "demo", "--output", "there")
    assert ended.code == 0
    written = (world / "there/Dockerfile").read_text()
    assert written == f"# its base is {bootstrapped}: docker load --input base.tar\n{printed}"
    assert (world / "there/base.tar").read_bytes() == b"an image"
    assert "docker load --input there/base.tar\n" in ended.err


def test_render_says_of_a_base_that_is_not_there_how_it_is_made(farm: Farm, world: Path) -> None:
    project_at(world, {"recipes/demo.yaml": DEMO})
    ended = farm("render", "demo", "--output", "there")
    told = "its base is not made yet: 'farm build demo@1.0.0:cpu' makes it"
    assert told in ended.err
    assert (world / "there/Dockerfile").read_text().startswith(f"# {told}")
    assert not (world / "there/base.tar").exists()


def test_the_package_renders_what_the_command_does(
    farm: Farm, world: Path, bootstrapped: str
) -> None:
    project = api.open_project(world)
    rendered = api.render(api.plan(project, "demo"), project)
    assert rendered == {KEY.label: farm("render", "demo").out}
    assert bootstrapped in rendered[KEY.label]


def test_render_writes_no_context_that_lacks_a_needed_wheel(farm: Farm, project: Path) -> None:
    needy = "package: needy\n" + IMAGE.partition("\n")[2]
    needs = "needs: [{package: demo, version: 1.0.0, variant: cpu}]\n"
    (project / "recipes/needy.yaml").write_text(needy + needs)
    ended = farm("render", "needy", "--output", "there")
    assert ended.code == ExitCode.USAGE
    assert "needs demo@1.0.0:cpu, which is not built yet" in ended.err
    assert "farm build demo@1.0.0:cpu" in ended.err
    assert not (project / "there").exists()


def test_status_of_nothing_is_said(farm: Farm, project: Path) -> None:
    assert farm("status").out.startswith("nothing was built in ")
    assert farm("status", "--json").json == {"results": [], "runs": []}


def test_status_shows_results_and_runs_also_unfinished_ones(farm: Farm, project: Path) -> None:
    result(project, "ab" * 32)
    with new_run(project / "out") as run:
        write_summary(run, RunSummary(name=run.name, command=("farm",), started_s=1, seconds=2,
                                      exit_code=9, units={KEY.label: "failed"}))  # fmt: skip
    with new_run(project / "out") as killed:
        pass
    with new_run(project / "out") as living:
        out = farm("status").out
        shown = farm("status", "--json").json
    assert KEY.label in out
    assert "37.2 s" in out or "37.3 s" in out
    rows = {line.split()[0]: line for line in out.splitlines() if line.startswith("20")}
    assert "was killed" in rows[killed.name]
    assert "running" in rows[living.name]
    assert [record["unit"] for record in shown["results"]] == [KEY.label]
    assert {r["name"]: (r.get("unfinished"), r.get("running")) for r in shown["runs"]} == {
        run.name: (None, None),
        killed.name: (True, False),
        living.name: (True, True),
    }


def test_status_passes_over_what_is_no_record(farm: Farm, project: Path) -> None:
    for name, text in ("a", "{"), ("b", "[]"), ("c", '{"format": 1, "seconds": "x"}'):
        folder = project / f"out/{name}-1/cpu"
        folder.mkdir(parents=True)
        (folder / "record.json").write_text(text)
    assert farm("status", "--json").json["results"] == []
