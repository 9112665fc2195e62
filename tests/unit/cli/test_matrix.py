"""``farm matrix``: what is missing, also since a commit, for each service."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from farm.errors import ExitCode
from farm.load.folders import cache_folder
from farm.load.locks import format_lock, inputs_digest
from farm.load.project import find_project
from farm.model.unit import Lock
from farm.run.options import Workplace
from farm.run.settle import expectation, settle
from farm.store.record import Record, WheelFile, write_record
from farm.store.results import result_folder
from tests.support.projects import planned, project_at, write_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Ended, Farm

RECIPE = """\
package: {name}
versions:
  1.0.0:
    source: {{tree: demo}}
variants:
  cpu:
    toolchain: fromimage
    needs: [{needs}]
{more}"""
NEED = "{{package: {name}, version: 1.0.0, variant: cpu}}"
LOW, MIDDLE, TOP, OTHER = (f"{name}@1.0.0:cpu" for name in ("low", "middle", "top", "other"))
SECONDS = 600.0


def recipe(name: str, *needs: str, more: str = "") -> dict[str, str]:
    listed = ", ".join(NEED.format(name=each) for each in needs)
    text = RECIPE.format(name=name, needs=listed, more="".join(f"    {more}\n" if more else ""))
    return {f"recipes/{name}.yaml": text}


def lock(root: Path) -> None:
    """Lock the requirements of all, which are none."""
    project = find_project(root=root)
    for unit in planned(project, *project.own_recipes()).units:
        file = root / f"recipes/locks/{unit.key.package}/1.0.0/{unit.lock_stem}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(format_lock(Lock(inputs=inputs_digest(unit.lock_inputs), pins=())))


@pytest.fixture
def project(world: Path) -> Path:
    files = recipe("low") | recipe("middle", "low") | recipe("top", "middle") | recipe("other")
    project_at(world, files)
    lock(world)
    return world


def build(root: Path, *labels: str, checked: bool = True) -> None:
    """Leave results of units as a build would."""
    project = find_project(root=root)
    place = Workplace(project=project, out=project.out, cache=cache_folder())
    for label in labels:
        settled = settle(planned(project, *project.own_recipes()), place)[label]
        unit, identified = settled.unit, settled.identified
        assert identified
        folder = result_folder(project.out, unit.key)
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{unit.key.package}-1.0.0-py3-none-any.whl"
        (folder / name).write_bytes(b"")
        empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        write_record(folder, Record(
            unit=label, package=unit.key.package, version="1.0.0", variant="cpu", python="3.13",
            accelerator="none", archs=(), features=(), toolchain="fromimage",
            host_compiler="gcc-14", identity=identified.identity, outcome="built",
            wheels=(WheelFile(filename=name, sha256=empty, size_bytes=0),), seconds=SECONDS,
            expected=expectation(unit) if checked else "another",
        ))  # fmt: skip


def commit(root: Path) -> None:
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"]):
        user = ("-c", "user.name=n", "-c", "user.email=e")
        subprocess.run(["git", *user, *words], cwd=root, check=True)


def units(ended: Ended) -> list[str]:
    assert ended.code == 0, ended.err
    return [unit["label"] for unit in ended.json["units"]]


def test_without_selectors_all_of_the_project_is_planned(farm: Farm, project: Path) -> None:
    told = farm("matrix").json
    assert [unit["label"] for unit in told["units"]] == [LOW, MIDDLE, OTHER, TOP]
    jobs = {job["name"]: (job["level"], job["needs"]) for job in told["jobs"]}
    assert jobs == {LOW: (0, []), OTHER: (0, []), MIDDLE: (1, [LOW]), TOP: (2, [LOW, MIDDLE])}
    assert {(unit["seconds"], unit["recorded"]) for unit in told["units"]} == {(300.0, False)}


def test_only_what_is_missing_is_handed_out_and_costs_what_it_did(
    farm: Farm, project: Path
) -> None:
    build(project, LOW, OTHER)
    assert units(farm("matrix")) == [MIDDLE, TOP]
    assert units(farm("matrix", "other")) == []
    text = (project / "recipes/low.yaml").read_text()
    (project / "recipes/low.yaml").write_text(text + '    env: {A: "1"}\n')
    told = farm("matrix", "low").json["units"]
    assert [(u["label"], u["seconds"], u["recorded"]) for u in told] == [(LOW, SECONDS, True)]
    build(project, LOW)
    build(project, MIDDLE)
    build(project, TOP)
    assert units(farm("matrix")) == []


def test_a_result_that_was_not_held_against_its_recipe_is_handed_out_too(
    farm: Farm, project: Path
) -> None:
    build(project, OTHER, checked=False)
    (unit,) = farm("matrix", "other").json["units"]
    assert unit["why"] == "its result is there, to be held against what is expected now"
    assert unit["seconds"] == 60


def test_what_cannot_be_built_is_an_error_but_only_if_it_is_asked_for(
    farm: Farm, project: Path
) -> None:
    (project / "recipes/locks/low/1.0.0/cpu-py3.13.txt").unlink()
    ended = farm("matrix", "--format", "github")
    assert ended.code == ExitCode.LOCK
    assert ended.out == ""
    assert f"{LOW}: its build requirements are not locked" in ended.err
    assert units(farm("matrix", "other")) == [OTHER]


def test_github_gets_a_line_and_the_outputs_of_each_level(
    farm: Farm, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = project / "output"
    monkeypatch.setenv("GITHUB_OUTPUT", str(output))
    ended = farm("matrix", "--format", "github", "--levels", "2", "--runner", "a b")
    assert ended.code == 0
    (line,) = ended.out.splitlines()
    entries = json.loads(line)["include"]
    assert [entry["units"] for entry in entries] == [LOW, OTHER, f"{MIDDLE} {TOP}"]
    assert {tuple(entry["runs-on"]) for entry in entries} == {("a b",)}
    names = [line.partition("<<")[0] for line in output.read_text().splitlines() if "<<" in line]
    assert names == ["matrix", "empty", "levels", "level0", "level1"]


def test_runners_are_those_of_the_recipe_else_those_named(farm: Farm, project: Path) -> None:
    write_files(project, recipe("big", more="runner: [self-hosted, large]"))
    lock(project)
    entries = json.loads(farm("matrix", "big", "other", "--format", "github").out)["include"]
    runners = {entry["name"]: entry["runs-on"] for entry in entries}
    assert runners == {
        "big@1.0.0:cpu": ["self-hosted", "large"], OTHER: ["self-hosted"],
    }  # fmt: skip
    child = yaml.safe_load(farm("matrix", "big", "other", "--format", "gitlab").out)
    assert child["big@1.0.0:cpu"]["tags"] == ["self-hosted", "large"]
    assert "tags" not in child[OTHER]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runner", "$(id)"], "is not a label of CI runners"),
        (["--jobs", "0"], "greater than or equal to 1"),
        (["--levels", "0"], "greater than or equal to 1"),
        (["--format", "travis"], "'travis' is not one of"),
        (["absent"], "there is no recipe 'absent'"),
    ],
)
def test_what_is_asked_for_wrongly_is_refused(
    farm: Farm, project: Path, words: list[str], said: str
) -> None:
    ended = farm("matrix", *words)
    assert ended.code == ExitCode.USAGE
    assert said in ended.err


def changed(farm: Farm, *words: str) -> list[str]:
    return units(farm("matrix", "--changed-since", "HEAD", *words))


def test_nothing_has_changed_since_the_commit_that_is_checked_out(
    farm: Farm, project: Path
) -> None:
    commit(project)
    assert changed(farm) == []
    (project / "recipes/low.yaml").touch()
    (project / "README.md").write_text("new\n")
    assert changed(farm) == []


def edit(old: str, new: str, file: str = "recipes/other.yaml") -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / file).read_text()
        assert old in text
        (root / file).write_text(text.replace(old, new))

    return change


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (edit("    needs: []\n", '    needs: []\n    env: {A: "1"}\n'), [OTHER]),
        (edit("    needs: []\n", "    needs: []\n    smoke_test: {skip: so}\n"), [OTHER]),
        (edit("package: other\n", "package: other\nsummary: text\n"), []),
        (edit("    needs: []\n", "    needs: []\n    runner: [large]\n"), []),
        (edit("requires", "requires ", "recipes/sources/demo/pyproject.toml"),
         [LOW, MIDDLE, OTHER, TOP]),
        (edit('version: "14"', 'version: "13"', "recipes/toolchains/fromimage.yaml"),
         [LOW, MIDDLE, OTHER, TOP]),
        (edit("    needs: []\n", '    needs: []\n    env: {A: "1"}\n', "recipes/low.yaml"),
         [LOW, MIDDLE, TOP]),
    ],
)  # fmt: skip
def test_units_with_other_inputs_have_changed_and_what_needs_them(
    farm: Farm, project: Path, change: Callable[[Path], None], found: list[str]
) -> None:
    commit(project)
    change(project)
    lock(project)
    assert changed(farm) == found


def test_a_changed_unit_brings_the_missing_ones_that_it_needs(farm: Farm, project: Path) -> None:
    commit(project)
    edit("    toolchain: fromimage\n", '    toolchain: fromimage\n    env: {A: "1"}\n',
         "recipes/top.yaml")(project)  # fmt: skip
    assert changed(farm) == [LOW, MIDDLE, TOP]
    build(project, LOW)
    assert changed(farm) == [MIDDLE, TOP]


def test_what_was_not_there_or_cannot_be_read_there_has_changed(farm: Farm, project: Path) -> None:
    good = (project / "recipes/other.yaml").read_text()
    (project / "recipes/other.yaml").write_text("variant: [\n")
    commit(project)
    (project / "recipes/other.yaml").write_text(good)
    write_files(project, recipe("new"))
    lock(project)
    assert changed(farm) == ["new@1.0.0:cpu", OTHER]


def test_a_project_below_the_top_of_its_repository(
    farm: Farm, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = project / "some/wheels"
    inner.mkdir(parents=True)
    (project / "recipes").rename(inner / "recipes")
    commit(project)
    monkeypatch.chdir(inner)
    assert changed(farm) == []
    edit("    needs: []\n", '    needs: []\n    env: {A: "1"}\n')(inner)
    assert changed(farm) == [OTHER]


def test_the_work_tree_and_the_index_stay_as_they_are(farm: Farm, project: Path) -> None:
    commit(project)
    (project / "staged").write_text("x")
    subprocess.run(["git", "add", "staged"], cwd=project, check=True)
    (project / "recipes/other.yaml").write_text("broken: [")

    def state() -> tuple[Any, ...]:
        said = subprocess.run(["git", "status", "--porcelain"], cwd=project, check=True,
                              capture_output=True).stdout  # fmt: skip
        return said, (project / ".git/index").read_bytes(), sorted((project / ".git").iterdir())

    before = state()
    assert farm("matrix", "low", "--changed-since", "HEAD").code == 0
    assert state() == before


@pytest.mark.parametrize("ref", ["nowhere", "-x", "--all", "HEAD:recipes", "a..b", "", "0" * 40])
def test_a_commit_that_is_not_there_is_refused(farm: Farm, project: Path, ref: str) -> None:
    commit(project)
    ended = farm("matrix", f"--changed-since={ref}")
    assert ended.code == ExitCode.USAGE
    assert f"there is no commit '{ref}' here" in ended.err
    assert "hint: name a commit" in ended.err


def test_a_shallow_clone_is_told_as_such(
    farm: Farm, project: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commit(project)
    first = subprocess.run(["git", "rev-parse", "HEAD"], cwd=project, check=True, text=True,
                           capture_output=True).stdout.strip()  # fmt: skip
    (project / "new").write_text("")
    commit(project)
    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", "--depth=1", project.as_uri(), str(clone)], check=True)
    monkeypatch.chdir(clone)
    ended = farm("matrix", "--changed-since", first)
    assert ended.code == ExitCode.USAGE
    assert "this clone is shallow: fetch the whole history (fetch-depth: 0" in ended.err


def test_without_a_repository_there_is_nothing_to_compare_with(farm: Farm, project: Path) -> None:
    ended = farm("matrix", "--changed-since", "HEAD")
    assert ended.code == ExitCode.USAGE
    assert "is in no git repository" in ended.err
    assert "not a git repository" in ended.err


def test_bases_of_this_machine_count_for_both(farm: Farm, project: Path) -> None:
    """A base without a lock has a placeholder in both: that alone is no change."""
    write_files(project, {"recipes/floating.yaml": recipe("floating")["recipes/floating.yaml"]
                          .replace("fromimage", "plain")})  # fmt: skip
    lock(project)
    commit(project)
    assert changed(farm, "floating") == []
