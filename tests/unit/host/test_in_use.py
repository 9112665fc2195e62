"""Builds share a folder, cleaning has it alone, and a killed build holds nothing."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from farm.errors import StorageError
from farm.host.in_use import alone, in_use
from tests.support.uses import is_used

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from pathlib import Path
from farm.host.in_use import in_use
with in_use(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_any_number_of_farms_may_use_a_folder(tmp_path: Path) -> None:
    with in_use(tmp_path), in_use(tmp_path):
        assert is_used(tmp_path)
    assert not is_used(tmp_path)


def test_nobody_has_it_alone_while_it_is_used(tmp_path: Path) -> None:
    with (
        in_use(tmp_path),
        pytest.raises(StorageError, match="right now: not cleaned"),
        alone(tmp_path, purpose="cleaned"),
    ):
        pytest.fail("unreachable")
    with alone(tmp_path, purpose="cleaned"):
        pass


def test_a_killed_farm_holds_nothing(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert is_used(tmp_path)
        child.kill()
        child.wait()
    assert not is_used(tmp_path)


def test_a_build_waits_for_the_end_of_cleaning_and_gets_the_new_folder(tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    folder.mkdir()
    begun = threading.Event()

    def build() -> None:
        with in_use(folder):
            begun.set()

    with alone(folder, purpose="cleaned"):
        thread = threading.Thread(target=build)
        thread.start()
        assert not begun.wait(0.3)
        (folder / ".in-use").unlink()
        folder.rmdir()
    thread.join(60)
    assert begun.is_set()
    assert (folder / ".in-use").exists()


def test_an_absent_folder_is_not_made_by_cleaning(tmp_path: Path) -> None:
    with alone(tmp_path / "absent", purpose="cleaned"):
        assert not (tmp_path / "absent").exists()


def test_a_file_in_the_folders_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"), in_use(tmp_path / "file"):
        pytest.fail("unreachable")
