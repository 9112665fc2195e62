"""``farm timeline``: of what, in which format, and what is refused."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode
from farm.run.runs import new_run
from farm.store.record import Record, StepTime, write_record
from tests.support.calls import call, write_calls
from tests.support.projects import project_at

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.cli.conftest import Ended, Farm

    Compiled = Callable[..., Path]


@pytest.fixture
def project(world: Path) -> Path:
    project_at(world)
    return world


@pytest.fixture
def compiled(project: Path) -> Compiled:
    """Makes a run in which some variants of a package were compiled."""

    def make(*variants: str, cached: bool = False) -> Path:
        with new_run(project / "out") as run:
            for number, variant in enumerate(variants):
                folder = run.folder / f"demo-1.0.0/{variant}"
                write_calls(
                    folder / "calls.jsonl",
                    [call(f"src/{variant}-{n}.cpp", at=n, slot=number) for n in range(3)],
                )
                write_record(folder, record(variant, run.name, cached=cached))
        return run.folder

    return make


def record(variant: str, run: str, *, cached: bool = False) -> Record:
    return Record(
        unit=f"demo@1.0.0:{variant}", package="demo", version="1.0.0", variant=variant,
        python="3.13", accelerator="cpu", archs=(), features=(), toolchain="cpu",
        host_compiler="gcc-14", identity="0" * 64, outcome="built", run=run,
        compile={"budget": {"cores": 4, "memory_bytes": 5_000_000_000}},
        steps=(StepTime(name="compile", seconds=1, cached=cached),),
    )  # fmt: skip


def timeline(farm: Farm, *arguments: str) -> Ended:
    return farm("timeline", *arguments)


def test_of_the_last_run_that_compiled_a_page_is_written(
    farm: Farm, project: Path, compiled: Compiled
) -> None:
    run = compiled("cpu", "cuda")
    compiled()  # compiled nothing
    compiled("cpu", cached=True)  # nor did this one: the engine's cache answered
    ended = timeline(farm)
    assert ended.code == 0
    assert ended.out.startswith("timeline.html  ")
    assert ended.out.endswith(f"Compiles of run {run.name}: 2 units, 6 calls\n")
    text = (project / "timeline.html").read_text()
    assert '"budget":5000000000,"cores":4' in text
    assert timeline(farm).code == 0  # our own is replaced


@pytest.mark.parametrize(
    ("what", "sources"),
    [
        (["cpu"], {"cpu"}),
        (["demo@1.0.0:cuda"], {"cuda"}),
        (["demo"], {"cpu", "cuda", "cuda-sm_90"}),
        (["cpu", "cuda"], {"cpu", "cuda", "cuda-sm_90"}),
    ],
)
def test_units_are_named_whole_or_in_part(
    farm: Farm, project: Path, compiled: Compiled, what: list[str], sources: set[str]
) -> None:
    compiled("cpu", "cuda", "cuda-sm_90")
    assert timeline(farm, *what, "-o", "t.json").code == 0
    events = json.loads((project / "t.json").read_text())["traceEvents"]
    assert {e["cat"].partition(":")[2] for e in events if e["ph"] == "X"} == sources


def test_runs_and_folders_are_named_too(farm: Farm, project: Path, compiled: Compiled) -> None:
    run = compiled("cpu")
    compiled("cuda")
    result = project / "out/demo-1.0.0/rocm"
    write_calls(result / "logs/calls.jsonl", [call()])
    write_record(result, record("rocm", "gone"))
    named = timeline(farm, str(run), "-o", "t.svg").out
    assert named.endswith(f"  Compiles of {run.name}: 1 unit, 3 calls\n")  # not by its path
    for what in ([run.name], [str(run)], [str(run / "demo-1.0.0/cpu")]):
        assert ": 1 unit, 3 calls\n" in timeline(farm, *what, "-o", "t.svg").out
    for what in ([str(result)], ["rocm"]):
        assert ": 1 unit, 1 call\n" in timeline(farm, *what, "-o", "t.svg").out
    both = timeline(farm, str(run), run.name, str(result), "-o", "t.svg").out
    assert ": 2 units, 4 calls\n" in both


def test_folders_need_no_project(
    farm: Farm, project: Path, compiled: Compiled, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = compiled("cpu")
    (project.parent / "elsewhere").mkdir()
    monkeypatch.chdir(project.parent / "elsewhere")
    assert timeline(farm, str(run)).code == 0
    assert timeline(farm, "cpu").code == ExitCode.USAGE


def test_of_one_unit_in_two_runs_each_has_its_name(
    farm: Farm, project: Path, compiled: Compiled
) -> None:
    first, second = compiled("cpu"), compiled("cpu")
    assert timeline(farm, first.name, second.name, "-o", "t.json").code == 0
    events = json.loads((project / "t.json").read_text())["traceEvents"]
    assert {e["cat"] for e in events if e["ph"] == "X"} == {
        "demo@1.0.0:cpu", f"demo@1.0.0:cpu ({second.name})",
    }  # fmt: skip


def test_damage_is_told_and_left_out(farm: Farm, project: Path, compiled: Compiled) -> None:
    path = compiled("cpu") / "demo-1.0.0/cpu/calls.jsonl"
    with path.open("a") as file:
        file.write("damage\n" * 2)
    ended = timeline(farm)
    assert ended.code == 0
    assert "2 damaged lines were left out" in ended.err
    path.write_text("damage\n")
    ended = timeline(farm)
    assert ended.code == ExitCode.USAGE
    assert f"{path} holds no call of a compiler" in ended.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing"], "'nothing' is no folder, run or unit that was compiled"),
        (["recipes"], "recipes holds no calls.jsonl"),
        (["-o", "t.png"], "t.png: no format is called so"),
        (["-o", "t"], "one of .html, .svg, .json"),
        (["-o", "nowhere/t.svg"], "there is no folder nowhere"),
        (["-o", "folder.svg"], "folder.svg is a folder"),
        (["-o", "other.svg"], "other.svg is there already, and no timeline"),
    ],
)
def test_what_cannot_be_is_said(
    farm: Farm, project: Path, compiled: Compiled, arguments: list[str], said: str
) -> None:
    compiled("cpu")
    (project / "folder.svg").mkdir()
    (project / "other.svg").write_text("<svg/>")
    ended = timeline(farm, *arguments)
    assert ended.code == ExitCode.USAGE
    assert said in ended.err
    assert (project / "other.svg").read_text() == "<svg/>"


def test_another_file_is_replaced_by_force(farm: Farm, project: Path, compiled: Compiled) -> None:
    compiled("cpu")
    (project / "other.svg").write_text("<svg/>")
    assert timeline(farm, "-o", "other.svg", "--force").code == 0
    assert "farm timeline" in (project / "other.svg").read_text()


def test_before_anything_was_compiled_it_says_what_does(farm: Farm, project: Path) -> None:
    ended = timeline(farm)
    assert ended.code == ExitCode.USAGE
    assert "has compiled anything yet" in ended.err
    assert timeline(farm, "cpu").code == ExitCode.USAGE
