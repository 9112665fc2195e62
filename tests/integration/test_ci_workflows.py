"""The workflow files for GitHub Actions and GitLab CI, each step of them, on a real engine."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.farming import add_variant, copy_project
from tests.support.workflows import CI, GitHub, GitLab, Job, Runners

if TYPE_CHECKING:
    from farm.engine.endpoint import Endpoint

pytestmark = pytest.mark.engine

FLIT, MDURL = "flit-core@3.12.0:pure", "mdurl@0.1.2:pure"


@pytest.fixture
def runners(tmp_path: Path, farm_cache: Path, private_engine: Endpoint) -> Runners:
    del private_engine  # runs while this does
    return Runners(
        folder=tmp_path, lender=farm_cache, project=copy_project("pair", tmp_path / "p")
    )


def wheels(folder: Path) -> set[str]:
    return {path.name.partition("-")[0] for path in folder.rglob("*.whl")}


def said(jobs: list[Job]) -> str:
    return "\n".join(step.log for job in jobs for step in job.steps)


def test_github_builds_by_levels_what_is_missing_and_then_nothing(runners: Runners) -> None:
    workflow = GitHub(runners, SELECTORS="mdurl", JOBS="2")
    done = workflow.run()
    ends = {name: [job.result for job in jobs] for name, jobs in done.items()}
    assert ends == {
        "plan": ["success"], "level0": ["success"], "level1": ["success"], "level2": [],
        "wheels": ["success"],
    }, said([job for jobs in done.values() for job in jobs])  # fmt: skip
    assert [job.name for job in done["level0"] + done["level1"]] == [FLIT, MDURL]
    assert "Keep what tells why it failed" not in done["level1"][0].ran
    (second,) = done["level1"]
    assert re.search(rf"{FLIT} +✓ unchanged", second.step("Build").log)
    assert wheels(runners.artifacts["farm-results-mdurl-0.1.2-pure"]) == {"mdurl"}
    assert wheels(runners.artifacts["wheels"]) == {"flit_core", "mdurl"}
    page = second.step("Build").page
    assert page.startswith("### farm: 1 built, 1 unchanged in ")
    assert f"::group::{MDURL}: its log's end" in second.step("Build").log

    workflow.next_run()
    again = workflow.run()
    assert json.loads(again["plan"][0].outputs["level0"]) == {"include": []}
    assert (again["level0"], again["level1"]) == ([], [])
    assert again["wheels"][0].result == "success"
    assert wheels(runners.artifacts["wheels"]) == {"flit_core", "mdurl"}


def test_github_keeps_what_was_built_and_why_the_rest_was_not(
    runners: Runners, tmp_path: Path
) -> None:
    runners.project = copy_project("faults", tmp_path / "faults")
    add_variant(runners.project, "good", 'env: {CI_TEST: "1"}', "runner: [large]")
    workflow = GitHub(runners, SELECTORS="tiny@1.0:good tiny@1.0:misfit")
    done = workflow.run()
    results = {job.name: job for job in done["level0"]}
    good, bad = results["tiny@1.0:good"], results["tiny@1.0:misfit"]
    assert (good.result, bad.result) == ("success", "failure"), said(done["level0"])
    assert bad.ran[-3:] == [
        "Gather what was built", "Hand it on", "Keep what tells why it failed",
    ]  # fmt: skip
    ran = {step for jobs in done.values() for job in jobs for step in job.ran}
    steps = (step for job in workflow.file["jobs"].values() for step in job["steps"])
    assert ran == {step.get("name") or step["uses"] for step in steps}, "every step was run"
    patch = "patches/tiny/1.0/0002-does-not-fit.patch"
    assert f"::error file={patch},line=" in bad.step("Build").log
    assert "1 failed" in bad.step("Build").page
    kept = {path.name for path in runners.artifacts["farm-failure-tiny-1.0-misfit"].rglob("*")}
    assert "build.log" in kept
    assert "farm-results-tiny-1.0-misfit" not in runners.artifacts
    assert done["wheels"][0].result == "success"
    assert wheels(runners.artifacts["wheels"]) == {"tiny"}
    assert any(key.startswith("farm-kept-") for key in runners.caches)


def test_gitlab_builds_in_a_child_pipeline_what_is_missing_and_then_nothing(
    runners: Runners, tmp_path: Path
) -> None:
    pipeline = GitLab(runners, SELECTORS="mdurl")
    jobs = pipeline.run()
    assert {name: job.result for name, job in jobs.items()} == {
        "plan": "success", FLIT: "success", MDURL: "success", "collect": "success",
    }, said(list(jobs.values()))  # fmt: skip
    assert pipeline.child[MDURL]["needs"] == [FLIT]
    child = tmp_path / "jobs.yml"
    child.write_bytes((jobs["plan"].workspace / "jobs.yml").read_bytes())
    assert_valid("gitlab-ci", child)
    artifacts = runners.folder / "artifacts"
    assert wheels(artifacts / MDURL / "results") == {"mdurl"}
    assert wheels(artifacts / "collect/out") == {"flit_core", "mdurl"}
    assert "section_start:" in jobs[MDURL].steps[0].log
    cases = ET.parse(jobs[MDURL].workspace / "junit.xml").iter("testcase")  # noqa: S314 - our own
    assert sorted(case.attrib["classname"] for case in cases) == [
        "flit-core@3.12.0", "mdurl@0.1.2",
    ]  # fmt: skip

    again = GitLab(runners, SELECTORS="mdurl").run()
    assert {name: job.result for name, job in again.items()} == {
        "plan": "success", "collect": "success",
    }  # fmt: skip


def test_a_unit_that_cannot_be_built_yet_ends_the_plan(runners: Runners) -> None:
    for lock in runners.project.glob("recipes/locks/mdurl/*/*.txt"):
        lock.unlink()
    done = GitHub(runners, SELECTORS="mdurl").run()
    (plan,) = done["plan"]
    assert plan.result == "failure"
    assert plan.steps[-1].code == 14
    assert not any(done[name] for name in ("level0", "level1", "level2", "wheels"))
    jobs = GitLab(runners, SELECTORS="mdurl").run()
    assert [job.result for job in jobs.values()] == ["failure"]


def assert_valid(schema: str, file: Path) -> None:
    """Hold a file against the public schema that check-jsonschema brings."""
    program = Path(sys.executable).with_name("check-jsonschema")
    argv = [str(program), "--builtin-schema", f"vendor.{schema}", str(file)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("schema", "name"),
    [
        ("github-workflows", "github-actions.yml"),
        ("gitlab-ci", "gitlab-ci.yml"),
        ("gitlab-ci", "gitlab-farm.yml"),
    ],
)
def test_the_files_are_what_the_services_schemas_say(schema: str, name: str) -> None:
    assert_valid(schema, CI / name)
