from __future__ import annotations

import contextlib
import io
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from farm.errors import IntegrityError, LockError
from farm.resolve.sdist import DEFAULT_REQUIRES, build_requires_of, read_file, run_requires_of

if TYPE_CHECKING:
    from pathlib import Path

PYPROJECT = '[build-system]\nrequires = ["cmake>=3.26", "torch == 2.11.0"]\n'


def sdist(path: Path, members: dict[str, str | bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, text in members.items():
            content = text.encode() if isinstance(text, str) else text
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_requirements_are_read_from_an_sdist(tmp_path: Path) -> None:
    members = {"a-1/x/pyproject.toml": "rubbish", "a-1/pyproject.toml": PYPROJECT}
    found = build_requires_of(sdist(tmp_path / "a.tar.gz", dict(members)))
    assert found == ("cmake>=3.26", "torch == 2.11.0")


def test_requirements_are_read_from_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a-1/pyproject.toml", PYPROJECT)
    assert build_requires_of(tmp_path / "a.zip") == ("cmake>=3.26", "torch == 2.11.0")


@pytest.mark.parametrize("name", ["rust/Cargo.lock", "./rust//Cargo.lock", "rust/./Cargo.lock"])
def test_a_file_is_found_however_its_path_is_written(tmp_path: Path, name: str) -> None:
    path = sdist(tmp_path / "a.tar.gz", {"a-1/rust/Cargo.lock": "x", "a-1/Cargo.lock": "y"})
    assert read_file(path, name, limit=9) == b"x"


@pytest.mark.parametrize("text", [None, "", "[project]\nname = 'a'\n"])
def test_setuptools_is_assumed_where_nothing_is_said(tmp_path: Path, text: str | None) -> None:
    members: dict[str, str | bytes] = {"a-1/setup.py": "raise SystemExit('never run')"}
    if text is not None:
        members["a-1/pyproject.toml"] = text
    assert build_requires_of(sdist(tmp_path / "a.tar.gz", members)) == DEFAULT_REQUIRES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[build-system]\n", "needs 'requires'"),
        ("[build-system]\nrequires = 'x'\n", "needs 'requires'"),
        ("[build-system]\nrequires = [1]\n", "needs 'requires'"),
        ("build-system = 3\n", "needs 'requires'"),
        ("= =", "is not TOML"),
        (b"\xff", "is not TOML"),
        ("[build-system]\nrequires = ['a b c']\n", "is no requirement"),
        ("[build-system]\nrequires = ['-r /etc/passwd']\n", "is no requirement"),
        ("[build-system]\nrequires = ['a @ https://host/a.whl']\n", "required by URL"),
        ("x = '" + "y" * (1 << 20) + "'", "at most 1,048,576 are read"),
    ],
)
def test_what_cannot_be_used_is_told(tmp_path: Path, text: str | bytes, reason: str) -> None:
    with pytest.raises(LockError, match=reason):
        build_requires_of(sdist(tmp_path / "a.tar.gz", {"a-1/pyproject.toml": text}))


@pytest.mark.parametrize("name", ["../pyproject.toml", "a-1/../../x", "/etc/x", "a/.."])
def test_an_archive_whose_members_leave_it_is_refused(tmp_path: Path, name: str) -> None:
    path = sdist(tmp_path / "a.tar.gz", {name: "x", "a-1/pyproject.toml": PYPROJECT})
    with pytest.raises(IntegrityError, match="outside of its folder"):
        build_requires_of(path)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, "x")
    with pytest.raises(IntegrityError, match="outside of its folder"):
        build_requires_of(tmp_path / "a.zip")


def test_a_pyproject_that_is_a_link_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("a-1/pyproject.toml")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)
    with pytest.raises(LockError, match="not a plain file"):
        build_requires_of(tmp_path / "a.tar.gz")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cut=st.integers(min_value=0, max_value=400), noise=st.binary(max_size=64))
@example(cut=3, noise=b"")
def test_a_broken_archive_is_told_and_never_a_traceback(
    tmp_path: Path, cut: int, noise: bytes
) -> None:
    whole = sdist(tmp_path / "a.tar.gz", {"a-1/x": "x" * 50, "a-1/pyproject.toml": PYPROJECT})
    content = whole.read_bytes()
    broken = tmp_path / "b.tar.gz"
    broken.write_bytes(content[:cut] + noise)
    with contextlib.suppress(IntegrityError, LockError):
        assert build_requires_of(broken)


def test_what_is_required_at_run_time_stands_in_the_metadata_of_an_sdist(tmp_path: Path) -> None:
    metadata = (
        "Metadata-Version: 2.4\nName: a\nVersion: 1\n"
        "Requires-Dist: numpy>=1.20\nRequires-Dist: uvicorn ; extra == 'server'\n\n"
        "Requires-Dist: in-the-description\n"
    )
    pyproject = "[project]\nname = 'a'\ndependencies = ['other']\n"
    members: dict[str, str | bytes] = {"a-1/x/PKG-INFO": "rubbish", "a-1/PKG-INFO": metadata}
    path = sdist(tmp_path / "a.tar.gz", members | {"a-1/pyproject.toml": pyproject})
    assert run_requires_of(path) == ("numpy>=1.20", "uvicorn ; extra == 'server'")


@pytest.mark.parametrize(
    ("pyproject", "found"),
    [
        (None, ()),
        ("", ()),
        ("[project]\nname = 'a'\ndependencies = ['six', 'numpy>=2']\n", ("six", "numpy>=2")),
        ("[project]\nname = 'a'\ndynamic = ['dependencies']\n", ()),
        ("project = 1\n", ()),
        ("[project]\ndependencies = 'six'\n", ()),
    ],
)
def test_without_it_the_project_table_tells(
    tmp_path: Path, pyproject: str | None, found: tuple[str, ...]
) -> None:
    members: dict[str, str | bytes] = {"a-1/setup.py": ""}
    members |= {"a-1/pyproject.toml": pyproject} if pyproject is not None else {}
    assert run_requires_of(sdist(tmp_path / "a.tar.gz", members)) == found


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("pyproject.toml", "[project", "is not TOML"),
        ("pyproject.toml", "[project]\ndependencies = ['a b c']\n", "is no requirement"),
        ("PKG-INFO", "Requires-Dist: six @ https://x.org/six.whl\n\n", "required by URL"),
        ("PKG-INFO", "Requires-Dist: ;rm -rf /\n\n", "is no requirement"),
    ],
)
def test_run_time_requirements_that_cannot_be_locked_are_told(
    tmp_path: Path, name: str, text: str, reason: str
) -> None:
    with pytest.raises(LockError, match=reason):
        run_requires_of(sdist(tmp_path / "a.tar.gz", {f"a-1/{name}": text}))
