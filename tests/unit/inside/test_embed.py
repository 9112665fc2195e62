"""An SBOM becomes a member of its wheel, and all else in it stays bit for bit."""

from __future__ import annotations

import base64
import hashlib
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.inside.embed import main
from farm.inspect.policy import check_alone
from farm.inspect.wheel import read_wheel
from tests.support.fake_engine import minimal_wheel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TEXT = b'{"bomFormat": "CycloneDX"}\n'
SBOM = "demo-1.0.dist-info/sboms/farm.cdx.json"
KEPT = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)


def wheel_at(folder: Path, files: dict[str, bytes] | None = None) -> Path:
    """A wheel with an SBOM beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    name, content = minimal_wheel("demo", "1.0", files=files or {})
    path = folder / name
    path.write_bytes(content)
    (folder / f"{name}.cdx.json").write_bytes(TEXT)
    return path


def rewritten(path: Path, order: Sequence[str], packing: int = zipfile.ZIP_STORED) -> None:
    """The same members in another order, packed otherwise."""
    with zipfile.ZipFile(path) as source:
        content = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(path, "w", packing) as target:
        for name in order:
            target.writestr(name, content[name])


def test_it_is_a_member_and_a_line_of_record_and_the_wheel_stays_sound(tmp_path: Path) -> None:
    path = wheel_at(tmp_path)
    path.chmod(0o644)
    before = path.read_bytes()
    with zipfile.ZipFile(path) as source:
        names = source.namelist()
    assert main([str(tmp_path)]) == 0
    with zipfile.ZipFile(path) as source:
        assert source.namelist() == [*names[:-1], SBOM, names[-1]]
        assert source.read(SBOM) == TEXT
        rows = source.read(names[-1]).decode().splitlines()
        record = source.getinfo(names[-1])
        assert source.getinfo(SBOM).date_time == record.date_time
        start = source.getinfo(SBOM).header_offset
    digest = base64.urlsafe_b64encode(hashlib.sha256(TEXT).digest()).rstrip(b"=").decode()
    assert rows[-2:] == [f"{SBOM},sha256={digest},{len(TEXT)}", "demo-1.0.dist-info/RECORD,,"]
    assert path.read_bytes()[:start] == before[:start]  # not packed again
    facts = read_wheel(path)
    assert facts.problems == ()
    assert [f for f in check_alone(facts) if "sbom" in f.message.lower()] == []
    assert path.stat().st_mode & 0o777 == 0o644


def test_twice_from_the_same_gives_the_same_bytes(tmp_path: Path) -> None:
    paths = [wheel_at(tmp_path / name) for name in "ab"]
    assert [main([str(path.parent)]) for path in paths] == [0, 0]
    assert paths[0].read_bytes() == paths[1].read_bytes()


@KEPT
@given(data=st.data(), packing=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]))
def test_wherever_record_lies_and_however_it_is_packed(
    tmp_path: Path, data: st.DataObject, packing: int
) -> None:
    files = {f"demo/{n}.py": bytes([n]) * n * 999 for n in range(4)}
    path = wheel_at(tmp_path, files)
    with zipfile.ZipFile(path) as source:
        order = data.draw(st.permutations(source.namelist()))
    rewritten(path, order, packing)
    assert main([str(tmp_path)]) == 0
    with zipfile.ZipFile(path) as source:
        assert source.testzip() is None
        assert source.getinfo(SBOM).compress_type == packing
        assert sorted(source.namelist()) == sorted([*order, SBOM])
        assert source.read("demo/3.py") == files["demo/3.py"]
    assert read_wheel(path).problems == ()


def test_the_sboms_of_others_stay(tmp_path: Path) -> None:
    theirs = {SBOM: b"{}", "demo-1.0.dist-info/sboms/cargo.cdx.json": b"{}"}
    path = wheel_at(tmp_path, theirs)
    assert main([str(tmp_path)]) == 0
    with zipfile.ZipFile(path) as source:
        assert {name: source.read(name) for name in theirs} == theirs
        assert source.read(SBOM.replace("farm.", "farm-2.")) == TEXT
    assert read_wheel(path).problems == ()


def test_what_a_package_vendors_is_not_taken_for_it(tmp_path: Path) -> None:
    inner = {"demo/vendor/x-1.dist-info/RECORD": b"", "demo/vendor/x-1.dist-info/METADATA": b""}
    path = wheel_at(tmp_path, inner)
    assert main([str(tmp_path)]) == 0
    with zipfile.ZipFile(path) as source:
        assert source.read(SBOM) == TEXT
        assert source.read("demo/vendor/x-1.dist-info/RECORD") == b""


def damaged(path: Path, how: str) -> None:
    if how == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    elif how == "no zip":
        path.write_bytes(b"no zip")
    elif how == "no record":
        with zipfile.ZipFile(path) as source:
            names = [name for name in source.namelist() if not name.endswith("RECORD")]
        rewritten(path, names)
    elif how == "no text":
        with zipfile.ZipFile(path, "w") as target:
            target.writestr("demo-1.0.dist-info/RECORD", b"\xff\xfe")
    elif how == "twice":
        with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as target:
            target.writestr("demo/__init__.py", b"")


@pytest.mark.parametrize("how", ["cut", "no zip", "no record", "no text", "twice"])
def test_what_is_no_whole_wheel_stays_as_it_is(tmp_path: Path, how: str) -> None:
    path = wheel_at(tmp_path)
    damaged(path, how)
    before = path.read_bytes()
    assert main([str(tmp_path)]) == 0
    assert path.read_bytes() == before


def test_a_wheel_without_an_sbom_beside_it_stays_as_it_is(tmp_path: Path) -> None:
    path = wheel_at(tmp_path)
    (tmp_path / f"{path.name}.cdx.json").unlink()
    before = path.read_bytes()
    assert main([str(tmp_path)]) == 0
    assert path.read_bytes() == before


def test_a_full_disk_is_told_and_the_wheel_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = wheel_at(tmp_path)
    before = path.read_bytes()
    path.with_suffix(".new").symlink_to("/dev/full")
    assert main([str(tmp_path)]) == 74
    assert "farm: error: embed: " in capsys.readouterr().err
    assert path.read_bytes() == before
