from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from farm.errors import FetchError, LockError, RecipeError
from farm.events import Event, Notice
from farm.load.library import gather
from farm.load.project import Project, shipped_root
from farm.model.crates import Crate
from farm.plan.plan import Choice, Plan, make_plan
from farm.plan.resolve import lock_problem
from farm.plan.select import parse_selector
from farm.resolve.relock import relock
from farm.store.blobs import Store
from tests.support.crates import REGISTRY
from tests.support.projects import SHA

RECIPE = """\
package: demo
versions:
  1.0.0:
    source: {{tree: demo}}
variants:
  cpu:
    toolchain: cpu
    {setting}
  gpu:
    toolchain: rocm-5.7
    archs: [gfx942, gfx1150]
"""
PYPROJECT = """\
[build-system]
requires = [{requires}]
build-backend = "backend"
"""


def project_of(tmp_path: Path, *, setting: str = "summary: plain", requires: str = "") -> Project:
    root = tmp_path / "project"
    tree = root / "recipes/sources/demo"
    tree.mkdir(parents=True)
    (tree / "pyproject.toml").write_text(textwrap.dedent(PYPROJECT).format(requires=requires))
    (root / "recipes/demo.yaml").write_text(RECIPE.format(setting=setting))
    return Project(root=root, roots=(root, shipped_root()))


def planned(project: Project, *selectors: str) -> Plan:
    wanted = [parse_selector(selector) for selector in selectors]
    return make_plan(gather(project, ["demo"]), wanted, Choice())


def locked(
    project: Project, tmp_path: Path, *selectors: str, index: str | None = None
) -> tuple[list[Path], list[Event]]:
    events: list[Event] = []
    plan = planned(project, *selectors)
    store = Store(tmp_path / "store")
    return relock(plan.units, project, store, events.append, index=index), events


def test_a_renewed_lock_fits_its_unit(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    assert lock_problem(planned(project, "demo:cpu").units[0])
    written, _ = locked(project, tmp_path, "demo:cpu")
    assert written == [project.root / "recipes/locks/demo/1.0.0/cpu-py3.13.txt"]
    assert lock_problem(planned(project, "demo:cpu").units[0]) == ""


def test_what_a_smoke_test_installs_is_locked_beside_it(tmp_path: Path) -> None:
    project = project_of(tmp_path, setting="smoke_test: {imports: [demo], requires: [six]}")
    written, _ = locked(project, tmp_path, "demo:cpu")
    folder = project.root / "recipes/locks/demo/1.0.0"
    assert written == [folder / "cpu-py3.13.txt", folder / "cpu-py3.13.smoke-test.txt"]
    unit = planned(project, "demo:cpu").units[0]
    assert lock_problem(unit) == ""
    assert unit.smoke_test is not None
    assert unit.smoke_test.lock is not None
    assert [pin.name for pin in unit.smoke_test.lock.pins] == ["six"]


def test_a_lock_of_other_inputs_is_told_apart(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    locked(project, tmp_path, "demo:cpu")
    (project.root / "recipes/sources/demo/more.py").write_text("")
    assert "other inputs" in lock_problem(planned(project, "demo:cpu").units[0])


def test_units_that_differ_in_architectures_share_a_lock(tmp_path: Path) -> None:
    project = project_of(tmp_path)
    written, _ = locked(project, tmp_path, "demo:gpu", "demo:gpu-gfx942", "demo:gpu-gfx1150")
    assert [path.name for path in written] == ["gpu-py3.13.txt"]


def test_what_cannot_be_locked_from_the_index_is_passed_over_with_its_reason(
    tmp_path: Path,
) -> None:
    project = project_of(tmp_path, setting="unlocked: it lies elsewhere")
    written, events = locked(project, tmp_path, "demo:cpu")
    assert written == []
    assert [e.text for e in events if isinstance(e, Notice)] == [
        "demo@1.0.0:cpu is not locked: it lies elsewhere"
    ]
    assert lock_problem(planned(project, "demo:cpu").units[0]) == "it lies elsewhere"


def test_a_named_index_locks_it_and_then_it_may_be_built(tmp_path: Path) -> None:
    project = project_of(tmp_path, setting="unlocked: it lies elsewhere")
    written, _ = locked(project, tmp_path, "demo:cpu", index="http://127.0.0.1:9/simple")
    assert len(written) == 1  # it requires nothing, so nothing is asked
    assert lock_problem(planned(project, "demo:cpu").units[0]) == ""


def test_the_named_index_is_the_one_that_is_asked(tmp_path: Path) -> None:
    project = project_of(tmp_path, requires='"flit-core"')
    with pytest.raises(FetchError, match="flit-core"):
        locked(project, tmp_path, "demo:cpu", index="http://127.0.0.1:9/simple")
    assert not (project.root / "recipes/locks").exists()


def test_a_requirement_by_url_is_refused(tmp_path: Path) -> None:
    project = project_of(tmp_path, requires='"demo @ https://example.invalid/demo.tar.gz"')
    with pytest.raises(LockError, match="by URL"):
        locked(project, tmp_path, "demo:cpu")


CARGO_LOCK = f"""\
version = 4

[[package]]
name = "demo"
version = "0.1.0"

[[package]]
name = "adler"
version = "1.0.2"
source = "{REGISTRY}"
checksum = "{SHA}"
"""
CRATES = "summary: plain\n    crates: [rust/Cargo.lock]"


def with_cargo_lock(tmp_path: Path, text: str = CARGO_LOCK, setting: str = CRATES) -> Project:
    project = project_of(tmp_path, setting=setting)
    path = project.root / "recipes/sources/demo/rust/Cargo.lock"
    path.parent.mkdir()
    path.write_text(text)
    return project


def test_crates_are_pinned_beside_the_requirements(tmp_path: Path) -> None:
    project = with_cargo_lock(tmp_path)
    written, _ = locked(project, tmp_path, "demo:cpu")
    assert [path.relative_to(project.root / "recipes/locks/demo/1.0.0") for path in written] == [
        Path("crates/demo/rust/Cargo.lock.txt"),
        Path("cpu-py3.13.txt"),
    ]
    (unit,) = planned(project, "demo:cpu").units
    assert [str(crate) for crate in unit.crates[0].crates] == [
        str(Crate(name="adler", version="1.0.2", sha256=SHA))
    ]
    assert lock_problem(unit) == ""
    again, _ = locked(project, tmp_path, "demo:cpu")
    assert again == written


def test_crates_are_pinned_even_where_the_index_cannot_lock_the_rest(tmp_path: Path) -> None:
    project = with_cargo_lock(tmp_path, setting=f"{CRATES}\n    unlocked: it lies elsewhere")
    written, _ = locked(project, tmp_path, "demo:cpu")
    assert [path.name for path in written] == ["Cargo.lock.txt"]


def test_a_changed_cargo_lock_makes_the_pins_stale(tmp_path: Path) -> None:
    project = with_cargo_lock(tmp_path)
    locked(project, tmp_path, "demo:cpu")
    path = project.root / "recipes/sources/demo/rust/Cargo.lock"
    path.write_text(CARGO_LOCK.replace(SHA, SHA[::-1]))
    problem = lock_problem(planned(project, "demo:cpu").units[0])
    assert "other inputs" in problem  # of the requirements, which the source decides too


def test_a_source_without_its_cargo_lock_is_told(tmp_path: Path) -> None:
    project = with_cargo_lock(tmp_path, setting="crates: [Cargo.lock]")
    with pytest.raises(LockError, match=r"there is no Cargo\.lock of demo \(demo\.tar\)"):
        locked(project, tmp_path, "demo:cpu")


def test_a_crate_that_cannot_be_staged_is_told_and_nothing_written(tmp_path: Path) -> None:
    project = with_cargo_lock(tmp_path, CARGO_LOCK.replace("registry+", "sparse+"))
    with pytest.raises(LockError, match=r"adler 1\.0\.2 comes from .*: another registry"):
        locked(project, tmp_path, "demo:cpu")
    assert not (project.root / "recipes/locks").exists()


def test_a_cargo_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    project = with_cargo_lock(tmp_path)
    path = project.root / "recipes/sources/demo/rust/Cargo.lock"
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(RecipeError):  # as any link in a source tree
        locked(project, tmp_path, "demo:cpu")
