"""The identity: everything that can change the result is in it, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.load.locks import format_lock, inputs_digest
from farm.load.project import find_project, shipped_root
from farm.model.unit import Lock, Pin, RootfsBase
from farm.render import context
from farm.render.context import Entry, Wheel, context_entries, requirements_text
from farm.render.dockerfile import log_id, render
from farm.render.manifest import BaseReference, Manifest
from farm.run.settle import identify
from tests.support.projects import PATCH, SHA, planned, project_at, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.unit import Unit

TEMPLATES = (shipped_root() / "dockerfiles",)
RECIPE = """\
package: demo
versions:
  1.0.0:
    source: {tree: demo}
    sources:
      sub: {source: {git: https://x.org/sub, commit: 0123456789012345678901234567890123456789}}
      arc: {source: {archive: https://example.org/a.tgz, sha256: %s}}
      whl: {source: {wheel: https://example.org/a-1-py3-none-any.whl, sha256: %s}}
variants:
  cpu:
    toolchain: plain
    env: {A: "1", B: "2"}
    cmake_args: [-DX=1]
    system_packages: [cmake]
    patches: [a.patch]
    edits: [{file: setup.py, replace: old, by: new}]
    jobs: {memory_per_job: 1 GiB, reason: measured}
    unlocked: because
""" % (SHA, SHA)  # noqa: UP031 - braces
FILES = {"recipes/demo.yaml": RECIPE, "patches/demo/1.0.0/a.patch": PATCH}
NEEDED = Wheel(filename="torch-2-py3-none-any.whl", sha256=SHA, path=shipped_root())
BASE = "farm-base:trixie-0123456789ab"


def unit_at(root: Path, files: dict[str, str] | None = None) -> Unit:
    return planned(project_at(root, FILES | (files or {}))).units[0]


def identity_of(unit: Unit, base: str = BASE, needed: tuple[Wheel, ...] = (NEEDED,)) -> str:
    reference = BaseReference(image=base, digest=f"sha256:{base}")
    return identify(unit, base=reference, needed=needed, templates=TEMPLATES).identity


def test_the_log_in_the_engine_is_each_builds_own(tmp_path: Path) -> None:
    """Also where only the context differs, so that no build can plant something for another."""
    files = context_entries(unit_at(tmp_path), ())
    other = (replace(files[0], digest=f"sha256:{'0' * 64}"), *files[1:])
    found = set()
    for base, context_ in ((BASE, files), (BASE, other), (f"{BASE}0", files), (BASE, files)):
        text = render(unit_at(tmp_path), base=base, context=context_, templates=TEMPLATES)
        (step,) = (line for line in text.splitlines() if "target=/farm/log" in line)
        assert f"--mount=type=cache,id={log_id(text)},target=/farm/log" in step
        found.add(log_id(text))
    assert len(found) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('A: "1"', 'A: "2"'),
        ('A: "1", ', ""),
        ('B: "2"', 'B: "2", C: ""'),
        ("-DX=1", "-DX=2"),
        ("by: new", "by: newer"),
        ("replace: old", "replace: older"),
        ("by: new", "by: new, count: 2"),
        ("file: setup.py", "file: setup.cfg"),
        ("by: new", "by: new, to: sub"),
        ("[a.patch]", "[]"),
        ("[a.patch]", "[{file: a.patch, to: sub}]"),
        ("commit: 0123", "commit: 1123"),
        ("890123456789}", "890123456789, submodules: true}"),
        ("890123456789}", "890123456789, submodules: [dep]}"),
        (f"a.tgz, sha256: {SHA}", f"a.tgz, sha256: {'0' * 64}"),
        (f"any.whl, sha256: {SHA}", f"any.whl, sha256: {'0' * 64}"),
        ("      sub:", "      sup:"),
        ("toolchain: plain", "toolchain: other"),
        ("1.0.0:", "1.0.0.post1:"),
        ("  cpu:\n", "  cpv:\n"),
        ("https://x.org/sub", "https://mirror.x.org/sub"),  # it stands in the wheel's SBOM
    ],
)
def test_a_change_of_the_recipe_that_reaches_the_build_is_another_identity(
    tmp_path: Path, old: str, new: str
) -> None:
    assert old in RECIPE
    other = {
        "recipes/demo.yaml": RECIPE.replace(old, new),
        "patches/demo/1.0.0.post1/a.patch": PATCH,
        "recipes/toolchains/other.yaml": (
            "toolchain: other\naccelerator: cpu\nbase: floor\n"
            'host_compiler: {family: gcc, version: "15"}\n'
        ),
    }
    before, after = unit_at(tmp_path / "a"), unit_at(tmp_path / "b", other)
    assert identity_of(before) != identity_of(after)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('A: "1", B: "2"', 'B: "2", A: "1"'),
        ("memory_per_job: 1 GiB", "memory_per_job: 9 GiB"),
        ("reason: measured", "reason: guessed"),
        ("unlocked: because", "unlocked: of this"),
        ("unlocked: because", "unlocked: because\n    runner: [large]"),
        ("[cmake]", "[{value: cmake, reason: needed}]"),
        ("    toolchain: plain\n", "    toolchain: plain\n    summary: text\n"),
        ("package: demo\n", "package: demo\nsummary: text\nhomepage: https://example.org\n"),
    ],
)
def test_a_change_that_cannot_reach_the_build_is_none(tmp_path: Path, old: str, new: str) -> None:
    assert old in RECIPE
    other = {"recipes/demo.yaml": RECIPE.replace(old, new)}
    before, after = unit_at(tmp_path / "a"), unit_at(tmp_path / "b", other)
    assert identity_of(before) == identity_of(after)


def test_the_packages_of_a_base_count_by_the_content_that_its_tag_names(tmp_path: Path) -> None:
    other = {"recipes/demo.yaml": RECIPE.replace("[cmake]", "[cmake, ninja-build]")}
    bases = [unit_at(tmp_path / "a").base, unit_at(tmp_path / "b", other).base]
    assert all(isinstance(base, RootfsBase) for base in bases)
    assert len({base.key for base in bases if isinstance(base, RootfsBase)}) == 2


def test_the_order_of_keys_in_a_file_is_no_change(tmp_path: Path) -> None:
    lines = RECIPE.splitlines(keepends=True)
    first = next(n for n, line in enumerate(lines) if "sub:" in line)
    swapped = [*lines[:first], *reversed(lines[first : first + 3]), *lines[first + 3 :]]
    assert swapped != lines
    other = unit_at(tmp_path / "b", {"recipes/demo.yaml": "".join(swapped)})
    assert identity_of(unit_at(tmp_path / "a")) == identity_of(other)


def test_the_text_of_a_patch_counts_even_where_its_name_stays(tmp_path: Path) -> None:
    other = {"patches/demo/1.0.0/a.patch": PATCH.replace("+b", "+c")}
    assert identity_of(unit_at(tmp_path / "a")) != identity_of(unit_at(tmp_path / "b", other))


@pytest.mark.parametrize("change", ["content", "name", "executable", "new"])
def test_the_source_folder_counts_with_names_bits_and_contents(
    tmp_path: Path, change: str
) -> None:
    before = identity_of(unit_at(tmp_path))
    path = tmp_path / "recipes/sources/demo/pyproject.toml"
    if change == "content":
        path.write_text("[build-system]\nrequires = ['x']\n")
    elif change == "name":
        path.rename(path.with_name("setup.cfg"))
    elif change == "executable":
        path.chmod(0o755)
    else:
        path.with_name("new").write_text("")
    assert identity_of(planned(find_project(root=tmp_path)).units[0]) != before


def test_times_and_pythons_caches_of_a_source_folder_are_no_change(tmp_path: Path) -> None:
    before = identity_of(unit_at(tmp_path))
    os.utime(tmp_path / "recipes/sources/demo/pyproject.toml", (1, 1))
    write_files(tmp_path, {"recipes/sources/demo/__pycache__/x.pyc": "x"})
    assert identity_of(unit_at(tmp_path)) == before


def test_base_needed_wheels_and_locked_pins_count(tmp_path: Path) -> None:
    unit = unit_at(tmp_path)
    pin = Pin(name="wheel", version="1", filename="wheel-1-py3-none-any.whl", sha256=SHA)
    locked = replace(unit, lock=Lock(inputs=SHA, pins=(pin,)))
    repinned = replace(unit, lock=Lock(inputs=SHA, pins=(replace(pin, sha256="0" * 64),)))
    found = [
        identity_of(unit),
        identity_of(unit, base="farm-base:trixie-ba9876543210"),
        identity_of(unit, needed=()),
        identity_of(unit, needed=(replace(NEEDED, sha256="0" * 64),)),
        identity_of(unit, needed=(replace(NEEDED, filename="torch-3-py3-none-any.whl"),)),
        identity_of(locked),
        identity_of(repinned),
        identity_of(replace(unit, python="3.14")),
        identity_of(replace(unit, toolchain="plain2")),
    ]
    assert len(set(found)) == len(found)
    assert identity_of(unit, needed=(replace(NEEDED, path=tmp_path),)) == found[0]


def test_what_a_lock_was_made_from_is_not_what_is_in_it(tmp_path: Path) -> None:
    unit = unit_at(tmp_path)
    pin = Pin(name="wheel", version="1", filename="wheel-1-py3-none-any.whl", sha256=SHA)
    locks = [Lock(inputs=digest, pins=(pin,)) for digest in (SHA, inputs_digest(unit.lock_inputs))]
    assert format_lock(locks[0]) != format_lock(locks[1])
    assert len({identity_of(replace(unit, lock=lock)) for lock in locks}) == 1


INSIDE = ["collect.py", "step.py", "gate.c", "unpack.py", "patch.py", "edit.py"]


@pytest.mark.parametrize("name", INSIDE)
def test_the_programs_that_run_inside_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    unit = unit_at(tmp_path / "project")
    before = identity_of(unit)
    programs = {p.name: p.read_text() for p in context.INSIDE_FOLDER.glob("*.*")}
    write_files(tmp_path / "inside", programs)
    monkeypatch.setattr(context, "INSIDE_FOLDER", tmp_path / "inside")
    assert identity_of(unit) == before
    write_files(tmp_path / "inside", {name: programs[name] + "#"})
    assert identity_of(unit) != before


def test_a_program_that_a_unit_does_not_call_is_not_in_its_context(tmp_path: Path) -> None:
    unit = unit_at(tmp_path)
    targets = {e.target for e in context_entries(replace(unit, patches=(), edits=()), ())}
    assert {t for t in targets if t.startswith("inside/")} == {
        "inside/cache.py",
        "inside/collect.py",
        "inside/compilers.py",
        "inside/embed.py",
        "inside/gate.c",
        "inside/gate.py",
        "inside/parts.py",
        "inside/pinned.json",
        "inside/pool.py",
        "inside/sbom.py",
        "inside/step.py",
        "inside/unpack.py",
    }


ENTRIES = st.lists(
    st.builds(
        Entry,
        target=st.text(min_size=1, max_size=5),
        digest=st.text(max_size=5),
        origin=st.just("store"),
    ),
    max_size=3,
).map(tuple)


@given(st.text(max_size=10), ENTRIES, st.text(max_size=10), ENTRIES)
def test_two_builds_share_an_identity_only_if_text_and_manifest_are_the_same(
    text: str, entries: tuple[Entry, ...], other_text: str, other_entries: tuple[Entry, ...]
) -> None:
    same = text == other_text and [(e.target, e.digest) for e in entries] == [
        (e.target, e.digest) for e in other_entries
    ]
    first, other = made_of(text, entries), made_of(other_text, other_entries)
    assert (first.identity == other.identity) == same
    assert made_of(text, entries).text == first.text


def made_of(text: str, entries: tuple[Entry, ...]) -> Manifest:
    base = BaseReference(image="b", digest="d")
    return Manifest(unit="u", base=base, dockerfile=text, context=entries)


def test_the_manifest_is_a_file_whose_digest_is_the_identity(tmp_path: Path) -> None:
    unit = unit_at(tmp_path)
    reference = BaseReference(image=BASE, digest="sha256:x")
    found = identify(unit, base=reference, needed=(NEEDED,), templates=TEMPLATES)
    text = found.manifest.text
    assert found.identity == hashlib.sha256(text.encode()).hexdigest()
    told = json.loads(text)
    assert told["unit"] == unit.label
    assert told["base"] == {"image": BASE, "digest": "sha256:x"}
    assert told["dockerfile"].startswith("# demo 1.0.0")
    listed = {each["path"]: each["digest"] for each in told["context"]}
    assert listed[f"wheels/{NEEDED.filename}"] == f"sha256:{SHA}"
    assert "inside/step.py" in listed
    assert {each["mode"] for each in told["context"]} == {"0444"}


def test_requirements_are_one_wheel_a_line_each_with_its_hash(tmp_path: Path) -> None:
    unit = unit_at(tmp_path)
    pin = Pin(name="wheel", version="1", filename="wheel-1-py3-none-any.whl", sha256=SHA)
    text = requirements_text(replace(unit, lock=Lock(inputs=SHA, pins=(pin,))), (NEEDED,))
    assert text.splitlines() == [
        f"/farm/wheels/a-1-py3-none-any.whl --hash=sha256:{SHA}",
        f"/farm/wheels/torch-2-py3-none-any.whl --hash=sha256:{SHA}",
        f"wheel==1 --hash=sha256:{SHA}",
    ]
