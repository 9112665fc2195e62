"""What runs where."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.inspect.archs import Cover, covers


@pytest.mark.parametrize(
    ("arch", "wanted", "cover"),
    [
        ("sm_86", "sm_86", Cover.EXACT),
        ("sm_80", "sm_86", Cover.COMPATIBLE),
        ("sm_89", "sm_86", Cover.NOT),
        ("sm_75", "sm_86", Cover.NOT),
        ("sm_90a", "sm_90a", Cover.EXACT),
        ("sm_90", "sm_90a", Cover.COMPATIBLE),
        ("sm_90a", "sm_90", Cover.COMPATIBLE),
        ("sm_90a", "sm_86", Cover.NOT),
        ("sm_100f", "sm_103", Cover.COMPATIBLE),
        ("sm_100a", "sm_103", Cover.NOT),
        ("sm_100f", "sm_120", Cover.NOT),
        ("sm_120f", "sm_121", Cover.COMPATIBLE),
        ("compute_80", "sm_86", Cover.PTX),
        ("compute_80", "sm_120", Cover.PTX),
        ("compute_90", "sm_86", Cover.NOT),
        ("compute_90a", "sm_100", Cover.NOT),
        ("gfx942", "gfx942", Cover.EXACT),
        ("gfx942", "gfx942:xnack+", Cover.COMPATIBLE),
        ("gfx942:xnack+", "gfx942", Cover.NOT),
        ("gfx9-4-generic", "gfx942", Cover.COMPATIBLE),
        ("gfx9-4-generic", "gfx90a", Cover.NOT),
        ("gfx11-generic", "gfx1150", Cover.COMPATIBLE),
        ("gfx941", "gfx942", Cover.NOT),
        ("gfx942", "sm_86", Cover.NOT),
    ],
)
def test_what_serves_what(arch: str, wanted: str, cover: Cover) -> None:
    assert covers(arch, wanted) is cover


@given(st.integers(5, 12), st.integers(0, 9), st.integers(5, 12), st.integers(0, 9))
def test_machine_code_stays_within_its_major_and_ptx_does_not(
    major: int, minor: int, other: int, step: int
) -> None:
    machine = covers(f"sm_{major}{minor}", f"sm_{other}{step}")
    assert (machine > Cover.NOT) == (major == other and minor <= step)
    ptx = covers(f"compute_{major}{minor}", f"sm_{other}{step}")
    assert (ptx > Cover.NOT) == ((major, minor) <= (other, step))
