"""What will not fit is said before it starts: which disk, what for, how much."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode, StorageError
from farm.model.debian import Deb, DebSet, ResolvedBase
from farm.run.options import Workplace
from farm.run.room import UNPACKED, Need, needs_of_base, needs_of_unit, require_room
from farm.store.record import write_record
from tests.support.projects import demo_unit, project_at
from tests.unit.cli.test_clean import record

if TYPE_CHECKING:
    from pathlib import Path

HUGE = 1 << 60


def need(folder: Path, size: int, what: str = "its result") -> Need:
    return Need(folder=folder, size_bytes=size, what=what)


def test_what_fits_is_not_mentioned(tmp_path: Path) -> None:
    require_room("x", [need(tmp_path / "not/there/yet", 1), need(tmp_path, 0)])


def test_what_does_not_fit_is_told_with_all_figures(tmp_path: Path) -> None:
    with pytest.raises(StorageError) as caught:
        require_room("demo@1:cpu", [need(tmp_path / "a", HUGE), need(tmp_path / "b", 5, "logs")])
    error = caught.value
    assert error.code is ExitCode.STORAGE
    assert error.message.startswith("demo@1:cpu will not fit: it needs 1,152,921,504,606.8 MB")
    assert f"for its result in {tmp_path / 'a'}" in error.message
    assert f"for logs in {tmp_path / 'b'}" in error.message
    assert "--no-preflight" in error.hint


def test_folders_of_one_disk_share_what_is_free(tmp_path: Path) -> None:
    more_than_half = shutil.disk_usage(tmp_path).free * 6 // 10
    require_room("x", [need(tmp_path, more_than_half)])
    with pytest.raises(StorageError):
        require_room("x", [need(tmp_path, more_than_half), need(tmp_path / "b", more_than_half)])


def test_a_base_takes_its_packages_that_are_not_here_and_what_they_unpack_to(
    tmp_path: Path,
) -> None:
    debs = tuple(
        Deb(name=name, version="1", sha256=name * 64, size=1000, path=f"debian/{name}.deb")
        for name in "ab"
    )
    packages = DebSet.of(debs, "20261128T000000Z")
    base = ResolvedBase(suite="trixie", packages=packages, exclude_paths=(), origin="lock")
    fetched, made = needs_of_base(base, tmp_path, ["a" * 64])
    assert (fetched.size_bytes, made.size_bytes) == (1000, 2 * UNPACKED * 2000)


def test_a_unit_takes_what_its_last_result_took_else_what_its_sources_unpack_to(
    tmp_path: Path,
) -> None:
    unit = demo_unit(tmp_path / "project")
    place = Workplace(
        project=project_at(tmp_path / "other"), out=tmp_path / "out", cache=tmp_path / "cache"
    )
    source, layers = tmp_path / "source.tar.gz", tmp_path / "engine"
    source.write_bytes(b"x" * 100)

    def sizes() -> dict[Path, int]:
        needs = needs_of_unit(unit, place, {"d": source}, layers)
        return {each.folder: each.size_bytes for each in needs}

    assert sizes() == {place.cache / "kept": 0, place.out: 0, layers: 100 * (1 + UNPACKED)}
    kept = place.cache / "kept" / unit.key.folder / "0123"
    kept.mkdir(parents=True)
    (kept / "thing.whl").write_bytes(b"w" * 70_000)
    write_record(kept, replace(record("cpu"), package=unit.key.package, unit=unit.label))
    assert set(sizes()) == {place.cache / "kept", place.out}
    assert all(70_000 < size < 80_000 for size in sizes().values())
