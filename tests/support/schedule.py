"""In which order tests begin, and which of them stay together when several workers run them.

Tests mostly wait: for an engine, a download, a compiler.  So several workers take
them side by side, one file at a time, those that take longest first.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xdist.scheduler import LoadScopeScheduling

if TYPE_CHECKING:
    import pytest

LONGEST_FIRST = (
    "test_lint",
    "test_accelerators",
    "test_refused_wheels",
    "test_user_docker",
    "test_toolkits",
    "test_shipped",
    "test_private_engine",
    "test_rust",
    "test_smoke_test",
    "test_interrupts",
    "test_full_disk",
    "test_out_of_memory",
    "test_verify",
    "test_bisect",
    "test_bake",
    "test_layer_caches",
    "test_several",
    "test_until",
    "test_reproduce",
)
"""Files by how long they take; then other integration tests, then unit tests."""
ONE_BY_ONE = {"test_private_engine", "test_bad_input"}
"""Files whose tests share nothing that is dear: any worker takes any test."""
BY_PARAMETER = {"test_user_docker"}
"""Files whose tests share what their parameter names."""


class Schedule(LoadScopeScheduling):  # type: ignore[misc]  # xdist says nothing of its types
    """Gives each worker what stays together, in the order of the collection."""

    def __init__(self, config: pytest.Config, log: object) -> None:
        config.option.loadscopereorder = False  # it would begin with the most tests
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid)


def together(nodeid: str) -> str:
    """Return the name of what a test belongs to: one worker runs all of it, in order."""
    file, _, test = nodeid.partition("::")
    name = Path(file).stem
    if name in ONE_BY_ONE:
        return nodeid
    if name in BY_PARAMETER:
        return f"{file}[{test.partition('[')[2]}"
    return file


def rank(path: Path) -> int:
    """Return when the tests of a file begin, the smallest number first."""
    if path.stem in LONGEST_FIRST:
        return LONGEST_FIRST.index(path.stem)
    return len(LONGEST_FIRST) + ("integration" not in path.parts)
