"""Runs the shipped workflow files, each step of them, with what the services give a job.

A job has a checkout and a machine of its own.  The machine's cache folder has the engine,
bases and sources of all tests, but results of its own.  What is handed from one job to another
goes through caches and artifacts alone.
"""

from __future__ import annotations

import fnmatch
import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from tests.support.expressions import Context
from tests.support.farming import PATIENCE_S, Farm, share_cache

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

CI = Path(__file__).parents[2] / "docs/ci"
Told = dict[str, Any]


@dataclass(kw_only=True)
class Step:
    """One step that ran: its log, and what it put on its page."""

    name: str
    code: int
    log: str
    page: str = ""
    outputs: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Job:
    """One job that ran, or was skipped."""

    name: str
    result: str
    workspace: Path
    steps: list[Step] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)

    @property
    def ran(self) -> list[str]:
        return [step.name for step in self.steps]

    def step(self, name: str) -> Step:
        (found,) = (step for step in self.steps if step.name == name)
        return found


@dataclass(kw_only=True)
class Runners:
    """Machines and the service's storage; ``lender`` is the cache folder of all tests."""

    folder: Path
    lender: Path
    project: Path
    caches: dict[str, Path] = field(default_factory=dict)
    artifacts: dict[str, Path] = field(default_factory=dict)
    made: int = 0

    def checkout(self) -> tuple[Path, Path]:
        """A checkout of the project and a cache folder, on a machine that knows nothing yet."""
        self.made += 1
        machine = self.folder / f"m{self.made}"
        shutil.copytree(self.project, machine / "work", ignore=shutil.ignore_patterns("out"))
        return machine / "work", share_cache(self.lender, machine / "cache")

    def bash(self, script: str, workspace: Path, variables: Mapping[str, str]) -> tuple[int, str]:
        """Run a script as both services do: an error ends it, also within a pipe."""
        clean = Farm(root=workspace, cache=workspace).environment()
        clean.pop("FARM_CACHE_DIR")
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script],
            cwd=workspace,
            env={**clean, "CI": "true", **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
        return done.returncode, done.stdout

    def save(self, key: str, paths: Iterable[Path]) -> None:
        """Keep folders under a key, but for links, which lead to what all tests share."""
        kept = self.folder / "caches" / str(len(self.caches))
        for index, path in enumerate(paths):
            if path.is_dir() and not path.is_symlink():
                shutil.copytree(path, kept / str(index))
        self.caches[key] = kept

    def restore(self, keys: Iterable[str], paths: list[Path]) -> None:
        """Bring back what was kept last under a key that begins so."""
        for key in keys:
            for name in reversed(self.caches):
                if name.startswith(key):
                    for index, path in enumerate(paths):
                        copy_into(self.caches[name] / str(index), path)
                    return


def copy_into(source: Path, target: Path) -> None:
    if source.is_dir() and not target.is_symlink():
        shutil.copytree(source, target, dirs_exist_ok=True)


def found_files(workspace: Path, patterns: Iterable[str]) -> list[Path]:
    """Files below folders and by globs, hidden ones too."""
    found: set[Path] = set()
    for pattern in patterns:
        for path in workspace.glob(pattern):
            found |= {path} if path.is_file() else {p for p in path.rglob("*") if p.is_file()}
    return sorted(found)


class GitHub:
    """GitHub Actions: the workflow file with what a user would change in it."""

    def __init__(self, runners: Runners, **env: str) -> None:
        self.runners = runners
        self.file: Told = yaml.safe_load((CI / "github-actions.yml").read_text("utf-8"))
        assert set(env) <= set(self.file["env"])
        self.file["env"] |= env
        self.runs = 0

    def run(self) -> dict[str, list[Job]]:
        """Run all jobs, in the order in which they stand; by the name of each, its instances."""
        self.runs += 1
        done: dict[str, list[Job]] = {}
        needs: Told = {}
        for name, job in self.file["jobs"].items():
            wanted = [job["needs"]] if isinstance(job.get("needs"), str) else job.get("needs", [])
            known = {each: needs[each] for each in wanted}
            good = all(each["result"] == "success" for each in known.values())
            context = Context(
                names={"needs": known, "github": self._github(Path())},
                state="success" if good else "failure",
            )
            done[name] = [] if not context.holds(job.get("if")) else self._instances(job, context)
            results = {each.result for each in done[name]} or {"skipped"}
            needs[name] = {
                "result": "failure" if "failure" in results else results.pop(),
                "outputs": done[name][-1].outputs if done[name] else {},
            }
        return done

    def _github(self, workspace: Path) -> Told:
        return {
            "workspace": str(workspace), "run_id": str(1000 + self.runs), "run_attempt": "1",
            "ref": "refs/heads/main", "event_name": "push",
        }  # fmt: skip

    def _instances(self, job: Told, context: Context) -> list[Job]:
        matrix = context.fill(job["strategy"]["matrix"]) if "strategy" in job else None
        entries = matrix["include"] if matrix else [{}]
        assert entries, "a matrix of nothing is an error of the service"
        return [self._job(job, context.names["needs"], entry) for entry in entries]

    def _job(self, job: Told, needs: Told, entry: Told) -> Job:
        workspace, cache = self.runners.checkout()
        names = {"github": self._github(workspace), "needs": needs, "matrix": entry, "steps": {}}
        context = Context(names=names)
        env = {**context.fill(self.file["env"]), "FARM_CACHE_DIR": str(cache)}
        names["env"] = env
        made = Job(name=context.fill(job.get("name", "")), result="success", workspace=workspace)
        assert context.fill(job["runs-on"]) in ("self-hosted", ["self-hosted"], ["large"])
        later: list[Told] = []
        for step in job["steps"]:
            if context.holds(step.get("if")):
                ran = self._step(step, context, env, workspace, later)
                made.steps.append(ran)
                names["steps"][step.get("id", "")] = {"outputs": ran.outputs}
                if ran.code:
                    context.state = made.result = "failure"
        for each in later if made.result == "success" else ():
            self.runners.save(each["key"], _paths(each["path"], workspace))
        made.outputs = context.fill(job.get("outputs", {}))
        return made

    def _step(
        self, step: Told, context: Context, env: Told, workspace: Path, later: list[Told]
    ) -> Step:
        name: str = step.get("name") or step["uses"]
        if "uses" in step:
            self._use(step["uses"], context.fill(step.get("with", {})), workspace, later)
            return Step(name=name, code=0, log="")
        assert "${{" not in step["run"], "what a script is made of comes through its environment"
        output, page = (workspace.parent / each for each in ("output", "page"))
        for each in (output, page):
            each.write_text("")
        variables = {
            **env, **context.fill(step.get("env", {})), "GITHUB_ACTIONS": "true",
            "GITHUB_OUTPUT": str(output), "GITHUB_STEP_SUMMARY": str(page),
            "GITHUB_WORKSPACE": str(workspace),
        }  # fmt: skip
        code, log = self.runners.bash(step["run"], workspace, variables)
        told = _outputs(output.read_text())
        return Step(name=name, code=code, log=log, page=page.read_text(), outputs=told)

    def _use(self, action: str, given: Told, workspace: Path, later: list[Told]) -> None:
        runners, name = self.runners, action.partition("@")[0]
        paths = _paths(given.get("path", ""), workspace)
        if name in {"actions/cache", "actions/cache/restore"}:
            runners.restore([given["key"], *given["restore-keys"].split()], paths)
            later += [given] if name == "actions/cache" else []
        elif name == "actions/cache/save":
            runners.save(given["key"], paths)
        elif name == "actions/download-artifact":
            for each, folder in runners.artifacts.items():
                if fnmatch.fnmatch(each, given["pattern"]):
                    copy_into(folder, paths[0])
        elif name == "actions/upload-artifact":
            self._upload(given, workspace)
        else:
            assert name == "actions/checkout"

    def _upload(self, given: Told, workspace: Path) -> None:
        name, patterns = given["name"], given["path"].split()
        assert not re.search(r'[":<>|*?\r\n\\/]', name)
        assert name not in self.runners.artifacts, "an artifact is never written again"
        files = found_files(workspace, patterns)
        if not given.get("include-hidden-files"):
            files = [f for f in files if not re.search(r"/\.", f"/{f.relative_to(workspace)}")]
        if not files:
            assert given["if-no-files-found"] == "ignore"
            return
        fixed = [(workspace / each.partition("*")[0]) for each in patterns]
        root = os.path.commonpath([p if p.is_dir() else p.parent for p in fixed])
        for each in files:
            inside = each.relative_to(root)
            assert not re.search(r'[":<>|*?\r\n]', str(inside))
            target = self.runners.folder / "artifacts" / name / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(each, target)
        self.runners.artifacts[name] = self.runners.folder / "artifacts" / name

    def next_run(self) -> None:
        """What another run begins with: the caches, and no artifact."""
        self.runners.artifacts.clear()
        shutil.rmtree(self.runners.folder / "artifacts", ignore_errors=True)


def _paths(text: str, workspace: Path) -> list[Path]:
    return [workspace / line for line in text.split()]


def _outputs(text: str) -> dict[str, str]:
    found, lines = {}, iter(text.splitlines())
    for line in lines:
        name, sign, rest = re.split(r"(<<|=)", line, maxsplit=1)
        found[name] = "\n".join(iter(lines.__next__, rest)) if sign == "<<" else rest
    return found


class GitLab:
    """GitLab CI: the pipeline and the child that it makes."""

    def __init__(self, runners: Runners, **variables: str) -> None:
        self.runners = runners
        self.file: Told = yaml.safe_load((CI / "gitlab-ci.yml").read_text("utf-8"))
        assert set(variables) <= set(self.file["variables"])
        self.file["variables"] |= variables
        self.child: Told = {}

    def run(self) -> dict[str, Job]:
        """Run the plan, then the jobs of the child pipeline, by name."""
        plan = self._job("plan", self.file["plan"], {})
        jobs = {"plan": plan}
        if plan.result != "success":
            return jobs
        included = self.file["wheels"]["trigger"]["include"]
        assert included == [{"artifact": "jobs.yml", "job": "plan"}, {"local": ".gitlab/farm.yml"}]
        self.child = yaml.safe_load((plan.workspace / "jobs.yml").read_text("utf-8"))
        templates: Told = yaml.safe_load((CI / "gitlab-farm.yml").read_text("utf-8"))
        listed = [(name, job) for name, job in self.child.items() if name != "stages"]
        for stage in self.child["stages"]:
            for name, own in listed:
                if own["stage"] == stage:
                    job = templates[own["extends"]] | own
                    before = own.get("needs", [each for each in jobs if each != "plan"])
                    bad = any(jobs[each].result != "success" for each in before)
                    if bad and job.get("rules") != [{"when": "always"}]:
                        jobs[name] = Job(name=name, result="skipped", workspace=plan.workspace)
                    else:
                        jobs[name] = self._job(name, job, {each: jobs[each] for each in before})
        return jobs

    def _job(self, name: str, job: Told, needs: Mapping[str, Job]) -> Job:
        workspace, cache = self.runners.checkout()
        cache.rename(workspace / "farm-cache")  # GitLab keeps what is in the project's folder
        values = {"GITLAB_CI": "true", "CI_JOB_NAME": name, **self.file["variables"]}
        values |= job.get("variables", {})
        caches = job["cache"] if isinstance(job["cache"], list) else [job["cache"]]
        for each in caches:
            key = re.sub(r"\$(\w+)", lambda found: values[found[1]], each["key"])
            each["key"] = key
            self.runners.restore([key], [workspace / path for path in each["paths"]])
        for each in needs.values():
            copy_into(self.runners.folder / "artifacts" / each.name, workspace)
        code, log = self.runners.bash("\n".join(job["script"]), workspace, values)
        _, after = self.runners.bash("\n".join(job.get("after_script", ())), workspace, values)
        for each in caches if code == 0 else ():
            if each.get("policy") != "pull":
                self.runners.save(each["key"], [workspace / path for path in each["paths"]])
        self._keep(name, job["artifacts"], workspace)
        step = Step(name="script", code=code, log=log + after)
        result = "failure" if code else "success"
        return Job(name=name, result=result, workspace=workspace, steps=[step])

    def _keep(self, name: str, artifacts: Told, workspace: Path) -> None:
        for each in found_files(workspace, artifacts["paths"]):
            target = self.runners.folder / "artifacts" / name / each.relative_to(workspace)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(each, target)
