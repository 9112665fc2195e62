"""Empty libraries in the place of those that are not there: real ones, loaded for real."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from farm.inside.stubs import EXIT_UNUSABLE, main

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler here")


def library(folder: Path, name: str, text: str, *flags: str) -> Path:
    """Compile a library; it may need others that lie in the same folder."""
    path = folder / name
    command = ["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", str(path), "-x", "c", "-"]
    command += ["-x", "none", f"-L{folder}", *flags]
    subprocess.run(command, input=text, text=True, check=True)
    return path


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library that needs one with hardware, which is not there, and another, which is."""
    monkeypatch.setenv("CC", "cc")
    folder = tmp_path / "root"
    folder.mkdir()
    driver = library(folder, "libdriver.so.1", "int drive(void){return 0;} int unused;")
    library(folder, "libother.so.1", "int other(void){return 1;}")
    text = "int drive(void); int other(void); int both(void){return drive() + other();}"
    library(folder, "libuser.so", text, "-l:libdriver.so.1", "-l:libother.so.1")
    driver.unlink()
    (folder / "libscript.so").write_text("INPUT(libc.so.6)")
    (folder / "liblink.so").symlink_to("libuser.so")
    return folder


def loaded(folder: Path, stubs: Path) -> str:
    """What a program says that loads the library, every function bound at once."""
    text = f"import ctypes; print(ctypes.CDLL({str(folder / 'libuser.so')!r}).both())"
    done = subprocess.run(
        [sys.executable, "-c", text], capture_output=True, text=True, check=False,
        env={"LD_LIBRARY_PATH": f"{folder}:{stubs}"},
    )  # fmt: skip
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("arguments", [["libdriver.so.1"], ["--driver", "libdriver.so.1"]])
def test_what_needs_a_library_that_is_not_there_can_be_loaded(
    root: Path, tmp_path: Path, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    stubs = tmp_path / "stubs"
    assert "libdriver.so.1: cannot open" in loaded(root, stubs)
    assert main(["--root", str(root), "--out", str(stubs), *arguments]) == 0
    assert [path.name for path in stubs.iterdir()] == ["libdriver.so.1"]
    assert loaded(root, stubs) == "1000"
    # Only what is found nowhere else: another's functions are not hidden.
    assert "an empty one, with 1 functions" in capsys.readouterr().out


def test_a_driver_that_nothing_needs_is_not_made(root: Path, tmp_path: Path) -> None:
    arguments = ["--driver", "libnowhere.so.1", "--driver", "libother.so.1"]
    assert main(["--root", str(root), "--out", str(tmp_path / "stubs"), *arguments]) == 0
    assert list((tmp_path / "stubs").iterdir()) == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("libnowhere.so.1", "nothing needs libnowhere.so.1: take it out"),
        ("libother.so.1", "libother.so.1 is there: smoke_test.stubs must not name it"),
    ],
)
def test_one_that_the_recipe_names_must_be_needed_and_missing(
    root: Path, tmp_path: Path, name: str, reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["--root", str(root), "--out", str(tmp_path / "stubs"), name])
    assert status == EXIT_UNUSABLE
    assert f"farm: error: stubs: {reason}" in capsys.readouterr().err


def test_libraries_to_link_with_do_not_count_as_there(root: Path, tmp_path: Path) -> None:
    (root / "stubs").mkdir()
    library(root / "stubs", "libdriver.so.1", "int drive(void){return 0;}")
    assert main(["--root", str(root), "--out", str(tmp_path / "stubs"), "libdriver.so.1"]) == 0
    assert loaded(root, tmp_path / "stubs") == "1000"


def test_without_a_compiler_it_says_so(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for value, reason in (("", "CC is not set"), ("/nowhere/cc", "cannot be run")):
        monkeypatch.setenv("CC", value)
        arguments = ["--root", str(root), "--out", str(tmp_path / "stubs"), "libdriver.so.1"]
        assert main(arguments) == EXIT_UNUSABLE
        assert reason in capsys.readouterr().err


def test_a_damaged_library_is_told_and_no_traceback(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "libbroken.so").write_bytes(b"\x7fELF" + b"\xff" * 60)
    status = main(["--root", str(root), "--out", str(tmp_path / "stubs"), "libdriver.so.1"])
    assert status == EXIT_UNUSABLE
    assert "libbroken.so" in capsys.readouterr().err
