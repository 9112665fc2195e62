"""From a recipe and a variant's name to a unit, with every problem at once."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode, RecipeError
from farm.load.locks import format_lock, inputs_digest
from farm.model.unit import ImageBase, Lock, Pin, RootfsBase
from farm.plan.resolve import lock_problem
from tests.support.projects import (
    DEMO,
    PATCH,
    SHA,
    TOOLCHAINS,
    demo_unit,
    explained,
    planned,
    project_at,
)

if TYPE_CHECKING:
    from pathlib import Path

    from farm.plan.plan import Choice

GPU = """\
package: demo
python: ["3.13", "3.12"]
features:
  extra: {summary: more, on: {env: {EXTRA: "1"}}}
  usual: {summary: usual, default: true, off: {env: {USUAL: "0"}}}
versions:
  1.0.0:
    source: {tree: demo}
variants:
  gpu: {toolchain: gpu, archs: [gfx942, gfx1150]}
  cpu: {toolchain: plain}
"""


def problems(root: Path, recipe: str, *selectors: str, choice: Choice | None = None) -> list[str]:
    project = project_at(root, {"recipes/demo.yaml": recipe})
    with pytest.raises(RecipeError) as caught:
        planned(project, *(selectors or ("demo",)), choice=choice)
    assert caught.value.code is ExitCode.RECIPE
    return [str(problem) for problem in caught.value.problems]


def with_variant(settings: str, *, more: str = "") -> str:
    return DEMO.replace("{toolchain: plain}", f"{{toolchain: plain, {settings}}}") + more


@pytest.mark.parametrize(
    ("selector", "label", "archs"),
    [
        ("demo:gpu", "gpu", "gfx942;gfx1150"),
        ("demo:gpu-gfx1150-gfx942", "gpu", "gfx942;gfx1150"),
        ("demo:gpu-gfx942", "gpu-gfx942", "gfx942"),
        ("demo:gpu-gfx9-generic", "gpu-gfx9-generic", "gfx9-generic"),
        ("demo:gpu-gfx942-gfx9-generic", "gpu-gfx9-generic-gfx942", "gfx9-generic;gfx942"),
        ("demo:gpu-gfx9-generic-gfx942", "gpu-gfx9-generic-gfx942", "gfx9-generic;gfx942"),
        ("demo:gpu+usual", "gpu", "gfx942;gfx1150"),
        ("demo:gpu~extra-py313", "gpu", "gfx942;gfx1150"),
        ("demo:gpu~usual+extra", "gpu+extra~usual", "gfx942;gfx1150"),
    ],
)
def test_one_unit_has_one_label_and_one_content_however_it_is_asked_for(
    tmp_path: Path, selector: str, label: str, archs: str
) -> None:
    unit = demo_unit(tmp_path, GPU, selector=selector)
    assert unit.key.variant == label
    assert dict(unit.env)["GPU_ARCHS"] == archs
    assert demo_unit(tmp_path, GPU, selector=f"demo@1.0.0:{label}") == unit


def test_features_choose_their_side_and_stand_in_the_locks_name(tmp_path: Path) -> None:
    plain = demo_unit(tmp_path, GPU, selector="demo:cpu")
    other = demo_unit(tmp_path, GPU, selector="demo:cpu+extra~usual")
    assert (plain.features, plain.lock_stem) == (("usual",), "cpu+usual-py3.13")
    assert (other.features, other.lock_stem) == (("extra",), "cpu+extra-py3.13")
    assert {"EXTRA", "USUAL"} <= dict(other.env).keys()
    assert not {"EXTRA", "USUAL"} & dict(plain.env).keys()


def test_architectures_share_a_lock(tmp_path: Path) -> None:
    stems = {demo_unit(tmp_path, GPU, selector=f"demo:gpu{s}").lock_stem for s in ("", "-gfx942")}
    assert stems == {"gpu+usual-py3.13"}


@pytest.mark.parametrize(
    ("selector", "told"),
    [
        ("demo:gpu-gfx94", "variants.gpu.archs: unknown architecture 'gfx94'; perhaps"),
        ("demo:gpu-gfx942-gfx942", "variants.gpu.archs: 'gfx942' is asked for twice"),
        ("demo:cpu-gfx942", "unknown architecture 'gfx942'; known to plain: none"),
        ("demo:cpu-py312", "Python 3.12 is asked for, but base floor of toolchain plain has 3.13"),
        ("demo:cpu-py31", "Python 3.1 is asked for"),
    ],
)
def test_what_the_toolchain_has_not_is_refused(tmp_path: Path, selector: str, told: str) -> None:
    (problem,) = problems(tmp_path, GPU, selector)
    assert told in problem
    assert problem.startswith("recipes/demo.yaml:")


def test_a_python_that_the_recipe_does_not_list_is_refused(tmp_path: Path) -> None:
    recipe = DEMO.replace("versions:", 'python: ["3.12"]\nversions:')
    (problem,) = problems(tmp_path, recipe, "demo:cpu-py313")
    assert problem.endswith("python: Python 3.13 is not listed; it has 3.12")


def test_a_device_variant_without_architectures_is_refused(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, DEMO.replace("plain", "gpu"))
    assert "variants.cpu.archs: names no architecture, but gpu needs one" in problem


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ('env: {A: "${sources.x}"}', "5: variants.cpu.env.A: unknown placeholder ${sources.x}"),
        ("cmake_args: ['-DA=${arch}']", "variants.cpu.cmake_args[0]: unknown placeholder ${arch}"),
        ("edits: [{file: a, replace: b, by: c, to: nowhere}]",
         "variants.cpu.edits[0]: no staged source is called 'nowhere'"),
        ("env: {CMAKE_ARGS: -D1}, cmake_args: [-D2]", "env.CMAKE_ARGS: is set; use cmake_args"),
        ("toolkit_parts: [torch]", "unknown part 'torch' of the toolkit; plain has none"),
        ("sources: {demo: {source: {tree: demo}}}",
         "variants.cpu.sources.demo: a staged source cannot have the package's own name"),
        ("needs: [{package: demo, version: 9.9, variant: cpu}]",
         "variants.cpu.needs[0]: demo has no version '9.9'"),
        ("needs: [{package: demo, version: 1.0.0, variant: cpv}]",
         "variants.cpu.needs[0]: demo has no variant 'cpv'; perhaps you meant 'cpu'"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_be_resolved_is_told_with_its_place(
    tmp_path: Path, settings: str, told: str
) -> None:
    (problem,) = problems(tmp_path, with_variant(settings))
    assert told in problem or told.removeprefix("5: ") in problem
    assert problem.startswith("recipes/demo.yaml:")


def test_every_problem_of_every_variant_is_told_at_once(tmp_path: Path) -> None:
    recipe = DEMO + '  gpu: {toolchain: gpu, archs: [gfx1], env: {B: "${b}"}}\n'
    recipe = recipe.replace("{toolchain: plain}", '{toolchain: plain, env: {A: "${a}"}}')
    told = problems(tmp_path, recipe)
    assert [problem.split(": ")[1] for problem in told] == [
        "variants.cpu.env.A",
        "variants.gpu.archs[0]",
        "variants.gpu.env.B",
    ]


TARGET = """\
target: {variable: DEVICE, values: [cpu, cuda]}
"""


def test_the_target_device_is_set_and_may_be_repeated_in_env(tmp_path: Path) -> None:
    recipe = with_variant("target: cpu, env: {DEVICE: cpu}", more=TARGET)
    assert dict(demo_unit(tmp_path, recipe).env)["DEVICE"] == "cpu"


def test_an_env_that_contradicts_the_target_is_two_target_devices(tmp_path: Path) -> None:
    recipe = with_variant("target: cpu, env: {DEVICE: cuda}", more=TARGET)
    (problem,) = problems(tmp_path, recipe)
    assert "variants.cpu.target: DEVICE is 'cuda' in env and 'cpu' as target" in problem


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ("target: [cpu, cuda]", "target: should be a string, is a list"),
        ("target: tpu", "'tpu', which is not one of cpu, cuda"),
        ("summary: none", "must both have a target, or neither"),
    ],
)
def test_a_variant_has_exactly_one_of_the_targets(
    tmp_path: Path, settings: str, told: str
) -> None:
    (problem,) = problems(tmp_path, with_variant(settings, more=TARGET))
    assert told in problem


def test_patches_and_edits_reach_the_source_that_they_name(tmp_path: Path) -> None:
    settings = (
        "sources: {zeta: {source: {tree: demo}}, alpha: {source: {tree: demo}}}, "
        "patches: [a.patch, {file: b.patch, to: zeta}], "
        "edits: [{file: x, replace: y, by: z, to: alpha}, {file: x, replace: y, by: z}], "
        'env: {Z: "${sources.zeta}"}'
    )
    files = {
        "recipes/demo.yaml": with_variant(settings),
        "patches/demo/1.0.0/a.patch": PATCH,
        "patches/demo/1.0.0/b.patch": PATCH,
    }
    (unit,) = planned(project_at(tmp_path, files)).units
    assert [(patch.path.name, patch.source) for patch in unit.patches] == [
        ("a.patch", "demo"),
        ("b.patch", "zeta"),
    ]
    assert [edit.source for edit in unit.edits] == ["alpha", "demo"]
    assert [source.name for source in unit.sources] == ["alpha", "zeta"]
    assert dict(unit.env)["Z"] == "/build/sources/zeta"


def test_a_patch_of_an_unknown_source_is_refused(tmp_path: Path) -> None:
    files = {
        "recipes/demo.yaml": with_variant("patches: [{file: a.patch, to: zet}]"),
        "patches/demo/1.0.0/a.patch": PATCH,
    }
    with pytest.raises(RecipeError, match="1 problem") as caught:
        planned(project_at(tmp_path, files))
    assert "variants.cpu.patches[0]: no staged source is called 'zet'" in caught.value.details[0]


def test_a_wheel_is_no_source_that_can_be_patched(tmp_path: Path) -> None:
    wheel = (
        f"sources: {{w: {{source: {{wheel: 'https://x/w-1-py3-none-any.whl', sha256: {SHA}}}}}}}"
    )
    (problem,) = problems(
        tmp_path, with_variant(wheel + ", edits: [{file: a, replace: b, by: c, to: w}]")
    )
    assert "no staged source is called 'w'" in problem


def test_the_base_has_each_package_once_and_in_order(tmp_path: Path) -> None:
    unit = demo_unit(tmp_path, with_variant("system_packages: [zlib1g-dev, python3, cmake]"))
    assert unit.base == RootfsBase(
        name="floor",
        suite="trixie",
        packages=("cmake", "g++-14", "gcc-14", "python3", "python3-venv", "zlib1g-dev"),
    )
    image = demo_unit(tmp_path, DEMO.replace("plain", "fromimage")).base
    assert isinstance(image, ImageBase)
    assert image.packages == ("g++-14", "gcc-14", "python3")


def test_the_base_leaves_out_what_recipe_and_toolchain_say(tmp_path: Path) -> None:
    toolchain = TOOLCHAINS["recipes/toolchains/plain.yaml"] + (
        "components: [non-free, contrib]\nexclude_paths: [/usr/share/b/*]\n"
    )
    files = {
        "recipes/demo.yaml": with_variant("exclude_paths: [/usr/share/a/*, /usr/share/b/*]"),
        "recipes/toolchains/plain.yaml": toolchain,
    }
    (unit,) = planned(project_at(tmp_path, files)).units
    assert isinstance(unit.base, RootfsBase)
    assert unit.base.components == ("contrib", "non-free")
    assert unit.base.exclude_paths == ("/usr/share/a/*", "/usr/share/b/*")


def test_an_image_has_its_own_archive(tmp_path: Path) -> None:
    toolchain = TOOLCHAINS["recipes/toolchains/fromimage.yaml"] + "components: [non-free]\n"
    recipe = DEMO.replace("plain", "fromimage")
    files = {"recipes/demo.yaml": recipe, "recipes/toolchains/fromimage.yaml": toolchain}
    with pytest.raises(RecipeError) as caught:
        planned(project_at(tmp_path, files))
    assert "is an image, whose archive is its own" in caught.value.details[0]


def test_texts_that_must_not_be_printed_are_joined(tmp_path: Path) -> None:
    recipe = with_variant("forbid_output: [HIP not found]") + "forbid_output: [cuBLAS not found]\n"
    assert demo_unit(tmp_path, recipe).forbid_output == ("cuBLAS not found", "HIP not found")


@pytest.mark.parametrize("text", ["short", "it's not found", "$(id) not found", "a\\b not found"])
def test_a_forbidden_text_means_nothing_to_a_shell(tmp_path: Path, text: str) -> None:
    with pytest.raises(RecipeError):
        demo_unit(tmp_path, with_variant(f"forbid_output: [{json.dumps(text)}]"))


def test_a_lock_counts_only_for_the_inputs_that_it_was_made_from(tmp_path: Path) -> None:
    unit = demo_unit(tmp_path)
    assert lock_problem(unit) == "its build requirements are not locked"
    pin = Pin(name="wheel", version="1", filename="wheel-1-py3-none-any.whl", sha256=SHA)
    lock = Lock(inputs=inputs_digest(unit.lock_inputs), pins=(pin,))
    path = tmp_path / f"recipes/locks/demo/1.0.0/{unit.lock_stem}.txt"
    path.parent.mkdir(parents=True)
    path.write_text(format_lock(lock))
    locked = demo_unit(tmp_path)
    assert (locked.lock, lock_problem(locked)) == (lock, "")
    changed = demo_unit(tmp_path, with_variant("requires: [ninja]"))
    assert "from other inputs than the recipe now says" in lock_problem(changed)


def test_a_reason_why_there_is_no_lock_is_what_is_said(tmp_path: Path) -> None:
    unit = demo_unit(tmp_path, with_variant("unlocked: torch has an index of its own"))
    assert lock_problem(unit) == "torch has an index of its own"


def test_every_reason_is_kept_with_the_name_of_its_setting(tmp_path: Path) -> None:
    recipe = with_variant(
        "env: {A: {value: b, reason: because, verified: today}}, unlocked: no index, "
        "jobs: {memory_per_job: 1 GiB, reason: measured}"
    )
    told = explained(tmp_path, demo_unit(tmp_path, recipe)).reasons
    reasons = {r.setting: (r.value, r.reason, r.verified) for r in told}
    assert reasons["variants.cpu.env.A"] == ("b", "because", "today")
    assert reasons["variants.cpu.jobs.memory_per_job"] == ("1 GiB", "measured", "")
    assert reasons["variants.cpu.unlocked"] == ("yes", "no index", "")
