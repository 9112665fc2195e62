"""``farm engine`` where no engine runs; what it does with one is in tests/integration."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode
from farm.host.in_use import in_use

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Farm


def test_status_without_an_engine_says_so_and_makes_nothing(farm: Farm, tmp_path: Path) -> None:
    ended = farm("engine", "status")
    assert ended.code == 0
    assert "does not run" in ended.out
    assert "not prepared yet" in ended.out
    assert not (tmp_path / "cache").exists()


def test_status_as_json(farm: Farm) -> None:
    told = farm("engine", "status", "--json").json
    assert told["running"] is False
    assert told["facts"] is None
    assert told["data_bytes"] == 0


def test_down_without_an_engine_is_no_error(farm: Farm, tmp_path: Path) -> None:
    ended = farm("engine", "down")
    assert (ended.code, ended.out) == (0, "the private engine did not run\n")
    assert not (tmp_path / "cache").exists()


def test_down_refuses_while_another_farm_builds_and_force_does_not(
    farm: Farm, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    with in_use(cache):
        ended = farm("engine", "down")
        assert ended.code == ExitCode.ENGINE
        assert "another farm is at work" in ended.err
        assert "--force" in ended.err
        assert farm("engine", "down", "--force").code == 0
    assert farm("engine", "down").code == 0


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("n", 7), ("", 7)])
def test_down_asks_at_a_terminal_whether_other_builds_are_to_end(
    farm: Farm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(f"{answer}\n"))
    with in_use(tmp_path / "cache"):
        ended = farm("engine", "down")
    assert ended.code == code
    assert "end its builds?" in ended.err


def test_data_that_the_engine_could_not_start_with_is_shown(farm: Farm, tmp_path: Path) -> None:
    aside = tmp_path / "cache/engine/data.aside-20260101T000000"
    aside.mkdir(parents=True)
    assert str(aside) in farm("engine", "status").out
    assert farm("engine", "status", "--json").json["aside"] == [str(aside)]
    assert "could not start with" in farm("clean").out


def test_reset_removes_the_engines_folder_and_nothing_else(farm: Farm, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    for name in ("engine/data", "store"):
        (cache / name).mkdir(parents=True)
        (cache / name / "file").write_bytes(b"x" * 10_000)
    (cache / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    ended = farm("engine", "reset")
    assert ended.code == 0
    assert "freed" in ended.out
    assert not (cache / "engine").exists()
    assert (cache / "store/file").exists()
    assert farm("engine", "reset").out == "there was nothing to remove\n"


def test_reset_refuses_a_folder_that_farm_did_not_make(farm: Farm, tmp_path: Path) -> None:
    (tmp_path / "cache/engine").mkdir(parents=True)
    ended = farm("engine", "reset")
    assert ended.code == ExitCode.STORAGE
    assert "CACHEDIR.TAG" in ended.err
    assert (tmp_path / "cache/engine").exists()
