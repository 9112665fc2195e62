"""Bundles of units that are planned but never built, made as a failed build makes them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from farm.load.locks import inputs_digest
from farm.model.unit import Lock, RootfsBase
from farm.plan.jobs import JobPlan
from farm.run.attempt import Work
from farm.run.bundling import keep_bundle
from farm.run.settle import identify, known_base, template_folders
from farm.source.inputs import inputs_of
from farm.store.blobs import Store
from farm.store.bundle import (
    NAME,
    Contents,
    Ended,
    unpack_bundle,
    write_bundle,
)
from tests.support import debian
from tests.support.fake_engine import FakeEngine
from tests.support.farming import quiet
from tests.support.projects import planned, project_at, write_files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from farm.model.unit import Unit
    from farm.store.bundle import Parts

RECIPE = """\
package: demo
versions:
  1.0.0:
    source: {tree: demo}
variants:
  cpu:
    toolchain: {toolchain}
    patches: [0001-a.patch]
    env: {WORDS: "any words; 'with' $signs"}
    smoke_test: {imports: [demo], script: "print('any words')"}
"""
FAILED = Ended(outcome="failed", exit_code=9, step="compile", message="x.c:1:1: error: no")


def demo(root: Path, toolchain: str = "plain") -> Unit:
    """A unit with a patch, on a base whose packages only have names."""
    recipe = RECIPE.replace("{toolchain}", toolchain)
    project = project_at(root, {"recipes/demo.yaml": recipe})
    patch = (
        "Why: w\nUpstream: u\nRemove-when: r\n\n--- a/pyproject.toml\n+++ b/pyproject.toml\n"
        "@@ -1,2 +1,2 @@\n [build-system]\n-requires = []\n+requires = [ ]\n"
    )
    write_files(root, {"patches/demo/1.0.0/0001-a.patch": patch})
    (unit,) = planned(project, "demo:cpu").units
    test = unit.smoke_test
    assert test
    lock = Lock(inputs=inputs_digest(test.lock_inputs), pins=())
    return replace(
        unit,
        base=_named(unit.base),
        lock=Lock(inputs=inputs_digest(unit.lock_inputs), pins=()),
        smoke_test=replace(test, base=_named(test.base), lock=lock),
    )


def _named(base: Any) -> Any:
    if not isinstance(base, RootfsBase):
        return base
    return replace(base, locked=debian.debs("libc6", "gcc-14"))


def bundle_at(root: Path, ended: Ended = FAILED, *, toolchain: str = "plain") -> Path:
    """The bundle of a build of `demo` that ended so."""
    unit, store = demo(root, toolchain), Store(root / "store")
    base = known_base(unit.base, root / "cache")
    assert base
    identified = identify(
        unit,
        base=base,
        needed=(),
        templates=template_folders(project_at(root, {})),
    )
    staged = {each.digest: store.path_of(each.present(store) or "") for each in inputs_of(unit)}
    (root / "run").mkdir()
    (root / "scratch").mkdir()
    work = Work(
        identified=identified,
        engine=FakeEngine(),
        folder=root / "run",
        scratch=root / "scratch",
        jobs=JobPlan(max_jobs=2, nvcc_threads=1, arithmetic=""),
        staged=staged,
    )
    log = "x.c:1:1: error: no\nfrom https://user:open-sesame@example.org/simple\n"
    (root / "run/compile.log").write_text(log, encoding="utf-8")
    keep_bundle(work, ended, root / "run", root / "cache", quiet)
    return root / "run" / NAME


def remade(bundle: Path, change: Callable[[Contents, Parts], Contents | None]) -> Path:
    """The bundle as somebody would make it who knows farm well, and changes something."""
    folder = bundle.with_name("unpacked")
    contents = unpack_bundle(bundle, folder)
    parts: Parts = {each.name: (folder / each.name).read_bytes() for each in contents.members}
    target = bundle.with_name("remade.tar")
    write_bundle(target, change(contents, parts) or contents, parts)
    return target


def with_unit(bundle: Path, change: Callable[[Any], object]) -> Path:
    """The same with another ``unit.json``."""

    def changed(contents: Contents, parts: Parts) -> None:
        del contents
        told = json.loads(bytes(parts["unit.json"]))
        change(told)
        parts["unit.json"] = json.dumps(told).encode()

    return remade(bundle, changed)
