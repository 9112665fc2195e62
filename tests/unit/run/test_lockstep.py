"""Pins that follow files of upstream's, compared when staged: by a plan, and before a build."""

from __future__ import annotations

import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from farm import api
from farm.errors import IntegrityError, PlanError
from farm.events import UnitFinished
from farm.plan.lockstep import MAX_BYTES, Found
from farm.run.forecast import forecast
from farm.run.lockstep import Comparer, of_store, refuse_differing, require_lockstep
from farm.run.options import BuildOptions, Workplace
from farm.store.blobs import Store
from tests.support.projects import project_at, write_files

if TYPE_CHECKING:
    from pathlib import Path

    from farm.events import Event
    from farm.load.project import Project
    from farm.model.unit import Unit

RECIPE = """\
package: demo
versions:
  1.0.0: {source: {tree: demo}}
unlocked: on purpose
sources:
  tool:
    source: {git: https://x.org/tool, commit: 891d57b4db1071624b5c8fa0d1e51cb317fa709f}
    lockstep: {file: cmake/tool.cmake, after: "GIT_TAG "}
  part:
    source: {tree: part}
    lockstep: {file: pins.txt, after: "part=", says: v2, of: tool}
variants:
  cpu: {toolchain: fromimage}
"""
PIN = "GIT_TAG 891d57b4db1071624b5c8fa0d1e51cb317fa709f\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = project_at(tmp_path / "project", {"recipes/demo.yaml": RECIPE})
    write_files(made.root, {
        "recipes/sources/demo/cmake/tool.cmake": f"fetch(\n  {PIN})\n",
        "recipes/sources/part/a": "a",
    })  # fmt: skip
    return made


def the_unit(project: Project) -> Unit:
    (unit,) = api.plan(project, "demo").units
    return unit


def archive(path: Path, files: dict[str, bytes], top: str = "top/") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{top}{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return path


def outcomes(unit: Unit, staged: dict[str, Path]) -> list[str]:
    found = Comparer(lambda source, _: staged.get(source.name)).compare(unit)
    return [str(each) for each in found]


def test_files_of_archives_and_folders_are_compared(project: Project, tmp_path: Path) -> None:
    unit = the_unit(project)
    tool = archive(tmp_path / "tool.tgz", {"pins.txt": b"part=v2\n"})
    folder = project.root / "recipes/sources/demo"
    expected = [
        "part is v2, as pins.txt:1 says",
        f"tool is {PIN.split()[1]}, as cmake/tool.cmake:2 says",
    ]
    assert outcomes(unit, {"demo": folder, "tool": tool}) == expected
    packed = archive(tmp_path / "demo.tgz", {"x": b"", "cmake/tool.cmake": f"\n{PIN}".encode()})
    assert outcomes(unit, {"demo": packed, "tool": tool}) == expected
    with zipfile.ZipFile(tmp_path / "demo.zip", "w") as made:
        made.writestr("top/cmake/tool.cmake", f"\n{PIN}")
    assert outcomes(unit, {"demo": tmp_path / "demo.zip", "tool": tool}) == expected


def test_what_is_not_staged_is_not_compared_yet(project: Project, tmp_path: Path) -> None:
    found = of_store(Store(tmp_path / "store")).compare(the_unit(project))
    assert [str(each) for each in found] == [
        "part follows pins.txt, not compared yet: tool is not staged",
        f"tool is {PIN.split()[1]}, as cmake/tool.cmake:2 says",  # a folder lies where it is
    ]
    refuse_differing(found)
    assert not (tmp_path / "store").exists()


def test_all_that_differs_is_told_at_once_before_a_build(project: Project, tmp_path: Path) -> None:
    unit = the_unit(project)
    tool = archive(tmp_path / "tool.tgz", {"pins.txt": b"part=v3\n"})
    demo = archive(tmp_path / "demo.tgz", {"cmake/tool.cmake": PIN.replace("8", "9").encode()})
    part = archive(tmp_path / "part.tgz", {"a": b""})
    by_name = {"demo": demo, "tool": tool, "part": part}
    staged = {source.digest: by_name[source.name] for source in (unit.source, *unit.sources)}
    with pytest.raises(PlanError) as caught:
        require_lockstep(unit, staged)
    first, second = caught.value.problems
    assert first.what == "pins.txt:1 of tool says 'v3', the recipe 'v2'"
    assert second.what.startswith("cmake/tool.cmake:1 of demo says '991d57b4")


def test_a_file_that_is_too_large_or_none_is_as_good_as_gone(
    project: Project, tmp_path: Path
) -> None:
    unit = the_unit(project)
    tool = archive(tmp_path / "tool.tgz", {"pins.txt": b"part=v2" + b" " * MAX_BYTES})
    gone = archive(tmp_path / "demo.tgz", {"cmake/other.cmake": b""})
    part, pin = outcomes(unit, {"demo": gone, "tool": tool})
    assert "pins.txt of tool is not there (or no plain file of at most 4 MiB)" in part
    assert "cmake/tool.cmake of demo is not there" in pin


def test_what_is_no_archive_is_told(project: Project, tmp_path: Path) -> None:
    (tmp_path / "tool.tgz").write_bytes(b"no archive")
    with pytest.raises(IntegrityError, match=r"tool\.tgz is no whole archive"):
        outcomes(the_unit(project), {"tool": tmp_path / "tool.tgz"})


def test_each_archive_is_read_once_for_all_units(project: Project, tmp_path: Path) -> None:
    unit = the_unit(project)
    packed = archive(tmp_path / "demo.tgz", {"cmake/tool.cmake": PIN.encode()})
    comparer = Comparer(lambda source, _: packed if source.name == "demo" else None)
    first = comparer.compare(unit)
    packed.unlink()
    assert comparer.compare(unit) == first
    assert isinstance(first[1].outcome, Found)


def test_a_plan_refuses_what_differs(project: Project, tmp_path: Path) -> None:
    place = Workplace(project=project, out=tmp_path / "out", cache=tmp_path / "cache")
    (row,) = forecast(api.plan(project, "demo"), place, BuildOptions()).units
    assert len(row.lockstep) == 2
    path = project.root / "recipes/sources/demo/cmake/tool.cmake"
    path.write_text(PIN.upper().lower().replace("git_tag 8", "GIT_TAG 7"))
    with pytest.raises(PlanError, match="1 problem in the plan"):
        forecast(api.plan(project, "demo"), place, BuildOptions())


def test_a_build_refuses_what_differs_before_any_engine(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from farm.load.locks import format_lock, inputs_digest
    from farm.model.unit import Lock

    recipe = (project.root / "recipes/demo.yaml").read_text()
    before, _, rest = recipe.partition("  tool:\n")
    own = "of: tool", "of: part"
    text = before + "  part:" + rest.partition("  part:")[2].replace(*own)
    write_files(
        project.root, {"recipes/demo.yaml": text, "recipes/sources/part/pins.txt": "part=v3"}
    )
    unit = the_unit(project)
    lock = format_lock(Lock(inputs=inputs_digest(unit.lock_inputs), pins=()))
    write_files(project.root, {f"recipes/locks/demo/1.0.0/{unit.lock_stem}.txt": lock})
    monkeypatch.setenv("PATH", "")
    told: list[Event] = []
    outcome = api.build(
        api.plan(project, "demo"), project,
        out=tmp_path / "out", cache=tmp_path / "cache", sink=told.append,
    )  # fmt: skip
    (ended,) = [event for event in told if isinstance(event, UnitFinished)]
    assert outcome.exit_code == ended.exit_code == 4
    assert "pins.txt:1 of part says 'v3', the recipe 'v2'" in "\n".join(ended.details)
