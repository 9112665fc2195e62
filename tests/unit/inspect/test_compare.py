"""Wheels that differ in one way each: the way is named, and nothing else is."""

from __future__ import annotations

import os
import py_compile
import random
import shutil
import stat
import subprocess
import time
import zipfile
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.errors import CheckError
from farm.inspect.causes import REMEDIES, Cause, why
from farm.inspect.compare import Difference, explain
from tests.unit.inspect.test_wheel import WheelMaker

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = """\
#include <stdio.h>
int answer(int n) { printf("%s %s\\n", FILE_NAME, WHEN); return n * FACTOR; }
"""


def compiled(folder: Path, *flags: str, where: str = "src") -> bytes:
    """A shared object that a real compiler made; what is not said is always the same."""
    place = folder / where
    place.mkdir(parents=True, exist_ok=True)
    (place / "core.c").write_text(SOURCE)
    given = {flag.partition("=")[0] for flag in flags}
    usual = ("-DFACTOR=2", '-DFILE_NAME="core.c"', '-DWHEN="then"')
    rest = [flag for flag in usual if flag.partition("=")[0] not in given]
    argv = ["gcc", "-shared", "-fPIC", "-O1", *rest, *flags, "core.c", "-o", "core.so"]
    subprocess.run(argv, cwd=place, check=True)
    return (place / "core.so").read_bytes()


def wheels(tmp_path: Path, one: dict[str, bytes], other: dict[str, bytes]) -> tuple[Path, Path]:
    """Two wheels, alike but for these files."""
    found = []
    for name, files in (("one", one), ("other", other)):
        folder = tmp_path / name
        folder.mkdir()
        written = WheelMaker(folder=folder, files=files).write()
        found.append(restamped(written))
    return found[0], found[1]


def restamped(path: Path, **changed: object) -> Path:
    """Write a wheel's members anew, all of one time, with what is changed of the first."""
    with zipfile.ZipFile(path) as source:
        members = [(info.filename, source.read(info)) for info in source.infolist()]
    path.unlink()
    with zipfile.ZipFile(path, "w") as target:
        for number, (name, data) in enumerate(members):
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFREG | 0o644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            for key, value in changed.items() if number == 0 else ():
                setattr(info, key, value)
            target.writestr(info, data)
    return path


def causes(pair: tuple[Path, Path]) -> dict[str, set[Cause]]:
    """Causes by member, without RECORD, which always follows."""
    found: dict[str, set[Cause]] = {}
    for each in explain(*pair):
        if each.cause is not Cause.RECORD:
            found.setdefault(each.path, set()).add(each.cause)
    return found


FILES = {"demo_pkg/__init__.py": b"x = 1\n", "demo_pkg/data.txt": b"words " * 100}


@pytest.fixture
def same(tmp_path: Path) -> tuple[Path, Path]:
    return wheels(tmp_path, FILES, FILES)


def test_the_same_bytes_differ_in_nothing(same: tuple[Path, Path]) -> None:
    assert same[0].read_bytes() == same[1].read_bytes()
    assert explain(*same) == ()


@pytest.mark.parametrize(
    ("changed", "cause", "told"),
    [
        ({"date_time": (2026, 11, 28, 10, 0, 2)}, Cause.TIME, "1980-01-01 00:00:00 → 2026-11-28"),
        ({"external_attr": (stat.S_IFREG | 0o755) << 16}, Cause.PERMISSIONS, "100644 → 100755"),
        ({"compress_type": zipfile.ZIP_STORED}, Cause.COMPRESSION, "deflated → stored"),
        ({"create_system": 0}, Cause.ARCHIVE, "system 3"),
        ({"comment": b"c"}, Cause.ARCHIVE, "no member differs"),
    ],
)
def test_what_the_directory_says_otherwise_is_the_archives(
    same: tuple[Path, Path], changed: dict[str, object], cause: Cause, told: str
) -> None:
    restamped(same[1], **changed)
    (found,) = explain(*same)
    assert (found.path, found.cause) == ("", cause)
    assert told in found.message


def test_members_in_another_order_and_packed_by_another_level(same: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(same[1]) as source:
        members = [(info, source.read(info)) for info in source.infolist()]
    with zipfile.ZipFile(same[1], "w") as target:
        for info, data in reversed(members):
            target.writestr(info, data)
    assert causes(same) == {"": {Cause.ORDER}}
    with zipfile.ZipFile(same[1], "w") as target:
        for info, data in members:
            target.writestr(info, data, compresslevel=0)
    assert causes(same) == {"": {Cause.COMPRESSION}}


def test_files_that_one_lacks(tmp_path: Path) -> None:
    pair = wheels(tmp_path, FILES, {"demo_pkg/__init__.py": b"x = 1\n", "demo_pkg/new.py": b""})
    found = {each.path: each for each in explain(*pair)}
    assert found["demo_pkg/data.txt"].message == "only in the first"
    assert found["demo_pkg/new.py"].message == "only in the second"
    record = found["demo_pkg-1.0.dist-info/RECORD"]
    assert (record.cause, "follows from" in record.message) == (Cause.RECORD, True)


@pytest.mark.parametrize(
    ("one", "other", "cause"),
    [
        ("built 2026-11-28T10:00:01Z", "built 2026-11-27T09:59:59Z", Cause.TIME),
        ('WHEN = "Nov 28 2026"', 'WHEN = "Dec  1 2026"', Cause.TIME),
        ("at Sat, 28 Nov 2026 10:00:01", "at Fri, 27 Nov 2026 09:00:00", Cause.TIME),
        ("epoch = 1795860682", "epoch = 1795860999", Cause.TIME),
        ("from /build/a/setup.py", "from /home/b/c/setup.py", Cause.PATH),
        ("in /tmp/tmpab12cd34/x", "in /tmp/tmpzz98yy76/x", Cause.NAME),
        ("id 0123456789abcdef", "id fedcba9876543210", Cause.NAME),
        ("names: {'a', 'b', 'c'}", "names: {'c', 'a', 'b'}", Cause.ORDER),
        ("a\nb\nc", "c\na\nb", Cause.ORDER),
        ("/a/b 10:00:00 x", "/c/d 11:11:11 x", Cause.TIME),
        ("answer = 42", "answer = 43", Cause.CONTENT),
    ],
)
def test_texts_that_differ_say_why(one: str, other: str, cause: Cause) -> None:
    head = "a line that stays\n"
    assert why(f"{head}{one}\n".encode(), f"{head}{other}\n".encode()).cause is cause
    binary = [
        b"\0\1\2\3" + text.replace("\n", "\0pad\0").encode() + b"\0" for text in (one, other)
    ]
    if "\n" not in one:
        assert why(*binary).cause is cause


def so(tmp_path: Path, *flags: str, usual: tuple[str, ...] = (), where: str = "src") -> set[Cause]:
    """Causes in a shared object that is compiled otherwise once."""
    one, other = compiled(tmp_path, *usual), compiled(tmp_path, *usual, *flags, where=where)
    found = causes(wheels(tmp_path, {"demo_pkg/_C.so": one}, {"demo_pkg/_C.so": other}))
    assert set(found) == {"demo_pkg/_C.so"}
    return found["demo_pkg/_C.so"]


def test_a_time_in_an_object(tmp_path: Path) -> None:
    assert so(tmp_path, '-DWHEN="Nov 28 2026"', usual=('-DWHEN="Nov 27 2026"',)) >= {Cause.TIME}


def test_a_path_in_an_object(tmp_path: Path) -> None:
    usual = ('-DFILE_NAME="/build/first/core.c"', "-Wl,--build-id=sha1")
    found = so(tmp_path, '-DFILE_NAME="/build/the/second/core.c"', usual=usual)
    assert found == {Cause.PATH, Cause.BUILD_ID}


def test_the_folder_in_debug_information(tmp_path: Path) -> None:
    usual = ("-g", "-Wl,--build-id=sha1")
    assert so(tmp_path, usual=usual, where="elsewhere/src") == {Cause.PATH, Cause.BUILD_ID}


def test_only_the_build_id(tmp_path: Path) -> None:
    found = so(tmp_path, "-Wl,--build-id=0x5678", usual=("-Wl,--build-id=0x1234",))
    assert found == {Cause.BUILD_ID}


def test_other_code(tmp_path: Path) -> None:
    assert Cause.CODE in so(tmp_path, "-DFACTOR=3")


def test_another_compiler(tmp_path: Path) -> None:
    data = compiled(tmp_path)
    start = data.index(b"GCC: (")
    other = data[:start] + data[start:].replace(b"GCC: (", b"GCC: [", 1)
    found = causes(wheels(tmp_path, {"demo_pkg/_C.so": data}, {"demo_pkg/_C.so": other}))
    assert found == {"demo_pkg/_C.so": {Cause.COMPILER}}


def test_device_code(tmp_path: Path) -> None:
    plain = compiled(tmp_path)
    place = tmp_path / "src"
    made = []
    for content in (b"one kernel" * 9, b"two kernel" * 9):
        (place / "fatbin").write_bytes(content)
        shutil.copyfile(place / "core.so", place / "gpu.so")
        argv = ["objcopy", "--add-section", ".nv_fatbin=fatbin", "gpu.so"]
        subprocess.run(argv, cwd=place, check=True)
        made.append((place / "gpu.so").read_bytes())
    found = causes(wheels(tmp_path, {"demo_pkg/_C.so": made[0]}, {"demo_pkg/_C.so": made[1]}))
    assert found == {"demo_pkg/_C.so": {Cause.DEVICE_CODE}}
    (tmp_path / "again").mkdir()
    found = causes(wheels(tmp_path / "again", {"_C.so": plain}, {"_C.so": made[0]}))
    assert found == {"_C.so": {Cause.CONTENT}}


def bytecode(folder: Path, source_time: float) -> bytes:
    source, target = folder / "module.py", folder / "module.pyc"
    source.write_text("def f(x):\n    return x in {'one', 'two', 'three', 'four', 'five'}\n")
    os.utime(source, (source_time, source_time))
    py_compile.compile(str(source), str(target), "module.py", doraise=True)
    return target.read_bytes()


def test_bytecode(tmp_path: Path) -> None:
    first = bytecode(tmp_path, 1e9)
    later = bytecode(tmp_path, 1.1e9)
    assert causes(wheels(tmp_path, {"m.pyc": first}, {"m.pyc": later})) == {"m.pyc": {Cause.TIME}}
    # Pythons before 3.11 write sets in the order of the hash seed.
    other = first.replace(b"one", b"___").replace(b"two", b"one").replace(b"___", b"two")
    assert other != first
    (tmp_path / "seeds").mkdir()
    pair = wheels(tmp_path / "seeds", {"m.pyc": first}, {"m.pyc": other})
    assert causes(pair) == {"m.pyc": {Cause.ORDER}}
    (tmp_path / "pythons").mkdir()
    pair = wheels(tmp_path / "pythons", {"m.pyc": first}, {"m.pyc": b"\0" + first[1:]})
    assert causes(pair) == {"m.pyc": {Cause.COMPILER}}


def test_a_record_that_says_otherwise_of_what_is_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "made"
    folder.mkdir()
    good = WheelMaker(folder=folder, files=FILES).write()
    info = "demo_pkg-1.0.dist-info"
    with zipfile.ZipFile(good) as source:
        lines = source.read(f"{info}/RECORD").decode().splitlines()
    for name, record, cause in (
        ("order", [*lines[1:], lines[0]], Cause.ORDER),
        ("hash", [lines[0].replace("sha256=", "sha256=A"), *lines[1:]], Cause.CONTENT),
    ):
        other = tmp_path / name
        other.mkdir()
        text = "\n".join(record) + "\n"
        made = WheelMaker(folder=other, files=FILES, record=text).write()
        whole = tmp_path / f"whole-{name}"
        whole.mkdir()
        copied = whole / good.name
        copied.write_bytes(good.read_bytes())
        pair = restamped(copied), restamped(made)
        assert causes(pair) == {f"{info}/RECORD": {cause}}


def test_what_is_no_wheel_and_what_is_a_bomb(same: tuple[Path, Path], tmp_path: Path) -> None:
    cut = tmp_path / "cut.whl"
    cut.write_bytes(same[0].read_bytes()[:-30])
    with pytest.raises(CheckError, match="no whole zip file"):
        explain(same[0], cut)
    with pytest.raises(CheckError, match="cannot be read"):
        explain(same[0], tmp_path / "nowhere.whl")
    damaged = bytearray(same[1].read_bytes())
    at = damaged.index(b"demo_pkg/data.txt") + 25
    damaged[at : at + 4] = b"\xff\xff\xff\xff"
    same[1].write_bytes(damaged)
    assert Cause.UNREADABLE in {each.cause for each in explain(*same)}


def test_names_that_would_steer_a_terminal_are_shown_harmless(tmp_path: Path) -> None:
    pair = wheels(tmp_path, {"a.py": b""}, {"\x1b[2Ja.py": b"\x1b]0;x\x07"})
    for each in explain(*pair):
        assert each.path.isprintable()
        assert each.message.isprintable()


def test_a_large_member_is_looked_at_around_the_first_difference(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(17 << 20)  # noqa: S311 - any bytes that are always the same
    other = bytearray(data)
    other[9 << 20 : (9 << 20) + 12] = b"/build/a/b/c"
    one = bytearray(other)
    one[9 << 20 : (9 << 20) + 12] = b"/other/d/e/f"
    found = causes(wheels(tmp_path, {"m.bin": bytes(one)}, {"m.bin": bytes(other)}))
    assert found == {"m.bin": {Cause.PATH}}


MEMBERS = st.dictionaries(st.sampled_from("abcdef"), st.binary(max_size=40), max_size=4)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(one=MEMBERS, other=MEMBERS)
def test_something_is_told_exactly_if_a_byte_differs(
    tmp_path: Path, one: dict[str, bytes], other: dict[str, bytes]
) -> None:
    folder = tmp_path / str(time.monotonic_ns())
    folder.mkdir()
    pair = wheels(folder, one, other)
    found = explain(*pair)
    assert bool(found) == (pair[0].read_bytes() != pair[1].read_bytes())
    assert found == tuple(
        Difference(path=e.path, cause=e.cause, message=e.message, remedy=REMEDIES.get(e.cause, ""))
        for e in found
    )
