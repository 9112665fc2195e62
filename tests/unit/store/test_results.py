"""Results: served only whole, intact and for the very unit; replaced in one piece."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from farm.errors import ExitCode, StorageError
from farm.host.files import storage_error
from farm.host.locks import holding
from farm.model.unit import UnitKey
from farm.store.record import NAME, Record, WheelFile, write_record
from farm.store.results import KEPT, STATE, Result, ResultStore, find_result, result_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KEY = UnitKey(package="demo", version="1.0", variant="cpu")
IDENTITY, OTHER = "ab" * 32, "cd" * 32
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
def store(tmp_path: Path) -> ResultStore:
    return ResultStore(tmp_path / "cache/results")


def kept(store: ResultStore, record: Record | None = None, content: bytes = CONTENT) -> Result:
    """A result that was made and kept."""
    record = record or record_of(content=content)
    with store.scratch() as folder:
        return store.keep(staged(folder / "made", record, content), KEY, record.identity)


@pytest.fixture
def out(tmp_path: Path, store: ResultStore) -> Path:
    """An output folder with one result."""
    store.show(kept(store), tmp_path / "out", KEY)
    return tmp_path / "out"


def test_a_whole_result_is_found_by_its_identity(out: Path) -> None:
    found = find_result(out, KEY, IDENTITY)
    assert found is not None
    assert found.record == record_of()
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


def test_what_is_kept_is_found_by_key_and_identity_alone(store: ResultStore) -> None:
    assert kept(store).record == record_of()
    assert store.find(KEY, IDENTITY)
    assert store.find(KEY, OTHER) is None
    assert store.find(UnitKey(package="demo", version="1.0", variant="cuda"), IDENTITY) is None


def test_two_projects_show_one_result_and_harm_to_one_harms_no_other(
    store: ResultStore, tmp_path: Path
) -> None:
    result = kept(store)
    views = [store.show(result, tmp_path / name, KEY).folder for name in ("a", "b")]
    (views[0] / WHEEL).write_bytes(b"harmed")
    assert find_result(tmp_path / "a", KEY, IDENTITY) is None
    assert find_result(tmp_path / "b", KEY, IDENTITY)
    assert store.find(KEY, IDENTITY)
    store.show(result, tmp_path / "a", KEY)
    assert find_result(tmp_path / "a", KEY, IDENTITY)


def test_a_new_result_takes_the_place_of_the_old_one_whole(
    out: Path, store: ResultStore, tmp_path: Path
) -> None:
    (result_folder(out, KEY) / "left-over").write_text("of before")
    record = record_of(identity=OTHER, content=b"new")
    shown = store.show(kept(store, record, b"new"), out, KEY)
    assert find_result(out, KEY, OTHER) == Result(record=record, folder=shown.folder)
    assert find_result(out, KEY, IDENTITY) is None
    assert sorted(path.name for path in shown.folder.iterdir()) == [WHEEL, "logs", NAME]
    assert not list((out / STATE).glob("view-*"))
    assert not list(store.root.glob(".new-*"))


def test_going_back_to_an_earlier_identity_needs_no_build(out: Path, store: ResultStore) -> None:
    store.show(kept(store, record_of(identity=OTHER, content=b"new"), b"new"), out, KEY)
    earlier = store.find(KEY, IDENTITY)
    assert earlier is not None
    store.show(earlier, out, KEY)
    assert find_result(out, KEY, IDENTITY)


def test_what_only_a_view_still_holds_is_kept_before_it_is_replaced(
    out: Path, store: ResultStore
) -> None:
    shutil.rmtree(store.root)
    store.show(kept(store, record_of(identity=OTHER, content=b"new"), b"new"), out, KEY)
    assert store.find(KEY, IDENTITY)


def test_what_a_view_holds_no_more_whole_is_not_kept(out: Path, store: ResultStore) -> None:
    shutil.rmtree(store.root)
    _cut(result_folder(out, KEY) / WHEEL)
    store.show(kept(store, record_of(identity=OTHER, content=b"new"), b"new"), out, KEY)
    assert not store.folder(KEY, IDENTITY).exists()


def test_of_many_results_of_a_unit_those_used_last_stay(store: ResultStore) -> None:
    names = [f"{n:02d}" * 32 for n in range(KEPT + 2)]
    for number, name in enumerate(names):
        folder = kept(store, record_of(identity=name)).folder
        os.utime(folder, (number, number))
    left = {path.name for path in store.folder(KEY, "x").parent.iterdir() if path.is_dir()}
    assert left == set(names[-KEPT:])


def test_a_result_that_is_being_used_is_not_pruned(store: ResultStore) -> None:
    first = kept(store).folder
    os.utime(first, (0, 0))
    with holding(store.lock(KEY, IDENTITY)):
        for number in range(KEPT + 1):
            kept(store, record_of(identity=f"{number:02d}" * 32))
    assert first.is_dir()


def test_siblings_stay(out: Path, store: ResultStore) -> None:
    other = UnitKey(package="demo", version="1.0", variant="cuda")
    with store.scratch() as folder:
        made = staged(folder / "made", record_of(other))
        store.show(store.keep(made, other, IDENTITY), out, other)
    assert find_result(out, KEY, IDENTITY)
    assert find_result(out, other, IDENTITY)


@pytest.mark.parametrize("killed", [0, 1, 2])
def test_killed_at_any_point_the_old_the_new_or_none_is_served(
    out: Path, store: ResultStore, killed: int
) -> None:
    """What showing does, one rename after the other, ended after ``killed`` of them."""
    new = record_of(identity=OTHER, content=b"new")
    result = kept(store, new, b"new")
    made = out / STATE / "view-x"
    shutil.copytree(result.folder, made)
    target = result_folder(out, KEY)
    renames = [(target, made.with_name("view-x.old")), (made, target)]
    for old_name, new_name in renames[:killed]:
        old_name.rename(new_name)
    served = [bool(find_result(out, KEY, identity)) for identity in (IDENTITY, OTHER)]
    assert served == [[True, False], [False, False], [False, True]][killed]
    store.show(result, out, KEY)
    assert find_result(out, KEY, OTHER)
    assert store.find(KEY, IDENTITY)


def test_what_cannot_be_kept_leaves_nothing(store: ResultStore, tmp_path: Path) -> None:
    place = store.folder(KEY, IDENTITY).parent
    place.parent.mkdir(parents=True)
    place.write_text("a file in the way")
    made = staged(tmp_path / "made")
    with pytest.raises(StorageError, match="cannot write"):
        store.keep(made, KEY, IDENTITY)
    assert (made / WHEEL).exists()


def test_a_file_in_the_way_is_a_storage_error(store: ResultStore, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(StorageError) as caught:
        store.show(kept(store), tmp_path / "out", KEY)
    assert caught.value.code is ExitCode.STORAGE
    assert store.find(KEY, IDENTITY)


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


def test_a_disk_that_is_really_full_serves_what_was_there_before(
    store: ResultStore, tiny: Path
) -> None:
    store.show(kept(store), tiny, KEY)
    new = kept(store, record_of(identity=OTHER, content=b"new"), b"new")
    with pytest.raises(OSError, match="No space left"):
        (tiny / "ballast").write_bytes(b"\0" * 2**17)
    with pytest.raises(StorageError, match="no space left"):
        store.show(new, tiny, KEY)
    assert find_result(tiny, KEY, IDENTITY)
    (tiny / "ballast").unlink()
    store.show(new, tiny, KEY)
    assert find_result(tiny, KEY, OTHER)
