"""Wheels are moved to the results and listed in the status."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from farm.inside.collect import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def status(out: Path) -> dict[str, object]:
    return dict(json.loads((out / "status.json").read_text()))


def test_wheels_are_moved_and_listed_by_name(tmp_path: Path) -> None:
    dist, out = tmp_path / "dist", tmp_path / "out"
    dist.mkdir()
    out.mkdir()
    (out / "status.json").write_text('{"exit_status": 0}')
    for name in ("b-1-py3-none-any.whl", "a-1-py3-none-any.whl", "a-1.tar.gz"):
        (dist / name).write_text(name)
    assert main([str(dist), "--out", str(out)]) == 0
    digest = hashlib.sha256(b"a-1-py3-none-any.whl").hexdigest()
    facts = status(out)
    assert facts["exit_status"] == 0
    assert isinstance(facts["wheels"], list)
    assert facts["wheels"][0] == {"name": "a-1-py3-none-any.whl", "sha256": digest, "size": 20}
    assert sorted(path.name for path in out.iterdir()) == [
        "a-1-py3-none-any.whl",
        "b-1-py3-none-any.whl",
        "status.json",
    ]
    assert [path.name for path in dist.iterdir()] == ["a-1.tar.gz"]


def test_no_wheel_is_a_fact_and_no_failure(tmp_path: Path) -> None:
    assert main([str(tmp_path / "none"), "--out", str(tmp_path)]) == 0
    assert status(tmp_path) == {"wheels": []}


def test_two_wheels_of_one_name_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.whl").write_text(folder)
    folders = [str(tmp_path / "one"), str(tmp_path / "two")]
    assert main([*folders, "--out", str(tmp_path / "out")]) == 68
    assert "farm: error: collect: two wheels are called a.whl" in capsys.readouterr().err
