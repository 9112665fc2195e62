"""What a look may name: nothing that a shell takes for something else."""

from __future__ import annotations

import pytest

from farm.model.look import Look


@pytest.mark.parametrize("glob", ["permute_cols.cu", "csrc/*/[ab]?.cu", "CMakeFiles/_C.dir/a.o"])
def test_a_plain_glob_is_taken(glob: str) -> None:
    assert Look(only=(glob,)).only == (glob,)


@pytest.mark.parametrize(
    "glob", ["", "a'b", "$(id)", "a b", "a\nb", "`id`", "a;b", 'a"', "x" * 301]
)
def test_anything_else_is_refused(glob: str) -> None:
    with pytest.raises(ValueError, match="is no glob"):
        Look(only=("ok.cu", glob))
