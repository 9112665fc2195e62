"""What services are given: within their limits, whatever names hold."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import yaml

from farm.ci import github, gitlab
from farm.ci.missing import Missing
from farm.ci.named import NamedJob, named
from farm.ci.packing import pack
from farm.errors import StorageError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def units(count: int, *, needs: int = 0) -> tuple[Missing, ...]:
    """So many units; the last one needs so many of the others."""
    labels = [f"demo@1.{n}:cpu" for n in range(count)]
    return tuple(
        Missing(
            label=label, why="", seconds=90, recorded=True, memory_bytes=3 << 29,
            needs=tuple(labels[:needs]) if label == labels[-1] else (), runner=("x", "y 1"),
        )
        for label in labels
    )  # fmt: skip


def jobs(count: int, *, needs: int = 0, packed: int | None = None) -> tuple[NamedJob, ...]:
    return named(pack(units(count, needs=needs), jobs=packed, levels=None))


def test_a_job_has_a_name_an_id_for_files_minutes_and_memory() -> None:
    first, last = jobs(2, needs=1)
    assert first == NamedJob(
        name="demo@1.0:cpu", id="demo-1.0-cpu", level=0, units=("demo@1.0:cpu",),
        runner=("x", "y 1"), minutes=2, memory_gib=1.5, needs=(),
    )  # fmt: skip
    assert (last.level, last.needs) == (1, ("demo@1.0:cpu",))
    (both,) = jobs(2, packed=1)
    assert (both.name, both.minutes) == ("demo@1.0:cpu and 1 more", 3)


def test_no_two_ids_are_the_same() -> None:
    made = pack(
        tuple(
            Missing(label=f"demo@1.0:a{sign}b", why="", seconds=1, recorded=True, memory_bytes=1)
            for sign in "+~-"
        ),
        jobs=None,
        levels=None,
    )
    ids = [job.id for job in named(made)]
    assert len(set(ids)) == 3
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+", each) for each in ids)


def test_a_matrix_is_one_line_of_json_with_an_entry_for_each_job() -> None:
    text = github.matrix(jobs(2))
    assert "\n" not in text
    assert json.loads(text)["include"][0] == {
        "name": "demo@1.0:cpu", "id": "demo-1.0-cpu", "level": 0, "units": "demo@1.0:cpu",
        "runs-on": ["x", "y 1"], "minutes": 2, "memory_gib": 1.5,
    }  # fmt: skip


def test_outputs_are_the_matrix_each_level_and_whether_there_is_any() -> None:
    found = github.outputs(jobs(3, needs=1), levels=3)
    levels = [json.loads(found[f"level{n}"])["include"] for n in range(3)]
    assert [[each["name"] for each in level] for level in levels] == [
        ["demo@1.0:cpu", "demo@1.1:cpu"], ["demo@1.2:cpu"], [],
    ]  # fmt: skip
    assert json.loads(found["matrix"])["include"] == levels[0] + levels[1]
    assert (found["levels"], found["empty"]) == ("2", "false")
    assert github.outputs((), levels=1) == {
        "matrix": '{"include":[]}', "level0": '{"include":[]}', "levels": "0", "empty": "true",
    }  # fmt: skip


def test_github_takes_256_jobs_and_is_told_how_to_have_no_more() -> None:
    assert len(json.loads(github.matrix(jobs(256)))["include"]) == 256
    with pytest.raises(UsageError, match="257 jobs") as told:
        github.matrix(jobs(257))
    assert told.value.hint == "pack them: --jobs 256"
    with pytest.raises(UsageError) as told:
        github.matrix(jobs(300, needs=3))
    assert told.value.hint == "pack them: --jobs 128"
    assert len(jobs(300, needs=3, packed=128)) <= 256


def test_github_keeps_a_megabyte_of_outputs() -> None:
    with pytest.raises(UsageError, match="bytes of outputs"):
        github.outputs(jobs(20_000, packed=4), levels=1)


def test_outputs_are_appended_and_end_where_they_should(tmp_path: Path) -> None:
    file = tmp_path / "output"
    file.write_text("before=1\n")
    github.write_outputs({"a": "x\nb=planted\nEOF\n::set-output name=c::1", "d": ""}, file)
    read = {}
    lines = iter(file.read_text().splitlines())
    for line in lines:
        name, _, end = line.partition("<<")
        if end:
            taken = iter(lambda: next(lines), end)
            read[name] = "\n".join(taken)
    assert read == {"a": "x\nb=planted\nEOF\n::set-output name=c::1", "d": ""}
    with pytest.raises(StorageError):
        github.write_outputs({"a": "1"}, tmp_path / "absent/output")


def test_a_child_pipeline_has_stages_needs_tags_and_a_last_job() -> None:
    found = yaml.safe_load(gitlab.pipeline(jobs(2, needs=1)))
    assert found == {
        "stages": ["level-0", "level-1", "collect"],
        "demo@1.0:cpu": {
            "extends": ".farm-build", "stage": "level-0", "needs": [], "tags": ["x", "y 1"],
            "variables": {"UNITS": "demo@1.0:cpu", "JOB_ID": "demo-1.0-cpu"},
        },
        "demo@1.1:cpu": {
            "extends": ".farm-build", "stage": "level-1", "needs": ["demo@1.0:cpu"],
            "tags": ["x", "y 1"],
            "variables": {"UNITS": "demo@1.1:cpu", "JOB_ID": "demo-1.1-cpu"},
        },
        "collect": {"extends": ".farm-collect", "stage": "collect"},
    }  # fmt: skip
    assert list(yaml.safe_load(gitlab.pipeline(()))) == ["stages", "collect"]


def test_gitlab_takes_50_needs_and_is_told_how_to_have_no_more() -> None:
    gitlab.pipeline(jobs(51, needs=50))
    with pytest.raises(UsageError, match="needs 51 jobs, but GitLab allows 50") as told:
        gitlab.pipeline(jobs(52, needs=51))
    assert "--jobs N" in told.value.hint
    gitlab.pipeline(jobs(52, needs=51, packed=20))


def test_gitlab_reads_five_megabytes() -> None:
    many = jobs(30_000, packed=1)[0].units
    with pytest.raises(UsageError, match="but GitLab reads 5,000,000") as told:
        gitlab.pipeline(tuple(replace(job, units=many) for job in jobs(12)))
    assert "--jobs N" in told.value.hint
