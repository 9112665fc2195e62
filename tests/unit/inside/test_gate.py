"""Which programs get the gate, and that it never costs a build its wheel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from farm.inside import gate

if TYPE_CHECKING:
    from pathlib import Path

COMPILERS = {
    *("gcc", "g++-14", "x86_64-linux-gnu-gcc-14", "clang++", "clang-19", "nvcc", "rustc", "cc"),
    *("c++", "gfortran-14", "amdclang"),
}
OTHERS = {"gcc-ar", "gcc-ranlib-14", "ccache", "clang-format", "cpp", "ld", "hipcc"}


def program(path: Path, text: str = "\x7fELF") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    for name in COMPILERS | OTHERS:
        program(tmp_path / "bin" / name)
    return tmp_path / "bin"


def test_only_programs_with_a_compilers_name_get_one(tools: Path) -> None:
    program(tools / "gcc-13", "#!/bin/sh\n")
    (tools / "g++").symlink_to("g++-14")
    (tools / "gcc-12").symlink_to("nowhere")
    (tools / "gcc-11").write_text("\x7fELF that cannot be run")
    (tools / "gcc-10").mkdir()
    assert {path.name for path in gate.compilers([tools, tools / "none"], ["cc", ""])} == COMPILERS


def test_those_that_a_variable_names_by_path_get_one_too(tools: Path, tmp_path: Path) -> None:
    own = program(tmp_path / "own/compiler")
    assert own in gate.compilers([tools], [str(own), str(tmp_path / "own/none"), "own/compiler"])


def taker(path: Path) -> Path:
    """A compiler whose output says that it was made."""
    script = '#!/bin/sh\nwhile [ "$1" != -o ]; do shift; done; printf "\\177ELF, the gate" >"$2"\n'
    return program(path, script)


def test_it_is_put_before_each_and_taken_away_again(
    tools: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CC", f"{taker(tmp_path / 'taker')} -std=c99")
    monkeypatch.setenv("PATH", str(tools))
    before = {path.name: path.read_bytes() for path in tools.iterdir()}
    for _ in range(2):  # a second time changes nothing
        assert gate.main(["install"]) == 0
    for name in COMPILERS:
        assert (tools / name).read_text() == "\x7fELF, the gate"
        assert (tools / name).stat().st_mode & 0o777 == 0o755
        assert (tools / f"{name}.real").read_bytes() == before[name]
    assert gate.main(["remove"]) == 0
    assert {path.name: path.read_bytes() for path in tools.iterdir()} == before


def test_where_no_compiler_takes_it_the_build_goes_on_without(
    tools: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path.name: path.read_bytes() for path in tools.iterdir()}
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setenv("CC", "/nowhere/cc")
    assert gate.main(["install"]) == 0
    assert "compilers run without a gate" in capsys.readouterr().out
    assert {path.name: path.read_bytes() for path in tools.iterdir()} == before


def test_without_any_compiler_there_is_nothing_to_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    assert gate.main(["install"]) == 0
    assert gate.main(["remove"]) == 0
    assert capsys.readouterr().out == ""
