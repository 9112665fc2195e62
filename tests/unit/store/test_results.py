"""Results: served only whole, intact and for the very unit; replaced in one piece."""

from __future__ import annotations

import errno
import hashlib
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode, StorageError
from farm.host.files import storage_error
from farm.model.unit import UnitKey
from farm.store.record import NAME, Record, WheelFile, read_record, write_record
from farm.store.results import find_result, publish, result_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = UnitKey(package="demo", version="1.0", variant="cpu")
IDENTITY = "ab" * 32
WHEEL = "demo-1.0-py3-none-any.whl"
CONTENT = b"a wheel"


def record_of(key: UnitKey = KEY, identity: str = IDENTITY, content: bytes = CONTENT) -> Record:
    wheel = WheelFile(
        filename=WHEEL, sha256=hashlib.sha256(content).hexdigest(), size_bytes=len(content)
    )
    return Record(
        unit=key.label, package=key.package, version=key.version, variant=key.variant,
        python="3.13", accelerator="cpu", archs=(), features=(), toolchain="cpu",
        host_compiler="gcc-14", identity=identity, outcome="built", wheels=(wheel,),
    )  # fmt: skip


def staged(folder: Path, record: Record | None = None, content: bytes = CONTENT) -> Path:
    folder.mkdir(parents=True)
    (folder / WHEEL).write_bytes(content)
    (folder / "logs").mkdir()
    (folder / "logs/build.log").write_text("said\n")
    write_record(folder, record or record_of(content=content))
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder with one result."""
    publish(staged(tmp_path / "run/result"), tmp_path / "out", KEY)
    return tmp_path / "out"


def test_a_whole_result_is_found_by_its_identity(out: Path) -> None:
    assert find_result(out, KEY, IDENTITY) == record_of()
    assert result_folder(out, KEY) == out / "demo-1.0/cpu"


def test_no_result_is_none(tmp_path: Path) -> None:
    assert find_result(tmp_path, KEY, IDENTITY) is None


def test_another_identity_is_never_served(out: Path) -> None:
    assert find_result(out, KEY, "cd" * 32) is None


@pytest.mark.parametrize(
    "other",
    [
        UnitKey(package="demo", version="1.0", variant="cuda"),
        UnitKey(package="demo", version="1.0", variant="cpu-py312"),
        UnitKey(package="demo", version="1.0.1", variant="cpu"),
        UnitKey(package="demon", version="1.0", variant="cpu"),
    ],
)
def test_a_wheel_is_never_served_for_another_unit_even_where_its_folder_was_moved(
    out: Path, other: UnitKey
) -> None:
    shutil.copytree(result_folder(out, KEY), result_folder(out, other))
    assert find_result(out, other, IDENTITY) is None


def _cut(wheel: Path) -> None:
    wheel.write_bytes(CONTENT[:-1])


def _changed(wheel: Path) -> None:
    wheel.write_bytes(CONTENT.upper())


def _grown(wheel: Path) -> None:
    wheel.write_bytes(CONTENT + b"\0")


def _removed(wheel: Path) -> None:
    wheel.unlink()


def _linked(wheel: Path) -> None:
    wheel.rename(wheel.with_name("other"))
    wheel.symlink_to("other")


def _a_folder(wheel: Path) -> None:
    wheel.unlink()
    wheel.mkdir()


@pytest.mark.parametrize("harm", [_cut, _changed, _grown, _removed, _linked, _a_folder])
def test_a_wheel_that_was_harmed_is_as_good_as_none(
    out: Path, harm: Callable[[Path], None]
) -> None:
    harm(result_folder(out, KEY) / WHEEL)
    assert find_result(out, KEY, IDENTITY) is None


@pytest.mark.parametrize("change", [{"outcome": "failed"}, {"wheels": ()}, {"unit": "demo@1.0:x"}])
def test_a_record_of_no_success_is_no_result(out: Path, change: dict[str, object]) -> None:
    write_record(result_folder(out, KEY), replace(record_of(), **change))  # type: ignore[arg-type]
    assert find_result(out, KEY, IDENTITY) is None


def test_one_of_two_wheels_is_not_a_result(out: Path) -> None:
    lost = WheelFile(filename="lost.whl", sha256="00" * 32, size_bytes=1)
    record = record_of()
    write_record(result_folder(out, KEY), replace(record, wheels=(*record.wheels, lost)))
    assert find_result(out, KEY, IDENTITY) is None


def test_a_new_result_takes_the_place_of_the_old_one_whole(out: Path, tmp_path: Path) -> None:
    (result_folder(out, KEY) / "left-over").write_text("of before")
    record = record_of(identity="cd" * 32, content=b"new")
    target = publish(staged(tmp_path / "run2/result", record, b"new"), out, KEY)
    assert find_result(out, KEY, "cd" * 32) == record
    assert find_result(out, KEY, IDENTITY) is None
    assert sorted(path.name for path in target.iterdir()) == [WHEEL, "logs", NAME]
    assert list((tmp_path / "run2").iterdir()) == []


def test_siblings_stay(out: Path, tmp_path: Path) -> None:
    other = UnitKey(package="demo", version="1.0", variant="cuda")
    publish(staged(tmp_path / "run2/result", record_of(other)), out, other)
    assert find_result(out, KEY, IDENTITY)
    assert find_result(out, other, IDENTITY)


@pytest.mark.parametrize("killed", [0, 1, 2])
def test_killed_at_any_point_the_old_the_new_or_none_is_served(
    out: Path, tmp_path: Path, killed: int
) -> None:
    """What `publish` does, one rename after the other, ended after ``killed`` of them."""
    new = record_of(identity="cd" * 32, content=b"new")
    staging, target = staged(tmp_path / "run2/result", new, b"new"), result_folder(out, KEY)
    renames = [(target, tmp_path / "run2/result.old"), (staging, target)]
    for old_name, new_name in renames[:killed]:
        old_name.rename(new_name)
    served = [find_result(out, KEY, identity) for identity in (IDENTITY, "cd" * 32)]
    assert served == [[record_of(), None], [None, None], [None, new]][killed]
    again = staged(tmp_path / "run3/result", new, b"new")
    publish(again, out, KEY)
    assert find_result(out, KEY, "cd" * 32) == new


def test_what_cannot_be_published_leaves_the_old_result(out: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot write"):
        publish(tmp_path / "nothing", out, KEY)
    assert find_result(out, KEY, IDENTITY)


def test_a_file_in_the_way_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError) as caught:
        publish(staged(tmp_path / "run/result"), tmp_path / "out", KEY)
    assert caught.value.code is ExitCode.STORAGE
    assert read_record(tmp_path / "run/result") == record_of()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told_with_what_makes_room(number: int, tmp_path: Path) -> None:
    error = storage_error(OSError(number, "x"), tmp_path)
    assert "no space left" in error.message
    assert "farm clean" in error.hint


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_is_really_full_serves_what_was_there_before(tiny: Path) -> None:
    publish(staged(tiny / "run/result"), tiny, KEY)
    new = record_of(identity="cd" * 32)
    staging = staged(tiny / "run2/result", new)
    with pytest.raises(OSError, match="No space left"):
        (tiny / "ballast").write_bytes(b"\0" * 2**17)
    with pytest.raises(StorageError, match="cannot write"):
        write_record(staging, new)
    assert find_result(tiny, KEY, IDENTITY) == record_of()
    publish(staging, tiny, KEY)  # needs no room: it only renames
    assert find_result(tiny, KEY, "cd" * 32) == new
