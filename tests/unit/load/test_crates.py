"""Lock files of crates: written and read back, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import RecipeError
from farm.load.crates import (
    GIT,
    NAME,
    VERSION,
    crates_digest,
    format_crates,
    lock_parts,
    parse_crates,
)
from farm.model.crates import Crate, CrateLock
from tests.support.projects import SHA

HEX = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
NAMES = st.from_regex(NAME, fullmatch=True)
VERSIONS = st.from_regex(VERSION, fullmatch=True)
CRATES = st.one_of(
    st.builds(Crate, name=NAMES, version=VERSIONS, sha256=HEX),
    st.builds(Crate, name=NAMES, version=VERSIONS, git=st.from_regex(GIT, fullmatch=True)),
)
LOCKS = st.builds(
    CrateLock,
    inputs=HEX,
    crates=st.lists(CRATES, max_size=5, unique_by=lambda c: (c.name, c.version)).map(tuple),
)
HEAD = f"# farm crates: {SHA}\n"
COMMIT = "0123456789" * 4


@given(LOCKS)
def test_a_lock_is_read_back_as_it_was_written(lock: CrateLock) -> None:
    text = format_crates(lock)
    found = parse_crates(text, "x")
    assert found.inputs == lock.inputs
    assert set(found.crates) == set(lock.crates)
    assert format_crates(found) == text
    assert parse_crates(text.replace("\n", "\r\n"), "x") == found


@given(LOCKS, st.data())
def test_a_lock_that_was_cut_is_refused_or_has_fewer_crates(
    lock: CrateLock, data: st.DataObject
) -> None:
    text = format_crates(lock)
    cut = text[: data.draw(st.integers(0, len(text) - 2))]
    try:
        found = parse_crates(cut, "x")
    except RecipeError:
        return
    assert found.inputs == lock.inputs
    assert {c.name for c in found.crates} <= {c.name for c in lock.crates}


@pytest.mark.parametrize(
    "line",
    [
        f"../x 1.0.0 sha256:{SHA}",
        f"x/y 1.0.0 sha256:{SHA}",
        f"x 1.0 sha256:{SHA}",
        f"x 1.0.0/.. sha256:{SHA}",
        f"x 1.0.0 sha256:{SHA[:-1]}",
        f"x 1.0.0 sha256:{SHA.upper()}",
        "x 1.0.0 git+https://example.org/x#0123",
        f"x 1.0.0 git+ext://sh#{COMMIT}",
        f"x 1.0.0 git+https://example.org/x?rev=$(id)#{COMMIT}",
        f"x 1.0.0 git+https://example.org/x?other=1#{COMMIT}",
        "x 1.0.0",
        "; rm -rf /",
        f"\0 1.0.0 sha256:{SHA}",
        f"{'x' * 65} 1.0.0 sha256:{SHA}",
    ],
)
def test_what_is_no_pin_is_told_with_its_line(line: str) -> None:
    with pytest.raises(RecipeError) as caught:
        parse_crates(f"{HEAD}# more\n{line}\n", "locks/x")
    (problem,) = caught.value.problems
    assert str(problem.place) == "locks/x:3:1"
    assert "not a pinned crate" in problem.what


def test_a_crate_cannot_be_pinned_twice_nor_to_two_checksums() -> None:
    one, other = f"x 1.0.0 sha256:{SHA}", f"x 1.0.0 sha256:{SHA[::-1]}"
    with pytest.raises(RecipeError) as caught:
        parse_crates(f"{HEAD}{one}\n{one}\n{other}\n", "x")
    assert [problem.what for problem in caught.value.problems] == [
        "x 1.0.0 is pinned twice",
        "x 1.0.0 is pinned to two checksums",
    ]


def test_a_file_without_its_digest_is_no_lock() -> None:
    with pytest.raises(RecipeError, match="1 problem"):
        parse_crates(f"x 1.0.0 sha256:{SHA}\n", "x")


def test_the_digest_is_of_the_source_and_the_path() -> None:
    assert len({crates_digest(a, b) for a in "xy" for b in "xy"}) == 4


def test_a_lock_lies_where_its_cargo_lock_lies_in_the_source() -> None:
    assert lock_parts("demo", "Cargo.lock") == ("crates", "demo", "Cargo.lock.txt")
    assert lock_parts("demo", "./a//b/Cargo.lock") == (
        "crates",
        "demo",
        "a",
        "b",
        "Cargo.lock.txt",
    )


def test_what_a_git_source_says() -> None:
    crate = Crate(name="x", version="1.0.0", git=f"git+https://e.org/o/x?branch=a%2Fb#{COMMIT}")
    assert (crate.url, crate.commit) == ("https://e.org/o/x", COMMIT)
    assert crate.reference == ("branch", "a/b")
    bare = Crate(name="x", version="1.0.0", git=f"git+ssh://git@e.org/x#{COMMIT}")
    assert (bare.url, bare.commit, bare.reference) == ("ssh://git@e.org/x", COMMIT, None)
