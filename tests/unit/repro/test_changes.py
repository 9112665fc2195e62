"""What differs between two states of a unit, and states between them."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import chain, combinations
from typing import TYPE_CHECKING

from farm.model.unit import Lock, Pin, SmokeTest, Unit
from farm.plan.resolve import lock_problem
from farm.render.manifest import BaseReference
from farm.repro.changes import changes, hybrid
from farm.run.settle import identify, template_folders
from tests.support.projects import planned, project_at

if TYPE_CHECKING:
    from pathlib import Path

RECIPE = """\
package: demo
versions:
  1.0.0: {source: {tree: demo}}
  1.1.0: {source: {tree: newer}}
env: {SAME: {value: x, reason: r}}
variants:
  old:
    toolchain: plain
    env: {CHANGED: {value: a, reason: r}, GONE: {value: b, reason: r}}
    edits:
      - {file: setup.py, replace: a, by: b, count: 1, reason: r}
      - {file: setup.py, replace: c, by: d, count: 1, reason: r}
  new:
    toolchain: plain
    env: {CHANGED: {value: c, reason: r}, ADDED: {value: d, reason: r}}
    edits:
      - {file: setup.py, replace: a, by: b, count: 1, reason: r}
      - {file: setup.py, replace: c, by: e, count: 1, reason: r}
"""
UNDECIDING = {
    "base_variant", "lock_inputs", "lock_stem", "unlocked", "jobs", "lockstep", "untried",
    "runner",
}  # fmt: skip
"""Fields of a unit that change nothing in a build or its trial, or follow from others."""


def pin(name: str, version: str) -> Pin:
    return Pin(
        name=name, version=version, filename=f"{name}-{version}-py3-none-any.whl", sha256="0" * 64
    )


def states(root: Path) -> tuple[Unit, Unit]:
    """Two states that differ in a little of everything."""
    project = project_at(
        root,
        {
            "recipes/demo.yaml": RECIPE,
            "recipes/sources/newer/pyproject.toml": "[build-system]\nrequires = ['x']\n",
        },
    )
    (old,) = planned(project, "demo@1.0.0:old").units
    (new,) = planned(project, "demo@1.1.0:new").units
    pins = {
        "old": (pin("torch", "1"), pin("triton", "1"), pin("numpy", "1")),
        "new": (pin("numpy", "1"), pin("torch", "2"), pin("added", "1")),
    }
    return tuple(  # type: ignore[return-value]  # two of them
        replace(unit, lock=Lock(inputs="", pins=pins[unit.key.variant])) for unit in (old, new)
    )


def identity_of(root: Path, unit: Unit) -> str:
    base = BaseReference(image="base", digest="0")
    templates = template_folders(project_at(root, {}))
    return identify(unit, base=base, needed=(), templates=templates).identity


def test_each_difference_is_a_change_with_both_sides(tmp_path: Path) -> None:
    told = {change.name: (change.was, change.becomes) for change in changes(*states(tmp_path))}
    version = told.pop("version and source")
    assert version[0].startswith("1.0.0, ")
    assert version[1].startswith("1.1.0, ")
    assert told == {
        "edit of demo/setup.py (2)": told["edit of demo/setup.py (2)"],
        "environment CHANGED": ("CHANGED, a", "CHANGED, c"),
        "environment GONE": ("GONE, b", ""),
        "environment ADDED": ("", "ADDED, d"),
        "build requirement torch": ("1", "2"),
        "build requirement triton": ("1", ""),
        "build requirement added": ("", "1"),
    }


def test_with_no_change_it_is_the_good_one_and_with_all_it_builds_as_the_bad_one(
    tmp_path: Path,
) -> None:
    good, bad = states(tmp_path)
    every = frozenset(change.name for change in changes(good, bad))
    named_as_good = replace(bad, key=replace(bad.key, variant=good.key.variant))
    assert hybrid(good, bad, frozenset()) == good
    assert identity_of(tmp_path, hybrid(good, bad, every)) == identity_of(tmp_path, named_as_good)


def test_states_between_differ_from_each_other_and_each_has_just_its_changes(
    tmp_path: Path,
) -> None:
    good, bad = states(tmp_path)
    names = [change.name for change in changes(good, bad)]
    some = list(chain.from_iterable(combinations(names, n) for n in (0, 1, 2, len(names) - 1)))
    made = [hybrid(good, bad, frozenset(chosen)) for chosen in some]
    assert len({identity_of(tmp_path, unit) for unit in made}) == len(some)
    for chosen, unit in zip(some, made, strict=True):
        left = {change.name for change in changes(unit, bad)}
        assert left == set(names) - set(chosen)


def test_a_lock_goes_on_to_fit_what_it_was_made_from(tmp_path: Path) -> None:
    """A state between two locked ones is locked, whatever it takes from either."""
    good, bad = states(tmp_path)
    good = replace(good, lock_inputs=replace(good.lock_inputs, glibc="2.36"), toolchain="other")
    mixed = hybrid(good, bad, frozenset({"toolchain and base"}))
    assert mixed.lock_inputs.glibc == bad.lock_inputs.glibc
    assert "other inputs" not in lock_problem(mixed)


def test_every_field_that_decides_is_compared(tmp_path: Path) -> None:
    """A field that is added to units is either compared, or named here as deciding nothing."""
    good, _ = states(tmp_path)
    for field in fields(Unit):
        if field.name in UNDECIDING:
            continue
        assert changes(good, _with_other(good, field.name)), field.name


def _with_other(unit: Unit, field: str) -> Unit:
    """The unit with another value in a field."""
    value = getattr(unit, field)
    other: object
    match value:
        case str():
            other = f"{value}x"
        case tuple():
            other = (*value, value[0]) if value else (_SAMPLES[field],)
        case None if field == "smoke_test":
            other = _smoke_test(unit)
        case None:
            other = _SAMPLES[field]
        case _:
            other = replace(value, **{_INNER[field]: _INNER_VALUE[field]})
    return replace(unit, **{field: other})  # type: ignore[arg-type]  # made to fit above


def _smoke_test(unit: Unit) -> SmokeTest:
    return SmokeTest(
        base=unit.base,
        imports=("demo",),
        script="",
        gpu_script="",
        stubs=(),
        drivers=(),
        lock_inputs=unit.lock_inputs,
        lock=None,
        lock_stem="x",
    )


class _Named:
    """Something that has the names by which items are told apart."""

    name = source = file = package = label = "x"
    sha256 = "0" * 64
    digest = "x"

    @property
    def path(self) -> _Named:
        return self


_SAMPLES: dict[str, object] = {
    name: _Named() for name in ("sources", "patches", "crates", "needs")
}
_SAMPLES |= {
    "archs": "gfx942",
    "features": "x",
    "forbid_output": "x",
    "toolkit": _Named(),
}
_INNER = {"key": "version", "base": "suite", "source": "digest", "lock": "pins", "expected": "tag"}
_INNER_VALUE: dict[str, object] = {
    "key": "9", "base": "sid", "source": "sha256:0", "lock": (), "expected": "py3-none-any"
}  # fmt: skip
