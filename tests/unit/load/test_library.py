"""Gathering recipes and all that they lead to, with every problem of every file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode, RecipeError, UsageError
from farm.load.library import Library, gather
from farm.load.locks import format_lock
from farm.model.unit import Lock
from tests.support.projects import DEMO, PATCH, SHA, project_at, write_files

if TYPE_CHECKING:
    from pathlib import Path


def needing(name: str, *, package: str = "demo") -> str:
    need = f"needs: [{{package: {name}, version: 1.0.0, variant: cpu}}]\n"
    return DEMO.replace("package: demo", f"package: {package}") + need


def load(root: Path, files: dict[str, str], *names: str) -> Library:
    return gather(project_at(root, files), names or ("demo",))


def problems(root: Path, files: dict[str, str], *names: str) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        load(root, files, *names)
    return [str(problem) for problem in caught.value.problems]


def with_setting(text: str) -> dict[str, str]:
    return {"recipes/demo.yaml": DEMO + text + "\n"}


def test_a_recipe_brings_what_it_needs_once(tmp_path: Path) -> None:
    files = {
        "recipes/demo.yaml": needing("other"),
        "recipes/other.yaml": needing("demo", package="other"),
    }
    found = load(tmp_path, files, "demo", "demo", "other")
    assert sorted(found.recipes) == ["demo", "other"]
    assert sorted(found.toolchains) == ["plain"]
    assert sorted(found.bases) == ["floor"]


def test_a_chain_of_needs_may_be_longer_than_the_stack_is_deep(tmp_path: Path) -> None:
    files = {f"recipes/p{n}.yaml": needing(f"p{n + 1}", package=f"p{n}") for n in range(1100)}
    last = {"recipes/p1100.yaml": DEMO.replace("package: demo", "package: p1100")}
    assert len(load(tmp_path, files | last, "p0").recipes) == 1101


@pytest.mark.parametrize("name", ["demi", "../demo", "demo\n", "demo.yaml", "x" * 5000, "\0"])
def test_what_is_no_recipe_is_a_usage_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="there is no recipe") as caught:
        load(tmp_path, with_setting(""), name)
    assert caught.value.code is ExitCode.USAGE
    assert caught.value.hint
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ("needs: [{package: dmeo, version: 1.0.0, variant: cpu}]",
         "demo.yaml:7:9: needs[0]: needs the unknown recipe 'dmeo'; perhaps you meant 'demo'"),
        ("sources: {x: {source: {tree: nix}}}",
         "demo.yaml:7:14: sources.x: there is no folder recipes/sources/nix"),
        ("sources: {x: {source: {tree: demo/pyproject.toml}}}",
         "sources.x: there is no folder recipes/sources/demo/pyproject.toml"),
        ("patches: [0001-x.patch]",
         "demo.yaml:7:11: patches[0]: there is no patches/demo/1.0.0/0001-x.patch"),
        ("patches: [0001-y.patch]",
         "there is no patches/demo/1.0.0/0001-y.patch; perhaps you meant '0001-z.patch'"),
    ],
)  # fmt: skip
def test_what_a_recipe_names_must_be_there(tmp_path: Path, setting: str, told: str) -> None:
    write_files(tmp_path, {"patches/demo/1.0.0/0001-z.patch": PATCH})
    (problem,) = problems(tmp_path, with_setting(setting))
    assert told.partition("; ")[0] in problem
    if "0001-y" in setting:
        assert told in problem


@pytest.mark.parametrize(
    "setting",
    [
        "patches: [../../etc/passwd]",
        "patches: ['x;rm -rf /']",
        "patches: ['$(id).patch']",
        "sources: {x: {source: {tree: ../..}}}",
        "sources: {x: {source: {tree: /etc}}}",
        "sources: {x: {source: {tree: a/../../..}}}",
        "sources: {'../x': {source: {tree: demo}}}",
        "sources: {'$(id)': {source: {tree: demo}}}",
        "needs: [{package: ../x, version: 1, variant: cpu}]",
        "needs: [{package: x, version: ../1, variant: cpu}]",
        "env: {'A B': x}",
        "env: {'A=$(id)': x}",
        'env: {A: "two\\nlines"}',
        'env: {A: "\\x7f"}',
        "system_packages: ['gcc; reboot']",
        "system_packages: ['-oDpkg::Pre-Invoke::=id']",
        "cmake_args: ['-DA=1 -DB=2']",
        "cmake_args: ['rm']",
        "edits: [{file: ../setup.py, replace: a, by: b}]",
        "edits: [{file: /etc/passwd, replace: a, by: b}]",
    ],
)
def test_a_hostile_name_gets_no_further_than_the_model(tmp_path: Path, setting: str) -> None:
    found = problems(tmp_path, with_setting(setting))
    assert found
    assert all(problem.startswith("recipes/demo.yaml:7:") for problem in found)


@pytest.mark.parametrize("version", ["../1", "1;id", "$(id)", "1/2", "1 2", "v1", "1" * 100])
def test_a_hostile_version_gets_no_further_than_the_model(tmp_path: Path, version: str) -> None:
    recipe = DEMO.replace("1.0.0:", f"'{version}':")
    (problem,) = problems(tmp_path, {"recipes/demo.yaml": recipe})
    assert "is not a version" in problem


def test_a_recipe_must_be_called_as_its_file(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, {"recipes/other.yaml": DEMO}, "other")
    assert problem == (
        "recipes/other.yaml:1:10: package: 'demo' stands in a file that is called other.yaml"
    )


@pytest.mark.parametrize(
    ("path", "key"), [("toolchains/plain", "toolchain: plain"), ("bases/floor", "base: floor")]
)
def test_a_toolchain_and_a_base_must_be_called_as_their_file(
    tmp_path: Path, path: str, key: str
) -> None:
    project = project_at(tmp_path)
    file = tmp_path / f"recipes/{path}.yaml"
    file.write_text(file.read_text().replace(key, f"{key}er", 1))
    with pytest.raises(RecipeError) as caught:
        gather(project, ["demo"])
    assert "stands in a file that is called" in caught.value.details[0]


def test_an_unknown_toolchain_is_told_with_the_nearest(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, {"recipes/demo.yaml": DEMO.replace("plain", "plian")})
    assert problem == (
        "recipes/demo.yaml:6:20: variants.cpu.toolchain: unknown toolchain 'plian'; "
        "perhaps you meant 'plain'"
    )


def test_an_unknown_base_is_told_where_the_toolchain_names_it(tmp_path: Path) -> None:
    project = project_at(tmp_path)
    file = tmp_path / "recipes/toolchains/plain.yaml"
    file.write_text(file.read_text().replace("base: floor", "base: flor"))
    with pytest.raises(RecipeError) as caught:
        gather(project, ["demo"])
    assert caught.value.details == (
        "recipes/toolchains/plain.yaml:3:7: base: unknown base 'flor'; perhaps you meant 'floor'",
    )


def test_problems_of_every_file_are_told_at_once(tmp_path: Path) -> None:
    files = {
        "recipes/demo.yaml": needing("other") + "patches: [a.patch]\n",
        "recipes/other.yaml": "package: other\nversions: 3\n",
        "patches/demo/1.0.0/a.patch": "nothing\n",
        "recipes/locks/demo/1.0.0/cpu-py3.13.txt": "torch\n",
    }
    told = problems(tmp_path, files)
    for file in files:
        assert any(
            problem.startswith(f"{file}:") or file == "recipes/demo.yaml" for problem in told
        )
    assert len(told) >= 4


def test_a_patch_of_every_version_must_fit_every_version(tmp_path: Path) -> None:
    recipe = DEMO.replace("variants:", "  2.0.0: {source: {tree: demo}}\nvariants:")
    files = {
        "recipes/demo.yaml": recipe + "patches: [a.patch]\n",
        "patches/demo/1.0.0/a.patch": PATCH,
    }
    (problem,) = problems(tmp_path, files)
    assert "there is no patches/demo/2.0.0/a.patch" in problem


def test_a_patch_that_is_a_folder_is_a_problem_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "patches/demo/1.0.0/a.patch").mkdir(parents=True)
    (problem,) = problems(tmp_path, with_setting("patches: [a.patch]"))
    assert problem.startswith("patches/demo/1.0.0/a.patch: cannot be read")


@pytest.mark.parametrize(
    ("link", "target"),
    [
        ("recipes/sources/demo/inside", "/etc/passwd"),
        ("recipes/sources/demo/inside", "nowhere"),
        ("recipes/sources/link", "/etc"),
        ("recipes/sources/link", "demo"),
    ],
)
def test_a_source_folder_that_is_or_holds_a_link_is_refused(
    tmp_path: Path, link: str, target: str
) -> None:
    tree = "link" if link.endswith("link") else "demo"
    project = project_at(tmp_path, with_setting(f"sources: {{x: {{source: {{tree: {tree}}}}}}}"))
    (tmp_path / link).symlink_to(target)
    with pytest.raises(RecipeError) as caught:
        gather(project, ["demo"])
    told = " ".join(caught.value.details)
    assert "sources.x: " in told
    assert "is a link" in told or "is not a plain file or folder" in told


def test_a_link_above_a_source_folder_is_refused(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    write_files(outside, {"inner/secret": "x"})
    project = project_at(
        tmp_path / "p", with_setting("sources: {x: {source: {tree: link/inner}}}")
    )
    (tmp_path / "p/recipes/sources/link").symlink_to(outside)
    with pytest.raises(RecipeError, match="1 problem") as caught:
        gather(project, ["demo"])
    assert "recipes/sources/link/inner is a link" in caught.value.details[0]


def test_a_recipe_that_is_a_folder_is_told(tmp_path: Path) -> None:
    project = project_at(tmp_path)
    (tmp_path / "recipes/demo.yaml").unlink()
    (tmp_path / "recipes/demo.yaml").mkdir()
    with pytest.raises(RecipeError) as caught:
        gather(project, ["demo"])
    assert "cannot be read" in caught.value.details[0]


def test_a_recipe_for_no_python_is_told(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, with_setting("python: []"))
    assert "python: should have at least 1 entry, has 0" in problem


def test_an_empty_recipe_is_told(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, {"recipes/demo.yaml": ""})
    assert "empty" in problem


def test_the_users_own_lock_wins_over_a_shipped_one(tmp_path: Path) -> None:
    lock = Lock(inputs=SHA, pins=())
    name = "recipes/locks/llama-cpp-python/0.2.44/cpu-py3.13.txt"
    found = load(tmp_path, {name: format_lock(lock)}, "llama-cpp-python")
    assert found.locks["llama-cpp-python", "0.2.44", "cpu-py3.13"] == lock
    assert found.locks["llama-cpp-python", "0.3.36", "cpu-py3.13"].pins


def test_a_lock_of_other_bytes_than_text_is_told(tmp_path: Path) -> None:
    project = project_at(tmp_path)
    path = tmp_path / "recipes/locks/demo/1.0.0/cpu-py3.13.txt"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError) as caught:
        gather(project, ["demo"])
    assert "cannot be read" in caught.value.details[0]


def test_the_users_own_recipe_wins_over_a_shipped_one(tmp_path: Path) -> None:
    own = DEMO.replace("package: demo", "package: vllm")
    found = load(tmp_path, {"recipes/vllm.yaml": own}, "vllm")
    assert list(found.recipes["vllm"].recipe.versions) == ["1.0.0"]
    assert found.recipes["vllm"].place("variants", "cpu", "nothing").line == 6
