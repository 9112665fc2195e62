"""What is wrong with the shape of files and with what they mean is told together."""

from __future__ import annotations

import json
import random
from copy import deepcopy
from typing import TYPE_CHECKING, Any

import pytest

from farm.errors import ProblemsError, RecipeError, UsageError
from tests.support.documents import parse
from tests.support.projects import DEMO, TOOLCHAINS, planned, project_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

GPU = """\
package: demo
versions:
  1.0.0:
    source: {tree: demo}
variants:
  gpu:
    toolchain: gpu
    archs: [gfx943]
"""
UNKNOWN_ARCH = (
    "recipes/demo.yaml:8:13: variants.gpu.archs[0]: unknown architecture 'gfx943'; "
    "perhaps you meant 'gfx942'"
)


def told(root: Path, recipe: str, files: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        planned(project_at(root, {"recipes/demo.yaml": recipe} | (files or {})), "demo")
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("line", "shape"),
    [
        ("summry: x", "unknown key 'summry'; perhaps you meant 'summary'"),
        ("colour: x", "unknown key 'colour'"),
        ("jobs: {memory_per_job: 5GB}", "jobs.memory_per_job: '5GB' is not a size"),
        ("summary: a\nsummary: b", "duplicate key 'summary', first at recipes/demo.yaml:9:1"),
        ("summary: !!str 3", "summary: the tag '!!str' is not accepted"),
        ("<<: {summary: x}", "merge keys ('<<') are not accepted"),
        ("[a]: x", "a key must be text, and this is a list"),
        ("jobs: {}", "jobs: required key 'memory_per_job' is missing"),
        ("env: {A B: x}", "env.'A B': 'A B' is not an environment variable's name"),
        ("env: {MAX_JOBS: x}", "env.MAX_JOBS: MAX_JOBS is farm's own to set"),
        ("env: [x]", "env: should be a mapping, is a list"),
        ("cmake_args: ['x']", "cmake_args[0]: 'x' is not one CMake argument"),
        ("patches: [../x]", "patches[0]: '../x' is not a plain file name"),
        ("patches: [0001-x.patch]", "there is no patches/demo/1.0.0/0001-x.patch"),
        ("needs: [{package: dmeo, version: '1', variant: cpu}]", "unknown recipe 'dmeo'"),
        ("sources: {x: {source: {tree: nix}}}", "there is no folder recipes/sources/nix"),
    ],
)
def test_an_unknown_architecture_is_told_beside_it(tmp_path: Path, line: str, shape: str) -> None:
    first, second = told(tmp_path, GPU + line + "\n")
    assert first == UNKNOWN_ARCH
    assert second.startswith(("recipes/demo.yaml:9:", "recipes/demo.yaml:10:"))
    assert shape in second


def test_a_misspelled_key_is_taken_for_the_one_that_was_meant(tmp_path: Path) -> None:
    """Its value is judged, at its place; nothing is said of a key that would be missing."""
    recipe = GPU.replace("    archs:", "    arches:").replace("variants:", "varants:")
    slips = [
        "recipes/demo.yaml:5:1: unknown key 'varants'; perhaps you meant 'variants'",
        "recipes/demo.yaml:8:5: variants.gpu: unknown key 'arches'; perhaps you meant 'archs'",
    ]
    assert told(tmp_path, recipe.replace("arches", "archs")) == [slips[0], UNKNOWN_ARCH]
    assert told(tmp_path, recipe.replace("varants", "variants")) == [
        slips[1],
        UNKNOWN_ARCH.replace(":8:13", ":8:14"),
    ]


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        (GPU.replace("archs: [gfx943]", "processors: [gfx942]"), "unknown key 'processors'"),
        (GPU.replace("gfx943", "gfx942").replace("package: demo", "package: dmeo"),
         "'dmeo' stands in a file that is called demo.yaml"),
        (GPU.replace("gfx943", "gfx942") + "pythons_to_build_for: ['3.13']\n", "unknown key"),
        (GPU.replace("archs: [gfx943]", "<<: {archs: [gfx942]}"), "merge keys"),
        (GPU.replace("    toolchain: gpu\n    archs: [gfx943]", "    <<: {toolchain: gpu}"),
         "merge keys"),
        (GPU.replace("archs: [gfx943]", "arch: 3"), "unknown key 'arch'; perhaps you meant"),
        (GPU.replace("gfx943", "gfx942")
         + "third_party: {x: {source: {tree: demo}}}\nenv: {X: '${sources.x}'}\n"
         + "edits: [{to: x, file: a, replace: b, by: c}]\n", "unknown key 'third_party'"),
        (GPU.replace("gfx943]", "gfx942]\n    device: rocm")
         + "target: {variable: X, values: [rocm]}\n", "unknown key 'device'"),
    ],
)  # fmt: skip
def test_nothing_is_told_that_only_follows(tmp_path: Path, recipe: str, problem: str) -> None:
    (only,) = told(tmp_path, recipe)
    assert problem in only


def test_what_models_say_of_the_whole_is_told_beside_unknown_keys(tmp_path: Path) -> None:
    recipe = GPU + "colour: x\n"
    recipe = recipe.replace("    archs: [gfx943]", "    archs: [gfx942]\n    default_version: '2'")
    assert [each.partition("; known")[0] for each in told(tmp_path, recipe)] == [
        "recipes/demo.yaml:9:22: variants.gpu.default_version: is '2', but the versions are 1.0.0",
        "recipes/demo.yaml:10:1: unknown key 'colour'",
    ]


def test_problems_of_several_files_come_in_the_order_of_their_places(tmp_path: Path) -> None:
    files = {
        "recipes/toolchains/gpu.yaml": TOOLCHAINS["recipes/toolchains/gpu.yaml"] + "colour: x\n",
        "recipes/low.yaml": DEMO.replace("package: demo", "package: low") + "colour: x\n",
    }
    need = "needs: [{package: low, version: 1.0.0, variant: nix}]\ncolour: x\n"
    found = told(tmp_path, GPU + need, files)
    assert [each.split(": ")[0] for each in found] == [
        "recipes/demo.yaml:8:13",
        "recipes/demo.yaml:9:9",
        "recipes/demo.yaml:10:1",
        "recipes/low.yaml:7:1",
        "recipes/toolchains/gpu.yaml:7:1",
    ]


@pytest.mark.parametrize("name", ["recipes/toolchains/gpu.yaml", "recipes/bases/floor.yaml"])
def test_a_recipe_is_read_though_its_toolchain_or_base_cannot_be(
    tmp_path: Path, name: str
) -> None:
    found = told(tmp_path, GPU + "colour: x\n", {name: "- nothing\n"})
    assert [each.split(":")[0] for each in found] == sorted([name, "recipes/demo.yaml"])


def test_a_selector_that_names_what_cannot_be_read_is_no_usage_error(tmp_path: Path) -> None:
    project = project_at(tmp_path, {"recipes/demo.yaml": GPU + "colour: x\n"})
    with pytest.raises(RecipeError, match="1 problem"):
        planned(project, "demo:cpu")


def _paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Every part of a document but the whole."""
    inner: Iterable[tuple[Any, object]] = ()
    if isinstance(value, dict):
        inner = value.items()
    if isinstance(value, list):
        inner = enumerate(value)
    for part, each in inner:
        yield (*path, part)
        yield from _paths(each, (*path, part))


WRONG: tuple[object, ...] = (
    3, None, "x", [], {}, ["x"], {"x": 1}, "3.14", True, "gfx943", "../x", "${nix}",
    {"tree": "nix"}, [{"package": "low", "version": "1.0.0", "variant": "cpu"}],
)  # fmt: skip


def _damage(document: Any, chance: random.Random) -> None:
    """Take a part out, call it otherwise, or put something else in its place."""
    for _ in range(chance.randint(1, 3)):
        paths = list(_paths(document))
        if not paths:
            return
        *above, last = chance.choice(paths)
        holder = document
        for part in above:
            holder = holder[part]
        how = chance.choice(["take", "rename", "replace"])
        if how == "rename" and isinstance(holder, dict):
            holder[chance.choice(["colour", f"{last}x"])] = holder.pop(last)
        elif how == "take" and last in (
            holder if isinstance(holder, dict) else range(len(holder))
        ):
            del holder[last]
        else:
            holder[last] = deepcopy(chance.choice(WRONG))


@pytest.mark.parametrize("seed", range(4))
def test_whatever_is_wrong_is_told_each_once_and_nothing_breaks(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 - the same at every run
    low = DEMO.replace("package: demo", "package: low")
    need = "needs: [{package: low, version: 1.0.0, variant: cpu}]\n"
    sources = "sources: {x: {source: {tree: demo}}}\nenv: {X: '${sources.x}', Y: '${archs}'}\n"
    recipe = GPU.replace("gfx943", "gfx942") + need + sources
    files = {**TOOLCHAINS, "recipes/low.yaml": low, "recipes/demo.yaml": recipe}
    for number in range(40):
        project = project_at(tmp_path / str(number), files)
        for name in chance.sample(sorted(files), chance.randint(1, 3)):
            document = parse(files[name], name).value
            _damage(document, chance)
            text = json.dumps(document)  # which is YAML too
            (project.root / name).write_text(text, encoding="utf-8")
        try:
            planned(project, "demo", "low")
        except ProblemsError as error:
            told_of = [str(problem) for problem in error.problems]
            assert told_of
            assert len(set(told_of)) == len(told_of)
        except UsageError:
            pass
