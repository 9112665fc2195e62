"""What a build's folders and its log show of parts of others, read as the container does."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from farm.inside import parts

if TYPE_CHECKING:
    from pathlib import Path

NOTHING: dict[str, Any] = {
    "submodules": [],
    "licence_files": {},
    "crate_licences": {},
    "compiled": [],
    "static": [],
}


def run(tmp_path: Path, log: str = "", crates: Path | None = None) -> dict[str, Any]:
    """All parts of the build in ``tmp_path/build``."""
    (tmp_path / "compile.log").write_text(log, encoding="utf-8")
    out = tmp_path / "parts.json"
    words = [str(out), "--sources", str(tmp_path / "build"), "--log", f"{tmp_path}/compile.log"]
    assert parts.main([*words, *(["--crates", str(crates)] if crates else [])]) == 0
    found: dict[str, Any] = json.loads(out.read_text())
    return found


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_build_that_left_nothing_has_no_parts(tmp_path: Path) -> None:
    assert run(tmp_path) == NOTHING
    (tmp_path / "build/demo").mkdir(parents=True)
    assert run(tmp_path, crates=tmp_path / "nowhere") == NOTHING


def test_a_result_that_cannot_be_written_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--sources", str(tmp_path), "--log", "/nowhere"]
    assert parts.main([str(tmp_path / "no/parts.json"), *where]) == 74
    assert "farm: error: parts: " in capsys.readouterr().err


def test_submodules_have_their_commit_where_git_brought_them(tmp_path: Path) -> None:
    for root in ("build/demo", "build/sources/other"):
        write(tmp_path / root / "vendor/inner/LICENSE", "MIT")
        write(
            tmp_path / root / ".gitmodules",
            '[submodule "x"]\n\tpath = vendor/inner\n\turl = https://x.org/inner.git\n'
            '[submodule "absent"]\n\tpath = vendor/absent\n\turl = https://x.org/absent\n'
            '[submodule "out"]\n\tpath = ../../secret\n\turl = https://x.org/out\n'
            '[submodule "half"]\n\tpath = vendor\n',
        )
    write(tmp_path / "build/sources/other.submodules.json", json.dumps({"vendor/inner": "a" * 40}))
    write(tmp_path / "build/sources/odd.submodules.json", "[1, 2")
    (tmp_path / "build/secret").mkdir()
    found = run(tmp_path)
    url = "https://x.org/inner.git"
    assert found["submodules"] == [
        {"path": "demo/vendor/inner", "url": url, "commit": ""},
        {"path": "sources/other/vendor/inner", "url": url, "commit": "a" * 40},
    ]
    assert found["licence_files"] == {
        "demo/vendor/inner": ["LICENSE"],
        "sources/other/vendor/inner": ["LICENSE"],
    }


@pytest.mark.parametrize("text", ["\0\xff[", "[submodule", "path = \n url = \n", "[[[]]]" * 99])
def test_a_damaged_gitmodules_names_none(tmp_path: Path, text: str) -> None:
    write(tmp_path / "build/demo/.gitmodules", text)
    assert run(tmp_path)["submodules"] == []


def test_crates_have_their_manifests_licence_and_what_cargo_said(tmp_path: Path) -> None:
    for name, text in {
        "vendor/one-1.0.0": '[package]\nname = "one"\nlicense = "MIT/Apache-2.0"\n',
        "git-0/two-2.0.0": 'package = { license = "x" }\n',
    }.items():
        write(tmp_path / "crates" / name / "Cargo.toml", text)
    log = "   Compiling one v1.0.0\n   Compiling three v3.0.0+meta (/opt/crates/x)\n Compiled\n"
    found = run(tmp_path, log, crates=tmp_path / "crates")
    assert found["crate_licences"] == {"one-1.0.0": "MIT OR Apache-2.0"}
    assert found["compiled"] == ["one-1.0.0", "three-3.0.0+meta"]


@pytest.fixture
def toolkit(tmp_path: Path) -> Path:
    """An unpacked wheel with a static library."""
    folder = tmp_path / "toolkit"
    write(folder / "nvidia/cu13/lib/libcudart_static.a", "!<arch>\nsomething")
    row = "nvidia/cu13/lib/libcudart_static.a,sha256=x,7\n"
    write(folder / "nvidia_cuda_runtime-13.0.48.dist-info/RECORD", row)
    return folder / "nvidia/cu13/lib"


@pytest.mark.parametrize(
    "how", ["{0}/libcudart_static.a", "-L{0} -lcudart_static -lm", '-L"{0}" -lcudart_static -lm']
)
@pytest.mark.parametrize(
    "where", ["build.ninja", "CMakeFiles/rules.ninja", "CMakeFiles/x.dir/link.txt", "log"]
)
def test_a_static_library_of_a_wheel_is_that_package(
    tmp_path: Path, toolkit: Path, how: str, where: str
) -> None:
    line = f"  LINK_LIBRARIES = -Wl,-rpath,{toolkit} {how.format(toolkit)} -ldl\n"
    write(tmp_path / "build/demo/libown.a", "!<arch>\nsomething")
    write(tmp_path / "empty/libdl.a", "!<arch>\n")
    line += f"{tmp_path}/build/demo/libown.a {tmp_path}/empty/libdl.a /nowhere/libother.a\n"
    if where != "log":
        write(tmp_path / "build/demo/build" / where, line)
    (only,) = run(tmp_path, line if where == "log" else "")["static"]
    assert (only["kind"], only["name"], only["version"]) == (
        "pypi",
        "nvidia-cuda-runtime",
        "13.0.48",
    )
    assert [file["name"] for file in only["files"]] == ["libcudart_static.a"]
    assert len(only["files"][0]["sha256"]) == 64


def test_a_library_that_is_there_shared_too_was_not_linked_static(
    tmp_path: Path, toolkit: Path
) -> None:
    write(toolkit / "libcudart_static.so", "")
    assert run(tmp_path, f"g++ -L{toolkit} -lcudart_static\n")["static"] == []


@pytest.mark.skipif(not shutil.which("dpkg-query"), reason="not a Debian system")
def test_a_static_library_of_debian_is_its_package(tmp_path: Path) -> None:
    listed = subprocess.run(
        ["dpkg-query", "--search", "*/libc.a"], capture_output=True, text=True, check=False
    )
    path = listed.stdout.strip().rpartition(": ")[2]
    if not path or not os.path.exists(path):  # noqa: PTH110 - text of a program
        pytest.skip("no static C library is installed here")
    (only,) = run(tmp_path, f"gcc -static {path}\n")["static"]
    assert (only["kind"], only["name"]) == ("deb", "libc6-dev")
    assert only["version"]


def test_a_static_library_that_nobody_owns_is_left_out(tmp_path: Path) -> None:
    write(tmp_path / "other/libx.a", "!<arch>\nsomething")
    assert run(tmp_path, f"g++ {tmp_path}/other/libx.a")["static"] == []
