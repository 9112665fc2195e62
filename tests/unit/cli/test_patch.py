"""``farm patch``: all patches and edits tried without an engine, and new ones made."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode
from tests.support.projects import project_at, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.cli.conftest import Farm

HEAD = "Why: w\nUpstream: u\nRemove-when: r\n\n"
LINES = "".join(f"line {n}\n" for n in range(1, 21))


def patch(old: str, new: str, file: str = "setup.py", at: int = 10) -> str:
    body = f" line {at - 1}\n-{old}\n+{new}\n line {at + 1}\n"
    return f"{HEAD}--- a/{file}\n+++ b/{file}\n@@ -{at - 1},3 +{at - 1},3 @@\n{body}"


RECIPE = """\
package: demo
features:
  extra: {summary: more, on: {edits: [{file: setup.py, replace: line 3, by: three}]}}
versions:
  1.0.0: {source: {tree: demo}}
  0.9.0: {source: {tree: demo}}
sources:
  dep: {source: {tree: dep}}
variants:
  cpu: {toolchain: plain}
  gpu:
    toolchain: gpu
    archs: [gfx942]
    patches: [{file: 0002-dep.patch, to: dep}]
patches: [0001-first.patch]
"""


@pytest.fixture
def project(world: Path) -> Path:
    files = {"recipes/demo.yaml": RECIPE}
    for version in ("1.0.0", "0.9.0"):
        files[f"patches/demo/{version}/0001-first.patch"] = patch("line 10", "ten")
        files[f"patches/demo/{version}/0002-dep.patch"] = patch("line 5", "five", at=5)
    project_at(world, files)
    for name in ("demo", "dep"):
        write_files(world, {f"recipes/sources/{name}/setup.py": LINES})
    return world


def rows(farm: Farm, *arguments: str) -> list[tuple[str, str, str, list[str]]]:
    found = farm("patch", "check", "--json", *arguments).json["patches"]
    return [(r["version"], r["name"], r["fit"], r["units"]) for r in found]


def test_every_version_variant_and_side_of_a_feature_is_tried_once(
    farm: Farm, project: Path
) -> None:
    label = "demo@1.0.0:{}".format
    names = {(version, name): sorted(units) for version, name, _, units in rows(farm, "demo")}
    assert names["1.0.0", "0001-first.patch"] == sorted(
        map(label, ("cpu", "cpu+extra", "gpu", "gpu+extra"))
    )
    assert names["1.0.0", "0002-dep.patch"] == [label("gpu"), label("gpu+extra")]
    assert names["0.9.0", "setup.py: 'line 3'"] == ["demo@0.9.0:cpu+extra", "demo@0.9.0:gpu+extra"]
    assert {version for version, *_ in rows(farm, "demo@0.9.0")} == {"0.9.0"}
    assert {name for _, name, *_ in rows(farm, "demo:cpu")} == {"0001-first.patch"}


def test_what_does_not_fit_is_told_with_hunk_file_and_line_and_the_others_are_tried(
    farm: Farm, project: Path
) -> None:
    write_files(project, {
        "patches/demo/1.0.0/0001-first.patch": patch("line 10", "ten")
        + "@@ -14,3 +14,3 @@\n line 14\n-line 99\n+x\n line 16\n",
        "patches/demo/1.0.0/0003-third.patch": patch("line 10", "10"),
    })  # fmt: skip
    recipe = project / "recipes/demo.yaml"
    recipe.write_text(recipe.read_text() + "edits: [{file: setup.py, replace: line 77, by: x}]\n")
    plain = "1.0.0: {source: {tree: demo}}"
    more = plain.replace("}}", "}, patches: [0003-third.patch]}")
    recipe.write_text(recipe.read_text().replace(plain, more))
    ended = farm("patch", "check", "demo@1.0.0:cpu")
    assert ended.code == ExitCode.PATCH
    assert "2 of 3 patches and edits do not fit" in ended.err
    assert "0001-first.patch: hunk 2 does not fit setup.py at line 14" in ended.out
    assert "expected 'line 77' 1 time, found it 0 times; nearest: line 7: 'line 7'" in ended.out
    fits = {name: fit for _, name, fit, _ in rows(farm, "demo@1.0.0:cpu")}
    assert fits["0003-third.patch"] == "applies"  # which it would not on what was half patched
    assert (project / "recipes/sources/demo/setup.py").read_text() == LINES


def test_what_is_not_staged_is_told_with_where_it_would_come_from(
    farm: Farm, project: Path
) -> None:
    recipe = project / "recipes/demo.yaml"
    source = "{git: https://me:secret@x.org/dep, commit: " + "0123456789" * 4 + "}"
    recipe.write_text(recipe.read_text().replace("{tree: dep}", source))
    ended = farm("patch", "check", "demo@1.0.0")
    assert ended.code == ExitCode.FETCH
    assert "1 of 3 patches and edits were not tried" in ended.err
    told = next(line for line in ended.out.splitlines() if "it would come from" in line)
    assert told.startswith("demo@1.0.0: 0002-dep.patch: it would come from https://")
    assert told.endswith("x.org/dep; bring it: farm fetch demo@1.0.0:gpu")
    assert "secret" not in ended.out


def test_where_there_is_nothing_to_try_that_is_said(farm: Farm, world: Path) -> None:
    project_at(world)
    ended = farm("patch", "check", "demo")
    assert (ended.code, ended.out) == (0, "there is nothing to try: no patch and no edit\n")


def test_a_machine_without_the_program_is_told(
    farm: Farm, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    for words in (("check", "demo"), ("new", "demo:cpu", "x")):
        ended = farm("patch", *words)
        assert ended.code == ExitCode.USAGE
        assert "this machine has no program 'patch'" in ended.err


SAID = ("--why", "it is wrong", "--upstream", "none yet", "--remove-when", "2.0")


def opened(farm: Farm, *words: str) -> Path:
    from pathlib import Path

    ended = farm("patch", "new", *words)
    assert ended.code == 0, ended.err
    return Path(ended.out.strip())


def test_a_change_becomes_a_patch_that_builds_on_those_before(farm: Farm, project: Path) -> None:
    tree = opened(farm, "demo:cpu", "better-line")
    assert "ten\n" in (tree / "setup.py").read_text()
    text = (tree / "setup.py").read_text()
    (tree / "setup.py").write_text(text.replace("line 11", "eleven"))
    ended = farm("patch", "new", "demo:cpu", "better-line", "--finish", *SAID)
    assert ended.code == 0, ended.err
    assert ended.out == "patches/demo/1.0.0/0003-better-line.patch\n"
    assert "under patches: in recipes/demo.yaml:\n  - 0003-better-line.patch" in ended.err
    made = (project / ended.out.strip()).read_text()
    assert made == (
        "Why: it is wrong\nUpstream: none yet\nRemove-when: 2.0\n\n"
        "--- a/setup.py\n+++ b/setup.py\n@@ -8,7 +8,7 @@\n line 8\n line 9\n ten\n"
        "-line 11\n+eleven\n line 12\n line 13\n line 14\n"
    )
    assert not tree.parent.exists()
    recipe = project / "recipes/demo.yaml"
    recipe.write_text(recipe.read_text().replace(
        "1.0.0: {source: {tree: demo}}",
        "1.0.0: {source: {tree: demo}, patches: [0003-better-line.patch]}",
    ))  # fmt: skip
    assert farm("patch", "check", "demo@1.0.0:cpu").code == 0


def test_a_command_changes_a_staged_source_in_one_go_the_same_each_time(
    farm: Farm, project: Path
) -> None:
    words = ("patch", "new", "demo:gpu", "six", "--to", "dep", "--json", *SAID)
    change = "sed -i 's/line 6/six/' setup.py; echo new > added.txt"
    ended = farm(*words, "--run", change)
    assert ended.code == 0, ended.err
    told = json.loads(ended.out)
    path = project / told.pop("patch")
    assert told == {
        "line": "- {file: 0003-six.patch, to: dep}",
        "files": ["added.txt", "setup.py"],
        "left_out": [],
        "to_fill": [],
    }
    first = path.read_bytes()
    assert str(project).encode() not in first
    path.unlink()
    assert farm(*words, "--run", change).code == 0
    assert path.read_bytes() == first


def test_a_header_that_is_not_filled_is_refused_until_it_is(farm: Farm, project: Path) -> None:
    ended = farm(
        "patch", "new", "demo:cpu", "x", "--run", "echo y >> setup.py", "--why", "w" * 300
    )
    assert ended.code == 0, ended.err
    assert "fill in first, at its top: Upstream:, Remove-when:" in ended.err
    path = project / ended.out.strip()
    recipe = project / "recipes/demo.yaml"
    recipe.write_text(recipe.read_text().replace("[0001-first.patch]", f"[{path.name}]"))
    (project / "patches/demo/0.9.0" / path.name).write_bytes(path.read_bytes())
    ended = farm("plan", "demo:cpu")
    assert ended.code == ExitCode.RECIPE
    assert "the header lacks 'Upstream:'" in ended.err
    assert "the header lacks 'Remove-when:'" in ended.err


def test_an_open_change_waits_until_it_is_finished_or_given_up(farm: Farm, project: Path) -> None:
    tree = opened(farm, "demo:cpu", "x")
    again = farm("patch", "new", "demo:cpu", "x")
    assert again.code == ExitCode.USAGE
    assert f"it is open already, in {tree}" in again.err
    nothing = farm("patch", "new", "demo:cpu", "x", "--finish")
    assert nothing.code == ExitCode.USAGE
    assert "nothing was changed" in nothing.err
    failed = farm("patch", "new", "demo:cpu", "x", "--run", "echo y > setup.py; exit 3")
    assert failed.code == ExitCode.PATCH
    assert "exit status 3" in failed.err
    assert (tree / "setup.py").read_text() == "y\n"  # what it changed is not lost
    assert farm("patch", "new", "demo:cpu", "x", "--discard").code == 0
    assert not tree.exists()
    gone = farm("patch", "new", "demo:cpu", "x", "--finish")
    assert gone.code == ExitCode.USAGE
    assert "no change 'x' is open" in gone.err


def test_a_change_of_a_source_that_has_changed_meanwhile_is_not_written(
    farm: Farm, project: Path
) -> None:
    tree = opened(farm, "demo:cpu", "x")
    (tree / "setup.py").write_text("mine\n")
    (project / "recipes/sources/demo/setup.py").write_text("theirs\n")
    ended = farm("patch", "new", "demo:cpu", "x", "--finish")
    assert ended.code == ExitCode.USAGE
    assert "others than when it was opened" in ended.err
    assert (tree / "setup.py").read_text() == "mine\n"


def test_what_no_patch_can_say_is_told_and_stays_open(farm: Farm, project: Path) -> None:
    tree = opened(farm, "demo:cpu", "x")
    (tree / "blob").write_bytes(b"\0")
    (tree / "setup.py").chmod(0o755)
    ended = farm("patch", "new", "demo:cpu", "x", "--finish")
    assert ended.code == ExitCode.PATCH
    assert "blob: it is binary" in ended.err
    assert "setup.py: its mode was changed" in ended.err
    assert tree.exists()


def test_a_patch_of_a_shipped_recipe_goes_into_ones_own_project(farm: Farm, project: Path) -> None:
    words = ("torch:stub", "x", "--run", "echo >> pyproject.toml", *SAID)
    ended = farm("patch", "new", *words)
    assert ended.code == 0, ended.err
    assert ended.out == "patches/torch/2.11.0/0001-x.patch\n"
    assert "in a copy of farm's own in recipes/torch.yaml:\n  - 0001-x.patch" in ended.err
    assert (project / ended.out.strip()).is_file()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("demo:cpu", "Not a name"), "is no name for a patch"),
        (("demo:cpu", "../../etc"), "is no name for a patch"),
        (("demo:cpu", "first"), "there is a patch 0001-first.patch already"),
        (("demo:cpu", "x", "--to", "depp"), "has no source 'depp'; perhaps"),
        (("demo:cpu", "x", "--finish", "--discard"), "exclude each other"),
        (("demo", "x", "--to", "dep"), "name one variant: demo@1.0.0:cpu or demo@1.0.0:gpu"),
        (("demo:tpu", "x"), "demo has no variant 'tpu'"),
    ],
)
def test_what_cannot_be_opened_is_told(
    farm: Farm, project: Path, words: tuple[str, ...], told: str
) -> None:
    ended = farm("patch", "new", *words)
    assert ended.code == ExitCode.USAGE
    assert told in ended.err.replace("\nhint: ", "; ")
    assert not (project / "out").exists()


def test_a_patch_is_not_made_on_one_that_does_not_fit(farm: Farm, project: Path) -> None:
    write_files(project, {"patches/demo/1.0.0/0001-first.patch": patch("line 99", "x")})
    ended = farm("patch", "new", "demo:cpu", "x")
    assert ended.code == ExitCode.PATCH
    assert "the earlier patch 0001-first.patch does not fit: hunk 1" in ended.err
