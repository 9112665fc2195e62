"""The kernel's memory limit on builds, in the files of both versions of cgroups."""

from __future__ import annotations

from pathlib import Path

import pytest

from farm.engine.limits import limit_builds, limit_of, most_for_builds
from farm.engine.place import Place
from farm.host.machine import installed_memory

GIB = 2**30
PLACE = Place(folder=Path("/nowhere"), run=Path("/nowhere"), cgroup="/farm-1234")
LIMIT = most_for_builds(installed_memory())


def hierarchy(top: Path, *files: str) -> Path:
    """Files as the kernel makes them: empty to begin with."""
    for name in files:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text("")
    return top


def test_version_2_limits_memory_and_forbids_swap_space(tmp_path: Path) -> None:
    own = ("farm-1234/memory.max", "farm-1234/memory.swap.max")
    top = hierarchy(tmp_path, "cgroup.controllers", "cgroup.subtree_control", *own)
    limit_builds(PLACE, top=top)
    assert [(top / name).read_text() for name in own] == [str(LIMIT), "0"]
    assert (top / "cgroup.subtree_control").read_text() == "+memory"
    assert limit_of(PLACE, top=top) == LIMIT


def test_version_1_limits_memory_and_both_together(tmp_path: Path) -> None:
    own = [f"memory/farm-1234/memory.{kind}limit_in_bytes" for kind in ("", "memsw.")]
    top = hierarchy(tmp_path, *own)
    limit_builds(PLACE, top=top)
    assert [(top / name).read_text() for name in own] == [str(LIMIT)] * 2
    assert limit_of(PLACE, top=top) == LIMIT


def test_a_lower_limit_that_somebody_set_stays(tmp_path: Path) -> None:
    top = hierarchy(tmp_path, "memory/farm-1234/memory.limit_in_bytes")
    (top / "memory/farm-1234/memory.limit_in_bytes").write_text(str(LIMIT // 2))
    limit_builds(PLACE, top=top)
    assert limit_of(PLACE, top=top) == LIMIT // 2


def test_without_a_memory_controller_there_is_no_limit_and_no_file(tmp_path: Path) -> None:
    limit_builds(PLACE, top=tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert limit_of(PLACE, top=tmp_path) is None


@pytest.mark.parametrize("text", ["max\n", "9223372036854771712\n", ""])
def test_what_limits_nothing_is_no_limit(tmp_path: Path, text: str) -> None:
    hierarchy(tmp_path, "farm-1234/memory.max")
    (tmp_path / "farm-1234/memory.max").write_text(text)
    assert limit_of(PLACE, top=tmp_path) is None


@pytest.mark.parametrize(
    ("installed", "kept"), [(2 * GIB, GIB // 4), (8 * GIB, GIB // 2), (880 * GIB, 2 * GIB)]
)
def test_the_machine_keeps_a_sixteenth_within_reason(installed: int, kept: int) -> None:
    assert most_for_builds(installed) == installed - kept
