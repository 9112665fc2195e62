"""Reading wheels: what is found, what is reported, what is refused."""

from __future__ import annotations

import base64
import hashlib
import stat
import struct
import warnings
import zipfile
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from farm.errors import CheckError
from farm.inspect import archive
from farm.inspect.wheel import read_wheel

if TYPE_CHECKING:
    from pathlib import Path

    from farm.inspect.facts import WheelFacts

ELF = b"\x7fELF\x02\x01\x01" + bytes(64)


def hashed(algorithm: str, data: bytes) -> str:
    digest = hashlib.new(algorithm, data).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def row(path: str, data: bytes) -> str:
    return f"{path},{hashed('sha256', data)},{len(data)}"


@dataclass
class WheelMaker:
    """Writes wheels; what is not said is right."""

    folder: Path
    package: str = "demo_pkg"
    version: str = "1.0"
    tag: str = "cp313-cp313-linux_x86_64"
    files: dict[str, bytes] = field(
        default_factory=lambda: {"demo_pkg/__init__.py": b"", "demo_pkg/_C.so": ELF}
    )
    metadata: str | None = None
    wheel: str | None = None
    record: str | None = None
    """All of RECORD; None for the right one."""
    without: tuple[str, ...] = ()
    """Files of .dist-info to leave out."""
    extra: tuple[tuple[str | zipfile.ZipInfo, bytes], ...] = ()
    """Members that RECORD does not list."""

    @property
    def info(self) -> str:
        return f"{self.package}-{self.version}.dist-info"

    def write(self) -> Path:
        version = self.version
        members = {
            **self.files,
            f"{self.info}/METADATA": (
                self.metadata
                or f"Metadata-Version: 2.1\nName: demo-pkg\nVersion: {version}\n"
                "Requires-Dist: torch==2.11.0\nRequires-Dist: numpy\n"
            ).encode(),
            f"{self.info}/WHEEL": (
                self.wheel or f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {self.tag}\n"
            ).encode(),
        }
        right = "\n".join([*(row(*item) for item in members.items()), f"{self.info}/RECORD,,", ""])
        members[f"{self.info}/RECORD"] = (right if self.record is None else self.record).encode()
        path = self.folder / f"{self.package}-{version}-{self.tag}.whl"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in members.items():
                if name.removeprefix(f"{self.info}/") not in self.without:
                    archive.writestr(name, data)
            for what, data in self.extra:
                archive.writestr(what, data)
        return path


@pytest.fixture
def maker(tmp_path: Path) -> WheelMaker:
    return WheelMaker(folder=tmp_path)


def codes(facts: WheelFacts) -> dict[str, tuple[str, ...]]:
    return {problem.code: problem.members for problem in facts.problems}


def test_a_right_wheel_has_facts_and_no_problem(maker: WheelMaker) -> None:
    path = maker.write()
    facts = read_wheel(path)
    assert facts.problems == ()
    assert (facts.name, facts.version, facts.build) == ("demo-pkg", "1.0", "")
    assert facts.tags == facts.wheel_tags == ("cp313-cp313-linux_x86_64",)
    assert (facts.metadata_name, facts.metadata_version) == ("demo-pkg", "1.0")
    assert facts.requires == ("torch==2.11.0", "numpy")
    assert (facts.file_count, facts.shared_objects) == (5, ("demo_pkg/_C.so",))
    data = path.read_bytes()
    assert (facts.sha256, facts.size_bytes) == (hashlib.sha256(data).hexdigest(), len(data))
    with zipfile.ZipFile(path) as source:
        assert facts.unpacked_bytes == sum(info.file_size for info in source.infolist())


def test_compressed_tags_are_expanded(maker: WheelMaker) -> None:
    maker.tag = "py2.py3-none-any"
    maker.wheel = "Wheel-Version: 1.0\nTag: py3-none-any\nTag: py2-none-any\n"
    facts = read_wheel(maker.write())
    assert facts.tags == facts.wheel_tags == ("py2-none-any", "py3-none-any")


def test_a_local_version_is_part_of_the_version(maker: WheelMaker) -> None:
    maker.version = "0.22.0+empty"
    facts = read_wheel(maker.write())
    assert (facts.version, facts.problems) == ("0.22.0+empty", ())


def test_shared_objects_are_told_by_their_bytes_and_not_by_their_names(maker: WheelMaker) -> None:
    maker.files = {
        "demo_pkg/data.bin": ELF,
        "demo_pkg/not.so": b"text",
        "demo_pkg/short": b"\x7fE",
    }
    assert read_wheel(maker.write()).shared_objects == ("demo_pkg/data.bin",)


def test_folders_are_no_files(maker: WheelMaker) -> None:
    maker.extra = (("demo_pkg/folder/", b""),)
    facts = read_wheel(maker.write())
    assert (facts.file_count, facts.problems) == (5, ())


@pytest.mark.parametrize(
    ("algorithm", "content", "code"),
    [("sha512", ELF, ""), ("sha384", b"other", "record-hash"), ("md5", ELF, "record-weak")],
)
def test_stronger_hashes_are_checked_and_weaker_ones_refused(
    maker: WheelMaker, algorithm: str, content: bytes, code: str
) -> None:
    old, new = hashed("sha256", ELF), hashed(algorithm, content)
    found = codes(changed_record(maker, old, new))
    assert found == ({code: ("demo_pkg/_C.so",)} if code else {})


def changed_record(maker: WheelMaker, old: str, new: str) -> WheelFacts:
    with zipfile.ZipFile(maker.write()) as source:
        text = source.read(f"{maker.info}/RECORD").decode()
    assert old in text
    maker.record = text.replace(old, new, 1)
    return read_wheel(maker.write())


def test_what_record_leaves_out_is_named(maker: WheelMaker) -> None:
    maker.extra = (("demo_pkg/added.py", b"import os"), ("other/x.py", b""))
    assert codes(read_wheel(maker.write())) == {
        "record-unlisted": ("demo_pkg/added.py", "other/x.py")
    }


def test_what_record_invents_is_named(maker: WheelMaker) -> None:
    facts = changed_record(maker, "demo_pkg/_C.so", "demo_pkg/_D.so")
    assert codes(facts) == {
        "record-unlisted": ("demo_pkg/_C.so",),
        "record-absent": ("demo_pkg/_D.so",),
    }


def test_a_wrong_hash_and_a_wrong_size_are_named(maker: WheelMaker) -> None:
    assert codes(changed_record(maker, ",71\n", ",72\n")) == {"record-size": ("demo_pkg/_C.so",)}
    maker.record = None
    facts = changed_record(maker, "demo_pkg/_C.so,sha256=", "demo_pkg/_C.so,sha256=A")
    assert codes(facts) == {"record-hash": ("demo_pkg/_C.so",)}


def test_a_line_without_a_hash_proves_nothing(maker: WheelMaker) -> None:
    with zipfile.ZipFile(maker.write()) as source:
        lines = source.read(f"{maker.info}/RECORD").decode().splitlines()
    maker.record = "\n".join("demo_pkg/_C.so,," if "_C.so" in line else line for line in lines)
    assert codes(read_wheel(maker.write())) == {"record-weak": ("demo_pkg/_C.so",)}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("demo_pkg/_C.so\n", "1 fields instead of 3"),
        ("a,sha256=x,many\n", "'many' is no size"),
        ("a,sha256=x,9" + "9" * 5000 + "\n", "is no size"),
        ('"a,b\n', "unexpected end"),
    ],
)
def test_a_record_of_another_form_is_reported(maker: WheelMaker, text: str, words: str) -> None:
    maker.record = text
    problems = {problem.code: problem.message for problem in read_wheel(maker.write()).problems}
    assert words in problems["record-form"]


def test_a_file_that_record_lists_twice_is_named(maker: WheelMaker) -> None:
    facts = changed_record(maker, "demo_pkg/_C.so", "demo_pkg/__init__.py")
    assert codes(facts)["record-duplicate"] == ("demo_pkg/__init__.py",)


@pytest.mark.parametrize("part", ["METADATA", "WHEEL", "RECORD"])
def test_a_missing_part_is_reported(maker: WheelMaker, part: str) -> None:
    maker.without = (part,)
    assert f"no-{part.lower()}" in codes(read_wheel(maker.write()))


def test_a_dist_info_of_another_name_is_reported(maker: WheelMaker) -> None:
    path = maker.write()
    moved = path.rename(path.with_name("other-2.0-py3-none-any.whl"))
    facts = read_wheel(moved)
    assert codes(facts) == {"dist-info": ("demo_pkg-1.0.dist-info",)}
    assert (facts.name, facts.metadata_name) == ("other", "demo-pkg")


def test_a_zip_without_dist_info_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "demo-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as source:
        source.writestr("a.py", "")
    facts = read_wheel(path)
    assert (set(codes(facts)), facts.file_count) == ({"dist-info"}, 1)


def test_a_second_dist_info_is_reported(maker: WheelMaker) -> None:
    maker.extra = (("evil-1.0.dist-info/METADATA", b"Name: evil\n"),)
    facts = read_wheel(maker.write())
    assert codes(facts)["dist-info"] == (maker.info, "evil-1.0.dist-info")
    assert facts.metadata_name == "demo-pkg"


@pytest.mark.parametrize(
    "name",
    ["/etc/passwd", "../x", "a/../../x", "a//b", "a\\b", "C:/x", "a\nb", "./a", "a\0b", "\0"],
)
def test_names_that_lead_elsewhere_are_reported(maker: WheelMaker, name: str) -> None:
    info = zipfile.ZipInfo("placeholder")
    info.filename = name  # past the cleaning of the constructor
    maker.extra = ((info, b"x"),)
    assert "unsafe-name" in codes(read_wheel(maker.write()))


def test_symbolic_links_are_reported(maker: WheelMaker) -> None:
    link = zipfile.ZipInfo("demo_pkg/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    maker.extra = ((link, b"/etc/passwd"),)
    assert codes(read_wheel(maker.write()))["special-file"] == ("demo_pkg/link",)


def test_members_of_the_same_name_are_reported(maker: WheelMaker) -> None:
    maker.extra = (("demo_pkg/_C.so", b"another"),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns whoever writes such a file
        path = maker.write()
    facts = read_wheel(path)
    assert codes(facts)["duplicate"] == ("demo_pkg/_C.so",)


def test_other_compression_is_reported_and_not_unpacked(maker: WheelMaker) -> None:
    path = maker.write()
    with zipfile.ZipFile(path, "a", zipfile.ZIP_LZMA) as source:
        source.writestr("demo_pkg/packed.py", b"x" * 1000)
    found = codes(read_wheel(path))
    assert found["encoding"] == found["damaged"] == ("demo_pkg/packed.py",)


def test_encrypted_members_are_reported(maker: WheelMaker) -> None:
    path = maker.write()
    data = bytearray(path.read_bytes())
    at = data.rindex(b"PK\1\2", 0, data.index(b"demo_pkg/_C.so", data.index(b"PK\1\2")))
    data[at + 8] |= 1  # the flags in the directory
    path.write_bytes(data)
    assert codes(read_wheel(path))["encoding"] == ("demo_pkg/_C.so",)


def test_a_damaged_member_is_named_and_the_others_still_read(maker: WheelMaker) -> None:
    maker.files["demo_pkg/_D.so"] = ELF + bytes(range(256)) * 8
    path = maker.write()
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as source:
        at = source.getinfo("demo_pkg/_D.so").header_offset + 30 + len("demo_pkg/_D.so") + 20
    data[at] ^= 0xFF
    path.write_bytes(data)
    facts = read_wheel(path)
    assert codes(facts) == {"damaged": ("demo_pkg/_D.so",)}
    assert facts.shared_objects == ("demo_pkg/_C.so",)


@pytest.mark.parametrize("part", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_wheel_is_an_error_that_says_so(maker: WheelMaker, part: float) -> None:
    path = maker.write()
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    with pytest.raises(CheckError, match=r"demo_pkg-1\.0-.*is no whole zip file") as caught:
        read_wheel(path)
    assert "build it again" in caught.value.hint


@pytest.mark.parametrize(
    "name", ["demo.whl", "demo-1.0-py3-none-any.zip", "demo-x.y-py3-none-any.whl"]
)
def test_a_name_that_is_no_wheels_is_an_error(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"")
    with pytest.raises(CheckError, match="no wheel's file name"):
        read_wheel(path)


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CheckError, match="cannot be read"):
        read_wheel(tmp_path / "demo-1.0-py3-none-any.whl")


def test_a_bomb_is_reported_and_not_unpacked(maker: WheelMaker) -> None:
    path = maker.write()
    data = bytearray(path.read_bytes())
    at = data.index(b"PK\1\2")
    struct.pack_into("<I", data, at + 24, 0xFFFFFFF0)  # uncompressed size in the directory
    path.write_bytes(data)
    facts = read_wheel(path)
    assert list(codes(facts)) == ["bomb"]
    assert "would unpack to 4,29" in facts.problems[0].message
    assert facts.shared_objects == ()


def test_members_that_share_their_packed_data_are_a_bomb_too(maker: WheelMaker) -> None:
    maker.files["zeros"] = bytes(16 << 20)
    path = maker.write()
    data = path.read_bytes()
    start, end = data.index(b"PK\1\2"), data.rindex(b"PK\5\6")
    at = data.rindex(b"PK\1\2", 0, data.index(b"zeros", start))
    entry = data[at : at + 46 + len("zeros")]
    tail = bytearray(data[end:])
    count = 5 + 100 + 1
    struct.pack_into("<HHI", tail, 8, count, count, end - start + 100 * len(entry))
    path.write_bytes(data[:end] + entry * 100 + bytes(tail))
    assert "bomb" in codes(read_wheel(path))


def test_too_many_members_are_reported(maker: WheelMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_MEMBERS", 4)
    assert "5 members" in read_wheel(maker.write()).problems[0].message


def test_a_directory_that_claims_to_be_huge_is_not_read(maker: WheelMaker) -> None:
    path = maker.write()
    data = bytearray(path.read_bytes())
    sparse = archive.MAX_DIRECTORY_BYTES + 1
    end = data.rindex(b"PK\5\6")
    struct.pack_into("<II", data, end + 12, sparse, 0)
    path.write_bytes(bytes(sparse) + bytes(data[end:]))
    with pytest.raises(CheckError, match="its directory would take"):
        read_wheel(path)


@settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(changes=st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), max_size=6))
@example(changes=[(0, 0)])
@example(changes=[(3141, 164)])  # a negative offset of a member
def test_damage_anywhere_gives_facts_or_a_clear_error(
    maker: WheelMaker, changes: list[tuple[int, int]]
) -> None:
    path = maker.write()
    data = bytearray(path.read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    path.write_bytes(data)
    try:
        facts = read_wheel(path)
    except CheckError:
        return
    assert facts.sha256 == hashlib.sha256(data).hexdigest()
