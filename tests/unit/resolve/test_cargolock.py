"""Cargo.lock, read without cargo: every version of it, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import LockError
from farm.inside.vendor import toml
from farm.model.crates import Crate
from farm.resolve.cargolock import MAX_BYTES, crates_of
from tests.support.crates import REGISTRY
from tests.support.projects import SHA

COMMIT = "0123456789" * 4
GIT = f"git+https://example.org/o/x?rev=0123#{COMMIT}"
ADLER = Crate(name="adler", version="1.0.2", sha256=SHA)


def package(name: str, version: str, source: str = "", checksum: str = "") -> str:
    text = f'[[package]]\nname = "{name}"\nversion = "{version}"\n'
    text += f'source = "{source}"\n' if source else ""
    return text + (f'checksum = "{checksum}"\n' if checksum else "") + "\n"


def read(text: str, version: int | None = 4) -> tuple[Crate, ...]:
    head = "" if version is None else f"version = {version}\n\n"
    return crates_of((head + text).encode(), "Cargo.lock of x")


@pytest.mark.parametrize("version", [None, 3, 4])
def test_crates_of_the_registry_have_their_checksum_beside_them(version: int | None) -> None:
    text = package("own", "0.1.0") + package("adler", "1.0.2", REGISTRY, SHA)
    assert read(text, version) == (ADLER,)


def test_the_first_version_keeps_checksums_apart() -> None:
    text = package("adler", "1.0.2", REGISTRY) + package("own", "0.1.0")
    text += f'[metadata]\n"checksum adler 1.0.2 ({REGISTRY})" = "{SHA}"\n'
    assert read(text, None) == (ADLER,)


def test_a_git_crate_is_pinned_by_its_commit() -> None:
    assert read(package("x", "0.1.0", GIT)) == (Crate(name="x", version="0.1.0", git=GIT),)


def test_two_versions_of_a_crate_are_two_crates() -> None:
    text = package("a", "1.0.0", REGISTRY, SHA) + package("a", "2.0.0+b.1", REGISTRY, SHA[::-1])
    assert [crate.version for crate in read(text)] == ["1.0.0", "2.0.0+b.1"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (package("a", "1.0.0", REGISTRY), "a 1.0.0 has no checksum"),
        (package("a", "1.0.0", REGISTRY, "<none>"), "a 1.0.0 has no checksum"),
        (package("a", "1.0.0", REGISTRY, SHA[:-1]), "a 1.0.0 has no checksum"),
        (package("a", "1.0.0", "registry+https://example.org/i", SHA), "another registry"),
        (package("a", "1.0.0", "sparse+https://example.org/i/", SHA), "another registry"),
        (package("a", "1.0.0", "git+https://example.org/x"), "pins no full commit"),
        (package("a", "1.0.0", f"git+https://example.org/x#{COMMIT[:12]}"), "no full commit"),
        (package("a", "1.0.0", f"git+ext::sh -c id#{COMMIT}"), "no full commit"),
        (package("../../etc/x", "1.0.0", REGISTRY, SHA), "'../../etc/x' is no crate's name"),
        (package("a\\u0000b", "1.0.0", REGISTRY, SHA), "is no crate's name"),
        (package("", "1.0.0", REGISTRY, SHA), "'' is no crate's name"),
        (package("a" * 65, "1.0.0", REGISTRY, SHA), "is no crate's name"),
        (package("a; rm -rf /", "1.0.0", REGISTRY, SHA), "is no crate's name"),
        (package("a", "1.0.0/../..", REGISTRY, SHA), "a has the version '1.0.0/../..'"),
        (package("a", "1", REGISTRY, SHA), "a has the version '1'"),
        (package("a", "1.0.0", REGISTRY, SHA) * 2, "a 1.0.0 stands there twice"),
        (
            package("a", "1.0.0", REGISTRY, SHA) + package("a", "1.0.0", REGISTRY, SHA[::-1]),
            "a 1.0.0 is pinned to two checksums",
        ),
        ("[[package]]\nversion = '1.0.0'\n", "'None' is no crate's name"),
        ("package = [1]\n", "'1' is no package"),
        ("[package]\nname = 'a'\n", "'package' is no list"),
    ],
)
def test_what_cannot_be_staged_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(LockError) as caught:
        read(text)
    assert why in caught.value.message
    assert "Cargo.lock of x" in caught.value.message


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(LockError) as caught:
        read("".join(package(f"a{number}", "1.0.0", REGISTRY) for number in range(9)))
    assert "a4 1.0.0 has no checksum; and 4 more" in caught.value.message
    assert len(caught.value.details) == 9


@pytest.mark.parametrize("version", ["0", "5", "-1", "'4'", "true", "4.0"])
def test_a_version_that_nobody_knows_is_refused(version: str) -> None:
    with pytest.raises(LockError, match=r"is of version .*; 1 to 4 are known"):
        crates_of(f"version = {version}\n".encode(), "x")


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"version = ", b"[" * 100_000, b"\0", b" " * (MAX_BYTES + 1)]
)
def test_what_is_no_toml_or_too_large_is_refused(content: bytes) -> None:
    with pytest.raises(LockError):
        crates_of(content, "x")


def test_too_many_packages_are_refused() -> None:
    with pytest.raises(LockError, match="no list of at most"):
        crates_of(b"package = [" + b"{}," * 20_001 + b"]", "x")


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_nothing_but_a_lock_error_comes_of_rubbish(content: bytes) -> None:
    try:
        crates_of(content, "x")
    except LockError:
        return


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3),
)


@given(st.lists(st.fixed_dictionaries({}, optional=dict.fromkeys(
    ("name", "version", "source", "checksum"), _VALUES)), max_size=3))  # fmt: skip
def test_nor_of_tables_with_anything_in_them(tables: list[dict[str, object]]) -> None:
    kept = [{k: v for k, v in table.items() if "None" not in repr(v)} for table in tables]
    try:
        crates_of(toml({"version": 4, "package": kept}).encode("utf-8", "replace"), "x")
    except LockError:
        return
