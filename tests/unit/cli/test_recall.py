"""A build that has nothing to do is remembered, and forgotten as soon as anything differs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode
from farm.load.library import gather
from farm.load.project import Project, find_project
from farm.model.unit import UnitKey
from farm.plan.plan import Choice, make_plan
from farm.plan.select import parse_selector
from farm.run.options import Workplace
from farm.run.settle import expectation, settle
from farm.run.unchanged import MOST_BYTES, Answer, Question, question, recall, remember
from farm.store.record import Record, WheelFile, write_record
from farm.store.results import result_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ARGUMENTS = ["build", "demo", "--engine", "user"]
WHEEL = "demo-1.0-py3-none-any.whl"
FILES = {
    "recipes/demo.yaml": """\
package: demo
versions:
  "1.0":
    source: {tree: demo}
    patches: [first.patch]
variants:
  cpu: {toolchain: plain}
""",
    "recipes/toolchains/plain.yaml": """\
toolchain: plain
accelerator: cpu
base: image
host_compiler: {family: gcc, version: "14"}
""",
    "recipes/bases/image.yaml": f"""\
base: image
image: registry.example/base@sha256:{"0" * 64}
python: "3.13"
glibc: "2.41"
""",
    "recipes/sources/demo/pyproject.toml": "[build-system]\n",
    "recipes/locks/demo/1.0/cpu-py3.13.txt": f"# farm lock: {'0' * 64}\n",
    "patches/demo/1.0/first.patch": """\
Why: to have one
Upstream: none
Remove-when: never

--- a/x
+++ b/x
@@ -1 +1 @@
-a
+b
""",
    "dockerfiles/extra.j2": "unused\n",
}


@pytest.fixture
def project(world: Path) -> Project:
    for name, text in FILES.items():
        path = world / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return find_project()


def built(project: Project, cache: Path) -> Path:
    """Put a result there as a build leaves it; returns its folder."""
    plan = make_plan(gather(project, ["demo"]), [parse_selector("demo")], Choice())
    place = Workplace(project=project, out=project.out, cache=cache)
    [standing] = settle(plan, place).values()
    assert standing.identified is not None
    unit, content = standing.unit, b"wheel"
    folder = result_folder(project.out, unit.key)
    folder.mkdir(parents=True)
    (folder / WHEEL).write_bytes(content)
    wheel = WheelFile(
        filename=WHEEL, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
    )
    record = Record(
        unit=unit.label,
        package="demo",
        version="1.0",
        variant="cpu",
        python="3.13",
        accelerator="cpu",
        archs=(),
        features=(),
        toolchain="plain",
        host_compiler="gcc-14",
        identity=standing.identified.identity,
        outcome="built",
        wheels=(wheel,),
        expected=expectation(unit),
    )
    write_record(folder, record)
    return folder


def farm(*arguments: str) -> tuple[int, str, set[str]]:
    """Run the command in a process of its own; exit status, stderr, and what it imported."""
    code = (
        "import sys, atexit; sys.argv[0] = 'farm'\n"
        "atexit.register(lambda: print(*sys.modules))\n"
        "from farm.cli.main import main; main()"
    )
    argv = [sys.executable, "-c", code, *arguments]
    ended = subprocess.run(argv, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stderr, set(ended.stdout.split())


def asked(project: Project, cache: Path, arguments: list[str] = ARGUMENTS) -> str:
    found = question(arguments, project, cache, os.environ)
    assert found is not None
    return found.digest


def test_the_second_build_with_nothing_to_do_reads_no_recipe(
    project: Project, tmp_path: Path
) -> None:
    built(project, tmp_path / "cache")
    code, first, modules = farm(*ARGUMENTS)
    assert (code, "pydantic" in modules) == (0, True)
    assert "1 unchanged" in first
    code, second, modules = farm(*ARGUMENTS)
    assert (code, modules & {"pydantic", "typer", "jinja2", "yaml"}) == (0, set())
    assert [line.split()[1:] for line in second.splitlines()] == [
        line.split()[1:] for line in first.splitlines()
    ]


def test_what_was_remembered_does_not_outlive_the_wheel(project: Project, tmp_path: Path) -> None:
    folder = built(project, tmp_path / "cache")
    farm(*ARGUMENTS)
    (folder / WHEEL).write_bytes(b"other")
    code, said, _ = farm(*ARGUMENTS)
    assert code == ExitCode.LOCK  # it is built again, as far as this project can be
    assert "unchanged" not in said


def test_a_changed_recipe_is_read_again(project: Project, tmp_path: Path) -> None:
    built(project, tmp_path / "cache")
    farm(*ARGUMENTS)
    recipe = project.root / "recipes/demo.yaml"
    recipe.write_text(recipe.read_text() + "nonsense: 1\n")
    code, said, _ = farm(*ARGUMENTS)
    assert code == ExitCode.RECIPE
    assert "nonsense" in said


@pytest.mark.parametrize("name", sorted(FILES))
def test_every_kind_of_file_is_part_of_the_question(
    name: str, project: Project, tmp_path: Path
) -> None:
    before = asked(project, tmp_path)
    path = project.root / name
    text = path.read_text()
    path.write_text(f"{text}#")
    assert asked(project, tmp_path) != before
    path.write_text(text)
    assert asked(project, tmp_path) == before
    path.unlink()
    assert asked(project, tmp_path) != before


def _own_recipe(project: Project) -> None:
    shutil.copy(project.root / "recipes/demo.yaml", project.root / "recipes/vllm.yaml")


def _moved(project: Project) -> None:
    (project.root / "recipes/demo.yaml").rename(project.root / "recipes/other.yaml")


def _executable(project: Project) -> None:
    (project.root / "recipes/sources/demo/pyproject.toml").chmod(0o755)


def _another_folder(project: Project) -> None:
    os.chdir(project.root / "recipes")


@pytest.mark.parametrize("change", [_own_recipe, _moved, _executable, _another_folder])
def test_names_modes_and_the_folder_are_part_of_the_question(
    change: Callable[[Project], None], project: Project, tmp_path: Path
) -> None:
    before = asked(project, tmp_path)
    change(project)
    assert asked(project, tmp_path) != before


def test_arguments_variables_and_bases_are_part_of_the_question(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [asked(project, tmp_path), asked(project, tmp_path, [*ARGUMENTS, "-v", "cpu"])]
    found.append(asked(project, tmp_path / "elsewhere"))
    (tmp_path / "bases").mkdir()
    (tmp_path / "bases/one.json").write_text("{}")
    found.append(asked(project, tmp_path))
    for name in ("FARM_MEMORY", "MAX_JOBS"):
        monkeypatch.setenv(name, "1")
        found.append(asked(project, tmp_path))
    assert len(set(found)) == len(found)


def test_a_link_to_a_folder_hides_its_content_so_nothing_is_remembered(
    project: Project, tmp_path: Path
) -> None:
    (project.root / "recipes/sources/linked").symlink_to(tmp_path)
    assert question(ARGUMENTS, project, tmp_path, os.environ) is None


def test_a_project_that_is_too_large_is_not_remembered(project: Project, tmp_path: Path) -> None:
    with (project.root / "recipes/sources/demo/data.bin").open("wb") as sparse:
        sparse.truncate(MOST_BYTES)
    assert question(ARGUMENTS, project, tmp_path, os.environ) is None


def test_a_pipe_in_a_source_folder_is_not_waited_for(project: Project, tmp_path: Path) -> None:
    os.mkfifo(project.root / "recipes/sources/demo/pipe")
    assert question(ARGUMENTS, project, tmp_path, os.environ) is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"out": 1, "progress": 1, "units": [1]}'])
def test_an_answer_that_is_damaged_is_none(text: str, tmp_path: Path) -> None:
    asked = Question(digest="d", cache=tmp_path)
    asked.file.parent.mkdir(parents=True)
    asked.file.write_text(text)
    assert recall(asked) is None


def test_an_answer_is_read_back_whole_and_old_ones_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.run.unchanged.MOST_KEPT", 3)
    key = UnitKey(package="a", version="1", variant="cpu")
    answer = Answer(out=tmp_path, progress="quiet", units=((key, "i" * 64),))
    for number in range(6):
        asked = Question(digest=f"{number}", cache=tmp_path)
        remember(asked, answer)
        os.utime(asked.file, (number, number))
    assert recall(Question(digest="5", cache=tmp_path)) == answer
    assert len(list((tmp_path / "tmp/unchanged").iterdir())) == 3
    assert json.loads(asked.file.read_text())["progress"] == "quiet"
