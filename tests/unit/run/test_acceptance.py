"""What a build brought out is held against what was asked for, and taken down whole."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.engine.engine import BuildResult
from farm.engine.rawjson import StepSummary
from farm.errors import BuildError, CheckError, ExitCode
from farm.host.machine import Machine
from farm.load.project import shipped_root
from farm.model.compiler import Compiler
from farm.model.unit import Expected
from farm.plan.jobs import JobPlan
from farm.render.manifest import BaseReference
from farm.run.acceptance import Accepted, accept
from farm.run.attempt import Attempt
from farm.run.options import BuildOptions
from farm.run.prerequisites import EngineFacts
from farm.run.recording import Circumstances, record_of
from farm.run.settle import Identified, identify, wheels_of
from farm.store.record import Input, WheelFile, read_record, write_record
from farm.store.results import Result
from tests.support.projects import DEMO, demo_unit

if TYPE_CHECKING:
    from pathlib import Path

    from farm.model.unit import Unit


@pytest.fixture
def unit(tmp_path: Path) -> Unit:
    return demo_unit(tmp_path / "project")


def wheel_at(folder: Path, *, name: str = "demo", version: str = "1.0.0") -> Path:
    """A pure wheel that is right in itself."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    members = {
        f"{name}/__init__.py": b"",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = []
    for member, data in members.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        rows.append(f"{member},sha256={digest},{len(data)}\n")
    members[f"{info}/RECORD"] = "".join([*rows, f"{info}/RECORD,,\n"]).encode()
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)
    return path


def test_the_wheel_that_was_asked_for_is_taken_with_its_hash(unit: Unit, tmp_path: Path) -> None:
    path = wheel_at(tmp_path / "e")
    wheel = accept(tmp_path / "e", unit, aside=tmp_path / "aside").wheel
    data = path.read_bytes()
    assert wheel == WheelFile(
        filename=path.name, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data)
    )
    assert not (tmp_path / "aside").exists()


def test_no_wheel_and_several_are_refused(unit: Unit, tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="expected one wheel, got none") as caught:
        accept(tmp_path, unit, aside=tmp_path / "aside")
    assert caught.value.code is ExitCode.CHECK
    wheel_at(tmp_path / "e")
    wheel_at(tmp_path / "e", version="2.0.0")
    with pytest.raises(CheckError, match=r"got demo-1\.0\.0-py3.*, demo-2\.0\.0-py3"):
        accept(tmp_path / "e", unit, aside=tmp_path / "aside")


@pytest.mark.parametrize("wrong", ["version", "package", "extension", "tag"])
def test_a_wheel_of_something_else_is_put_aside(unit: Unit, tmp_path: Path, wrong: str) -> None:
    path = wheel_at(
        tmp_path / "e",
        name="other" if wrong == "package" else "demo",
        version="1.0.1" if wrong == "version" else "1.0.0",
    )
    expected = Expected(
        extensions=("demo/_C.abi3.so",) if wrong == "extension" else None,
        tag="cp313-cp313-linux_x86_64" if wrong == "tag" else None,
    )
    with pytest.raises(CheckError, match="is not what the recipe promises") as caught:
        accept(tmp_path / "e", replace(unit, expected=expected), aside=tmp_path / "aside")
    assert caught.value.details
    assert str(tmp_path / "aside") in caught.value.hint
    assert not path.exists()
    assert (tmp_path / "aside" / path.name).exists()


CIRCUMSTANCES = Circumstances(
    run="20260101-000000-aaaa",
    options=BuildOptions(max_jobs=6),
    engine=EngineFacts(
        name="private", version="28.5.2", machine=Machine(cores=4, memory_bytes=1 << 30)
    ),
    packed={},
    base={"tag": "farm-base:x"},
    jobs=JobPlan(max_jobs=6, nvcc_threads=1, arithmetic="MAX_JOBS=6 = …"),
    needs=(Input(name="torch@2:stub", digest="ab"),),
    refused=(),
    started_s=1.7e9,
)
STEP = StepSummary(name="compile", seconds=3, cached=False)
RESULT = BuildResult(exit_status=0, seconds=3, steps=(STEP,))
WHEEL = WheelFile(filename="demo-1.0.0-py3-none-any.whl", sha256="cd", size_bytes=5)


def identified_of(unit: Unit) -> Identified:
    base = BaseReference(image="farm-base:x", digest="sha256:x")
    templates = (shipped_root() / "dockerfiles",)
    return identify(unit, base=base, needed=(), templates=templates)


ACCEPTED = Accepted(wheel=WHEEL, warnings=(), contents={"glibc": "2.38"})


def test_a_record_holds_what_a_build_was_made_of_and_is_read_back(
    unit: Unit, tmp_path: Path
) -> None:
    identified = identified_of(unit)
    attempt = Attempt(number=1, result=RESULT, exported=tmp_path, status={"exit_status": 0})
    record = record_of(identified, attempt, CIRCUMSTANCES, accepted=ACCEPTED, error=None)
    assert (record.unit, record.outcome, record.exit_code) == (unit.label, "built", 0)
    assert (record.identity, record.hermetic) == (identified.identity, True)
    assert (record.max_jobs, record.jobs) == (6, "MAX_JOBS=6 = …")
    assert {item.name for item in record.inputs} == {e.target for e in identified.manifest.context}
    assert (record.wheels, record.steps[0].name) == ((WHEEL,), "compile")
    assert record.env == dict(unit.env)
    assert record.contents == {"glibc": "2.38"}
    write_record(tmp_path, record)
    assert read_record(tmp_path) == record
    (found,) = wheels_of([Result(record=record, folder=tmp_path)])
    assert (found.filename, found.path) == (WHEEL.filename, tmp_path / WHEEL.filename)


def test_a_failure_is_recorded_with_its_code_and_its_message(unit: Unit, tmp_path: Path) -> None:
    identified = identified_of(unit)
    attempt = Attempt(number=2, result=RESULT, exported=tmp_path)
    error = BuildError("a.c:3: error: no")
    record = record_of(identified, attempt, CIRCUMSTANCES, accepted=None, error=error)
    assert (record.outcome, record.exit_code, record.message) == ("failed", 9, error.message)
    assert (record.wheels, record.attempt) == ((), 2)


def test_packages_that_come_over_the_network_are_recorded_as_not_hermetic(tmp_path: Path) -> None:
    unit = demo_unit(tmp_path, DEMO.replace("plain", "fromimage"))
    identified = identified_of(unit)
    attempt = Attempt(number=1, result=RESULT, exported=tmp_path)
    record = record_of(identified, attempt, CIRCUMSTANCES, accepted=ACCEPTED, error=None)
    assert not record.hermetic


def test_a_wheel_of_another_compiler_than_the_pinned_one_is_refused(
    unit: Unit, tmp_path: Path
) -> None:
    exported = wheel_at(tmp_path / "out").parent
    used = Compiler(
        folder="/build/demo/build", language="CXX", path="/usr/bin/g++-13", family="GNU",
        version="13.3.0",
    )  # fmt: skip
    with pytest.raises(CheckError) as caught:
        accept(exported, unit, aside=tmp_path / "rejected", compilers=(used,))
    (detail,) = caught.value.details
    assert "compiled CXX with /usr/bin/g++-13 (GNU 13.3.0)" in detail
    assert "pins gcc-14" in detail
    right = replace(used, version="14.2.0")
    exported = wheel_at(tmp_path / "again").parent
    accept(exported, unit, aside=tmp_path / "rejected", compilers=(right,))
