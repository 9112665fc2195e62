"""What a build would have done, in words."""

from __future__ import annotations

import pytest

from farm.errors import ExitCode
from farm.run.looking import never_built, told


def test_compiles_are_counted_by_language_the_most_numerous_first() -> None:
    kinds = {"compile CXX": 12, "link": 7, "other": 1, "compile CUDA": 321, "compile HIP": 1}
    message, details = told({"total": 342, "kinds": kinds, "objects": []})
    assert message == (
        "342 build steps: 321 CUDA compiles, 12 C++ compiles, 1 HIP compile, 7 links, 1 other"
    )
    assert details == ()


def test_objects_are_told_with_their_times_where_they_are_known() -> None:
    objects = [{"object": "a.o", "seconds": 1.25}, {"object": "b.o", "seconds": None}]
    _, details = told({"total": 2, "kinds": {"compile C": 2}, "objects": objects})
    assert details == ("made a.o in 1.2 s", "made b.o")


@pytest.mark.parametrize("steps", [{}, {"total": 0, "kinds": {}, "objects": []}])
def test_a_build_with_nothing_to_do_has_no_steps(steps: dict[str, object]) -> None:
    assert told(steps) == ("0 build steps", ())


def test_a_build_without_cmake_fails_as_a_build_does() -> None:
    assert never_built().code is ExitCode.BUILD
    assert "cmake --build" in never_built().message
